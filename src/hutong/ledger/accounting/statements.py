"""Reports of the books for a finance team: account statements and the general ledger by subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.errors import NotFound
from hutong.ledger.accounting.chart import CHART, NormalSide, normal_side
from hutong.ledger.accounting.postings import EVENTS
from hutong.ledger.codec import uuid_of
from hutong.ledger.statements import sql as _sql


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One booking on an account; `balance` is on the account's normal side.

    Attributes:
        event: The code of the accounting event.
        event_en, event_zh: The name of the event; empty for a code that the table of events does not have.
    """

    id: UUID
    timestamp: int
    accounting_date: date
    event: int
    other_account: UUID
    reference: UUID
    debit: int
    credit: int
    balance: int
    event_en: str = ""
    event_zh: str = ""


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """An account between two instants: opening + bookings = closing."""

    account_id: UUID
    code: int
    ledger: int
    opening: int
    lines: list[StatementLine]
    closing: int


@dataclass(frozen=True, slots=True)
class SubjectBalance:
    """One line of the general ledger: a subject of a ledger over a day, or its current sums."""

    ledger: int
    code: int
    name_en: str
    name_zh: str
    opening: int
    debits: int
    credits: int
    closing: int


async def statement(tx: db.Tx, account_id: int, *, since: datetime, until: datetime) -> AccountStatement:
    """Return the statement of an account from `since` up to, but not including, `until`.

    Errors:
        NotFound: no account has this id.
    """
    uuid = uuid_of(account_id)
    account = await _sql.account_code.fetchrow(tx, uuid)
    if account is None:
        raise NotFound("no account has this id")
    sign = _sign(account["code"])
    before = await _sql.balance_before.fetchrow(tx, uuid, to_ns(since))
    opening = sign * (before["debits"] - before["credits"]) if before is not None else 0
    lines = [
        _statement_line(record, sign)
        for record in await _sql.statement_lines.fetch(tx, uuid, to_ns(since), to_ns(until))
    ]
    return AccountStatement(
        account_id=UUID(int=account_id),
        code=account["code"],
        ledger=account["ledger"],
        opening=opening,
        lines=lines,
        closing=lines[-1].balance if lines else opening,
    )


def _statement_line(record: Any, sign: int) -> StatementLine:
    event = EVENTS.get(record["code"])
    return StatementLine(
        id=record["id"],
        timestamp=record["timestamp"],
        accounting_date=record["accounting_date"],
        event=record["code"],
        other_account=record["other"],
        reference=record["reference"],
        debit=record["debit"],
        credit=record["credit"],
        balance=sign * (record["debits"] - record["credits"]),
        event_en=event.name_en if event else "",
        event_zh=event.name_zh if event else "",
    )


async def general_ledger(tx: db.Tx, *, day: date | None = None) -> list[SubjectBalance]:
    """Return the subjects of every ledger on a closed day, or now.

    Returns:
        One line per ledger and subject that ever moved. Balances are on the subject's normal side; over the lines of
        one ledger, those on debit sides equal those on credit sides.
    """
    records = await (_sql.subject_balances.fetch(tx, day) if day else _sql.subject_balances_now.fetch(tx))
    return [_subject_balance(record) for record in records]


def roll_up(lines: Sequence[SubjectBalance]) -> list[SubjectBalance]:
    """Return the lines with their parents added: a parent is the sum of its children, on the debit side."""
    sums: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        subject = CHART.get(line.code)
        parent = subject.parent if subject else 0
        sign = _sign(line.code)
        total = sums.setdefault((line.ledger, parent), [0, 0, 0, 0])
        for place, value in enumerate((sign * line.opening, line.debits, line.credits, sign * line.closing)):
            total[place] += value
    parents = [SubjectBalance(ledger, code, "", "", *total) for (ledger, code), total in sums.items()]
    return sorted([*lines, *parents], key=lambda line: (line.ledger, line.code))


def _subject_balance(record: Any) -> SubjectBalance:
    subject = CHART.get(record["code"])
    sign = _sign(record["code"])

    def balance(at: str) -> int:
        return int(sign * (record[f"{at}_debits"] - record[f"{at}_credits"]))

    daily = "debits" in record
    return SubjectBalance(
        ledger=record["ledger"],
        code=record["code"],
        name_en=subject.name_en if subject else "",
        name_zh=subject.name_zh if subject else "",
        opening=balance("opening") if daily else 0,
        debits=int(record["debits"]) if daily else int(record["closing_debits"]),
        credits=int(record["credits"]) if daily else int(record["closing_credits"]),
        closing=balance("closing"),
    )


def _sign(code: int) -> int:
    return -1 if normal_side(code) is NormalSide.CREDIT else 1
