"""The statements of all accounts that moved on a closed day."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from hutong import db, export
from hutong.errors import Conflict, InvariantBroken
from hutong.ledger.accounting.amounts import currency_of, in_major_units, on_normal_side
from hutong.ledger.accounting.closed_days import require_closed
from hutong.ledger.accounting.events import EVENTS
from hutong.ledger.accounting.subjects import list_subjects
from hutong.ledger.statements import sql as _sql

_ACCOUNTS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class DayAccount:
    """An account on a day: opening + credits - debits = closing for a credit account, the reverse for the others."""

    account_id: UUID
    code: int
    name_en: str
    name_zh: str
    owner: UUID
    currency: str
    day: date
    opening_minor: int
    debits_minor: int
    credits_minor: int
    closing_minor: int
    opening: str
    closing: str


@dataclass(frozen=True, slots=True)
class DayLine:
    """One booking on an account; `balance_minor` is on the account's normal side."""

    account_id: UUID
    transfer_id: UUID
    accounting_date: date
    timestamp: int
    event: int
    event_en: str
    event_zh: str
    other_account: UUID
    reference: UUID
    debit_minor: int
    credit_minor: int
    balance_minor: int


DayStatement = tuple[DayAccount, list[DayLine]]


async def list_day_statements(
    tx: db.Tx, day: date, *, after: UUID | None = None, limit: int = 100
) -> list[DayStatement]:
    """Return a page of the statements of a closed day, in the order of the accounts' ids.

    Errors:
        Conflict: the day is not closed.
        InvariantBroken: the lines of an account do not lead from its opening to its closing balance.
    """
    await require_closed(tx, day)
    subjects = await list_subjects(tx)
    moved = await _sql.moved_accounts.fetch(tx, day=day, after=after or UUID(int=0), limit=limit)
    accounts: dict[int, DayAccount] = {}
    for row in moved:
        code, ledger = row["code"], row["ledger"]
        subject = subjects.get(code)
        opening = on_normal_side(code, row["opening_debits"], row["opening_credits"])
        closing = on_normal_side(code, row["closing_debits"], row["closing_credits"])
        accounts[row["account_id"].int] = DayAccount(
            account_id=UUID(int=row["account_id"].int),
            code=code,
            name_en=subject.name_en if subject else "",
            name_zh=subject.name_zh if subject else "",
            owner=UUID(int=row["owner"].int),
            currency=currency_of(ledger),
            day=day,
            opening_minor=opening,
            debits_minor=row["debits"],
            credits_minor=row["credits"],
            closing_minor=closing,
            opening=in_major_units(opening, ledger),
            closing=in_major_units(closing, ledger),
        )
    lines: dict[int, list[DayLine]] = {number: [] for number in accounts}
    previous = await _sql.closed_day_before.fetchval(tx, day)
    rows = await _sql.lines_of_day.fetch(
        tx, account_ids=[row["account_id"] for row in moved], day=day, previous=previous or date.min
    )
    for row in rows:
        lines[row["account_id"].int].append(_line(row, accounts[row["account_id"].int].code))
    for number, account in accounts.items():
        _check(account, lines[number])
    return [(account, lines[number]) for number, account in accounts.items()]


async def write_day_statements(tx: db.Tx, day: date, folder: Path, *, kind: str) -> tuple[int, int]:
    """Write the statements of a closed day: `accounts` with their balances, and `lines` with their bookings.

    Args:
        folder: A folder that does not exist yet, or is empty.
        kind: `csv` or `parquet`: the form and the ending of the two files.

    Returns:
        The number of accounts and of lines.

    Errors:
        Conflict: the day is not closed, or the folder has files.
        InvariantBroken: as `list_day_statements`; nothing is left in the folder.
    """
    _check_folder(folder)
    await require_closed(tx, day)
    accounts = lines = 0
    with tempfile.TemporaryDirectory() as temporary:
        account_rows, line_rows = Path(temporary) / "accounts", Path(temporary) / "lines"
        with account_rows.open("wb") as account_file, line_rows.open("wb") as line_file:
            async for account, bookings in _statements(tx, day):
                account_file.write(_json_line(account))
                line_file.writelines(map(_json_line, bookings))
                accounts, lines = accounts + 1, lines + len(bookings)
        _publish(folder, kind, accounts=account_rows, lines=line_rows)
    return accounts, lines


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already and is not an empty folder", param="folder")


def _publish(folder: Path, kind: str, *, accounts: Path, lines: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    export.write_lines(accounts, DayAccount, folder / f"accounts.{kind}")
    export.write_lines(lines, DayLine, folder / f"lines.{kind}")


async def _statements(tx: db.Tx, day: date) -> AsyncIterator[DayStatement]:
    after: UUID | None = None
    while page := await list_day_statements(tx, day, after=after, limit=_ACCOUNTS_AT_ONCE):
        for statement in page:
            yield statement
        after = page[-1][0].account_id


def _line(row: Any, code: int) -> DayLine:
    event = EVENTS.get(row["code"])
    return DayLine(
        account_id=UUID(int=row["account_id"].int),
        transfer_id=UUID(int=row["id"].int),
        accounting_date=row["accounting_date"],
        timestamp=row["timestamp"],
        event=row["code"],
        event_en=event.name_en if event else "",
        event_zh=event.name_zh if event else "",
        other_account=UUID(int=row["other"].int),
        reference=UUID(int=row["reference"].int),
        debit_minor=row["debit"],
        credit_minor=row["credit"],
        balance_minor=on_normal_side(code, row["debits"], row["credits"]),
    )


def _check(account: DayAccount, lines: Sequence[DayLine]) -> None:
    debits, credits = sum(line.debit_minor for line in lines), sum(line.credit_minor for line in lines)  # noqa: A001
    closing = lines[-1].balance_minor if lines else account.opening_minor
    if (debits, credits, closing) != (account.debits_minor, account.credits_minor, account.closing_minor):
        raise InvariantBroken(
            f"account {account.account_id}: the bookings of {account.day} do not lead to its balance at the end of it"
        )


def _json_line(row: DayAccount | DayLine) -> bytes:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)
