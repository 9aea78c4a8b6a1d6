"""Memo ledgers: points, quotas, pending interest. They are counted beside the business and never part of the books."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db
from hutong.errors import InvalidParameter
from hutong.ledger.model import BALANCE_MAX
from hutong.ledger.statements import sql as _sql

_TEXT_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Memo:
    """One entry; `ref` names the object that the entry belongs to, unique per ledger and owner."""

    ledger: str
    owner: UUID
    ref: str
    amount: int


@dataclass(frozen=True, slots=True)
class MemoLedger:
    """A memo ledger with the sums of its owners."""

    ledger: str
    owners: int
    entries: int
    total: int


@dataclass(frozen=True, slots=True)
class MemoTotal:
    """The total of one owner in a memo ledger."""

    owner: UUID
    total: int
    entries: int


@dataclass(frozen=True, slots=True)
class MemoEntry:
    """An entry, and the owner's total after it; `seq` counts the owner's entries."""

    seq: int
    ref: str
    amount: int
    total_after: int
    entered_at: datetime


class MemoStatus(enum.Enum):
    """The outcome of one entry."""

    ENTERED = "entered"
    EXISTS = "exists"
    EXISTS_WITH_DIFFERENT_AMOUNT = "exists_with_different_amount"
    OVERFLOWS_TOTAL = "overflows_total"


async def enter_memos(tx: db.Tx, memos: Sequence[Memo], *, now: datetime) -> list[MemoStatus]:
    """Add entries and move their totals, in the caller's transaction.

    Repeat:
        An entry whose `ref` exists is answered EXISTS, or EXISTS_WITH_DIFFERENT_AMOUNT. One that would take the total
        beyond 2^63-1 on either side is answered OVERFLOWS_TOTAL and not entered.

    Returns:
        One status per entry, in order.

    Errors:
        InvalidParameter: the name of a ledger or of an object is blank or too long.
    """
    for memo in memos:
        _check(memo)
    if not memos:
        return []
    ledgers, owners = [memo.ledger for memo in memos], [memo.owner for memo in memos]
    await _sql.open_memo_totals.execute(tx, ledgers, owners)
    totals = {
        (r["ledger"], r["owner"]): (r["total"], r["seq"])
        for r in await _sql.lock_memo_totals.fetch(tx, ledgers, owners)
    }
    amounts = {
        (r["ledger"], r["owner"], r["ref"]): r["amount"]
        for r in await _sql.known_memos.fetch(tx, ledgers, owners, [memo.ref for memo in memos])
    }
    statuses, rows = [], []
    for memo in memos:
        key = (memo.ledger, memo.owner, memo.ref)
        if key in amounts:
            same = amounts[key] == memo.amount
            statuses.append(MemoStatus.EXISTS if same else MemoStatus.EXISTS_WITH_DIFFERENT_AMOUNT)
            continue
        total, seq = totals[memo.ledger, memo.owner]
        if max(abs(memo.amount), abs(total + memo.amount)) > BALANCE_MAX:
            statuses.append(MemoStatus.OVERFLOWS_TOTAL)
            continue
        amounts[key] = memo.amount
        totals[memo.ledger, memo.owner] = total, seq = total + memo.amount, seq + 1
        rows.append((memo.ledger, memo.owner, seq, memo.ref, memo.amount, total))
        statuses.append(MemoStatus.ENTERED)
    if rows:
        await _sql.write_memos.execute(tx, *(list(column) for column in zip(*rows, strict=True)), now)
    return statuses


async def list_memo_ledgers(tx: db.Tx) -> list[MemoLedger]:
    """Return the memo ledgers by name."""
    return [
        MemoLedger(row["ledger"], row["owners"], row["entries"], int(row["total"]))
        for row in await _sql.list_memo_ledgers.fetch(tx)
    ]


async def list_memo_totals(
    tx: db.Tx, memo_ledger: str, *, after: UUID | None = None, limit: int = 100
) -> list[MemoTotal]:
    """Return a page of the totals of a memo ledger, in the order of the owners."""
    return [
        MemoTotal(UUID(int=row["owner"].int), row["total"], row["entries"])
        for row in await _sql.list_memo_totals.fetch(tx, memo_ledger, after or UUID(int=0), limit)
    ]


async def list_memo_entries(
    tx: db.Tx, memo_ledger: str, owner: UUID, *, after: int = 0, limit: int = 100
) -> list[MemoEntry]:
    """Return a page of the entries of an owner in a memo ledger, in their order."""
    return [MemoEntry(**row) for row in await _sql.list_memo_entries.fetch(tx, memo_ledger, owner, after, limit)]


def _check(memo: Memo) -> None:
    for field, text in (("ledger", memo.ledger), ("ref", memo.ref)):
        if not text.strip() or len(text) > _TEXT_LENGTH_MAX or not text.isprintable():
            raise InvalidParameter(f"`{field}` must have 1 to {_TEXT_LENGTH_MAX} printable characters", param=field)


async def wrong_totals(tx: db.Tx) -> list[asyncpg.Record]:
    """Return the `ledger` and `owner` of each total that is not the sum of its entries. The daily check."""
    return await _sql.wrong_memo_totals.fetch(tx)
