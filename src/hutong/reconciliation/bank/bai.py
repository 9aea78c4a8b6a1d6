"""Reads BAI2 files, with the library bai2, which proves the control totals and the counts of records.

Amounts are whole minor units, the decimals of the currency implied. The type code says whether money came or went;
codes of items within a deposit repeat what the deposit counts, and 890 moves none.

Source:
    BAI, Cash Management Balance Reporting Specifications, Version 2, Technical Reference Manual (10/2005); ASC X9.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from hutong.channels import BillRefused
from hutong.reconciliation.bank.model import OwnAccount, Proof, StatementEntry, one_line

_OPENING, _CLOSING = "010", "015"
_ITEM = "Item in "
_RECORDED = ("1", "3")
"""Group statuses: an update, and a correction, which states the whole group again."""


def read_entries(path: Path, account: OwnAccount) -> Iterator[StatementEntry]:
    """Read the entries of a file. Errors as `camt.read_entries`."""
    place = 0
    for group in _parse(path).children:
        header = group.header
        if header.group_status is None or header.group_status.value not in _RECORDED:
            raise BillRefused("a group is a deletion or a test; only updates and corrections are read")
        if header.as_of_date is None:
            raise BillRefused("a group has no date")
        for statement in group.children:
            identifier = statement.header
            currency = identifier.currency or header.currency
            account.check(identifier.customer_account_number or "", currency)
            balances = {item.type_code.code: item.amount for item in identifier.summary_items if item.type_code}
            proof = Proof(account.currency)
            proof.open(balances.get(_OPENING), is_continued=False)
            for detail in statement.children:
                place += 1
                amount = _signed(detail)
                if amount is not None:
                    proof.entries += amount
                    yield _entry(detail, amount, header.as_of_date, place)
            if balances.get(_OPENING) is None or balances.get(_CLOSING) is None:
                raise BillRefused("an account lacks its opening or closing ledger balance, codes 010 and 015")
            proof.close(balances[_CLOSING])


def _parse(path: Path) -> Any:
    from bai2 import bai2, exceptions

    try:
        text = path.read_bytes().decode("ascii")
    except UnicodeDecodeError as error:
        raise BillRefused("the file is not BAI2, which is ASCII") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("01,") or sum(line.startswith("99,") for line in lines) != 1:
        raise BillRefused("the file is not one whole BAI2 file, from 01 to 99")
    if not lines[-1].startswith(("99,", "88,")):
        raise BillRefused("the file has records after its trailer")
    try:
        return bai2.parse_from_lines(iter(lines))
    except exceptions.IntegrityException as error:
        raise BillRefused(f"the file does not add up: {error}") from error
    except (
        exceptions.ParsingException,
        exceptions.NotSupportedYetException,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        StopIteration,
        RuntimeError,
    ) as error:
        raise BillRefused(f"the file is not a valid BAI2 file: {error}") from error


def _signed(detail: Any) -> int | None:
    """Return the signed amount of a transaction; None for one that moves no money of its own."""
    code = detail.type_code
    if code is None or code.transaction is None or code.transaction.value == "misc":
        return None
    if code.description.startswith(_ITEM) or detail.amount is None:
        return None
    return int(detail.amount) if code.transaction.value == "credit" else -int(detail.amount)


def _entry(detail: Any, amount: int, day: date, place: int) -> StatementEntry:
    value = (detail.availability or {}).get("date") if detail.availability else None
    reference = (detail.customer_reference or "").strip()
    return StatementEntry(
        amount,
        day,
        value if isinstance(value, date) else day,
        (detail.bank_reference or "").strip(),
        (reference,) if reference else (),
        one_line([(detail.text or "").rstrip("/"), detail.type_code.description]),
        place,
    )
