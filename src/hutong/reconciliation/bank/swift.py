"""Reads MT940 customer statements, with the library mt-940 for the fields.

Field 61 carries the amount with its mark: C and RD bring money, D and RC take it. Field 86 has no standard form; banks
write plain text, `?20`-fields after a transaction code, or codes between slashes. The library reads the second form,
and keys are sought in the text of all of them, with the line breaks of 65 characters taken out.

Source:
    SWIFT Standards MT, category 9, MT940; Rabobank, Format Description SWIFT MT940 Structured 3.2 (slashes); Deutsche
    Bank, MT940 Deutschland (`?20`-fields).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hutong.channels import BillRefused
from hutong.reconciliation.bank.model import OwnAccount, Proof, StatementEntry, minor, one_line

_BLOCKS = re.compile(r"^\{[1235]:.*$|^\{4:|^-\}.*$|^-$", re.MULTILINE)
_NO_REFERENCE = frozenset({"", "NONREF"})
_TEXTS = ("transaction_details", "posting_text", "purpose", "additional_purpose", "applicant_name", "extra_details")
_REFERENCES = ("end_to_end_reference", "customer_reference", "additional_position_reference")


def read_entries(path: Path, account: OwnAccount) -> Iterator[StatementEntry]:
    """Read the entries of a file. Errors as `camt.read_entries`."""
    proof, place = Proof(account.currency), 0
    statements = _parse(_text(path))
    if not statements:
        raise BillRefused("the file has no statement")
    for statement in statements:
        data = statement.data
        account.check(str(data.get("account_identification", "")), None)
        opening, is_page = _balance(data, "opening", account)
        proof.open(opening, is_continued=is_page)
        for transaction in statement.transactions:
            place += 1
            amount = minor(transaction.data["amount"].amount, account.currency)
            proof.entries += amount
            yield _entry(transaction.data, amount, place)
        closing, _ = _balance(data, "closing", account)
        proof.close(closing)


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    # Blocks of the network around a message; the library knows the fields alone.
    return _BLOCKS.sub("", text)


def _parse(text: str) -> Sequence[Any]:
    """Parse by the standard form of field 61, or by the form of banks that write longer references.

    Errors:
        BillRefused.
    """
    import mt940

    longer = mt940.tags.StatementGLS()
    failure = ""
    choices: list[dict[int | str, mt940.tags.Tag] | None] = [None, {longer.id: longer}]
    for tags in choices:
        try:
            # A handle, since the library opens a text that is a file's name.
            return mt940.parse_statements(io.StringIO(text), tags=tags, options=mt940.Options.all())
        except (RuntimeError, ValueError, ArithmeticError, KeyError, TypeError) as error:
            failure = str(error.args[0])[:120] if error.args else type(error).__name__
    raise BillRefused(f"the file is not a valid MT940 statement: {failure}")


def _balance(data: dict[str, Any], name: str, account: OwnAccount) -> tuple[int, bool]:
    """Return a balance, and whether it is one of a page between others."""
    for prefix in ("final_", "intermediate_", ""):
        balance = data.get(f"{prefix}{name}_balance")
        if balance is not None:
            if balance.amount.currency != account.currency:
                raise BillRefused(f"a balance is in {balance.amount.currency}, not in {account.currency}")
            return minor(balance.amount.amount, account.currency), prefix == "intermediate_"
    raise BillRefused(f"a statement has no {name} balance")


def _entry(data: dict[str, Any], amount: int, place: int) -> StatementEntry:
    value: date = data["date"]
    booked: date = data.get("entry_date") or value
    details = "".join(str(data.get("transaction_details") or "").splitlines())
    texts = [details, *(str(data.get(name) or "").replace("\n", "") for name in _TEXTS[1:])]
    references = [str(data.get(name) or "").strip() for name in _REFERENCES]
    number = str(data.get("bank_reference") or "").strip()
    return StatementEntry(
        amount,
        date(booked.year, booked.month, booked.day),
        date(value.year, value.month, value.day),
        "" if number in _NO_REFERENCE else number,
        tuple(dict.fromkeys(text for text in references if text not in _NO_REFERENCE)),
        one_line(texts),
        place,
    )
