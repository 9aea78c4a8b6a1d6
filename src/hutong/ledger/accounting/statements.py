"""Reports of the books for a finance team: account statements and the general ledger by subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.errors import InvalidParameter, NotFound
from hutong.ledger.accounting.chart import GROUPS, NormalSide, Subject, normal_side
from hutong.ledger.accounting.closed_days import require_closed
from hutong.ledger.accounting.events import EVENTS
from hutong.ledger.accounting.subjects import list_subjects
from hutong.ledger.codec import uuid_of
from hutong.ledger.model import TIMESTAMP_MAX
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
    """An account between two instants, or on some days: opening + bookings = closing."""

    account_id: UUID
    code: int
    ledger: int
    opening: int
    lines: list[StatementLine]
    closing: int

    def with_balances(self, opened_at: date, closed_at: date) -> list[StatementLine]:
        """Return the lines between two that have the opening and the closing balance, for files."""
        return [
            _balance_line("opening balance", "期初余额", opened_at, self.opening),
            *self.lines,
            _balance_line("closing balance", "期末余额", closed_at, self.closing),
        ]


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
        InvalidParameter: `since` is after `until`; `param` is "since".
    """
    if since > until:
        raise InvalidParameter(f"a statement from {since} cannot end at {until}", param="since")
    return await _statement(
        tx, account_id, since=to_ns(since), until=to_ns(until), opening_day=date.max, first_day=date.min,
        last_day=date.max,
    )  # fmt: skip


async def statement_of_days(tx: db.Tx, account_id: int, *, first: date, last: date) -> AccountStatement:
    """Return the statement of an account over days of the books, both included: it closes on the last day's balance.

    The statement of a closed day never changes.

    Errors:
        NotFound: no account has this id.
        InvalidParameter: `first` is after `last`; `param` is "since".
    """
    if first > last:
        raise InvalidParameter(f"a statement from {first} cannot end on {last}", param="since")
    return await _statement(
        tx, account_id, since=0, until=TIMESTAMP_MAX, opening_day=first, first_day=first, last_day=last
    )


async def _statement(
    tx: db.Tx, account_id: int, *, since: int, until: int, opening_day: date, first_day: date, last_day: date
) -> AccountStatement:
    uuid = uuid_of(account_id)
    account = await _sql.account_code.fetchrow(tx, uuid)
    if account is None:
        raise NotFound("no account has this id")
    sign = _sign(account["code"])
    before_ns = since or TIMESTAMP_MAX
    before = await _sql.balance_before.fetchrow(tx, account_id=uuid, since=before_ns, first_day=opening_day)
    opening = sign * (before["debits"] - before["credits"]) if before is not None else 0
    lines = [
        _statement_line(record, sign)
        for record in await _sql.statement_lines.fetch(
            tx, account_id=uuid, since=since, until=until, first_day=first_day, last_day=last_day
        )
    ]
    return AccountStatement(
        account_id=UUID(int=account_id),
        code=account["code"],
        ledger=account["ledger"],
        opening=opening,
        lines=lines,
        closing=lines[-1].balance if lines else opening,
    )


def _balance_line(name_en: str, name_zh: str, day: date, balance: int) -> StatementLine:
    nobody = UUID(int=0)
    return StatementLine(nobody, 0, day, 0, nobody, nobody, 0, 0, balance, name_en, name_zh)


def _statement_line(record: Any, sign: int) -> StatementLine:
    event = EVENTS.get(record["code"])
    return StatementLine(
        id=UUID(int=record["id"].int),
        timestamp=record["timestamp"],
        accounting_date=record["accounting_date"],
        event=record["code"],
        other_account=UUID(int=record["other"].int),
        reference=UUID(int=record["reference"].int),
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

    Errors:
        Conflict: the day is not closed, so its balances are not known yet.
    """
    if day is not None:
        await require_closed(tx, day)
    records = await (_sql.subject_balances.fetch(tx, day) if day else _sql.subject_balances_now.fetch(tx))
    subjects = await list_subjects(tx)
    return [_subject_balance(record, subjects.get(record["code"])) for record in records]


def differences(lines: Sequence[SubjectBalance]) -> list[int]:
    """Return the ledgers in which debits and credits differ, over the movements or at the end."""
    sums: dict[int, tuple[int, int]] = {}
    for line in lines:
        moved, closing = sums.get(line.ledger, (0, 0))
        sums[line.ledger] = moved + line.debits - line.credits, closing + _sign(line.code) * line.closing
    return sorted(number for number, both in sums.items() if any(both))


def roll_up(lines: Sequence[SubjectBalance]) -> list[SubjectBalance]:
    """Return the lines with their parents added: a parent is the sum of all subjects below it, on its normal side."""
    sums: dict[tuple[int, int], list[int]] = {}
    for line in lines:
        for parent in {line.code // 100 * 100, line.code // 1000 * 1000} - {0, line.code}:
            sign = _sign(line.code) * _sign(parent)
            total = sums.setdefault((line.ledger, parent), [0, 0, 0, 0])
            for place, value in enumerate((sign * line.opening, line.debits, line.credits, sign * line.closing)):
                total[place] += value
    parents = [
        SubjectBalance(ledger, code, *GROUPS.get(code, ("", "")), *total) for (ledger, code), total in sums.items()
    ]
    return sorted([*lines, *parents], key=lambda line: (line.ledger, line.code))


def _subject_balance(record: Any, subject: Subject | None) -> SubjectBalance:
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
