"""The booking of money that has arrived, from the channels' accounts to the bank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ledger
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.reconciliation.bank.results import BatchArrival
from hutong.reconciliation.statements import sql


@dataclass(frozen=True, slots=True)
class ArrivalsBooked:
    """The bookings of a run: how many batches changed, and how many files of bills were closed."""

    batches: int
    closed: int


async def book_arrivals(
    tx: db.Tx, account_id: UUID, arrivals: Sequence[BatchArrival], *, now: datetime, new_id: Callable[[], UUID]
) -> ArrivalsBooked:
    """Book money that has arrived from the channels' accounts to the bank, and close the bills that are paid.

    Args:
        account_id: The bank account.
        arrivals: Those of one run; batches that it does not know keep what is booked.

    Effects:
        Posts the change against what is booked of each batch, so that a corrected statement corrects the books; writes
        what is booked; closes the files of bills all of whose batches have arrived, and opens those of others again.

    Repeat:
        The same arrivals book nothing.
    """
    rows = [
        _NewArrival(new_id(), account_id, each.batch, each.currency, each.account_id)
        for each in arrivals
        if each.arrived_minor
    ]
    await sql.add_bank_arrivals.execute(tx, rows=rows)
    locked = await sql.lock_bank_arrivals.fetch(tx, account_id=account_id, batches=[each.batch for each in arrivals])
    booked = {(row["batch"], row["currency"], row["channel_account_id"]): row for row in locked}
    chains, changed, amounts = [], [], []
    for each in arrivals:
        row = booked.get((each.batch, each.currency, each.account_id))
        change = each.arrived_minor - row["amount_minor"] if row is not None else 0
        if row is None or not change:
            continue
        leg = "net" if change > 0 else "taken"
        posting = Posting(EventCode.CHANNEL_SETTLEMENT, leg, abs(change), row["id"], f"arrival:{row['postings']}")
        owners = {AccountOwner.CHANNEL_ACCOUNT: each.account_id}
        chains.append(ledger.Chain([posting], owners, each.currency, row["id"]))
        changed.append(row["id"])
        amounts.append(each.arrived_minor)
    if chains:
        await ledger.book(tx, chains, now=now)
        await sql.change_bank_arrivals.execute(tx, ids=changed, amounts=amounts)
    return ArrivalsBooked(len(chains), await _close(tx, arrivals))


async def _close(tx: db.Tx, arrivals: Sequence[BatchArrival]) -> int:
    known = {(each.account_id, each.day) for each in arrivals}
    unpaid = {(each.account_id, each.day) for each in arrivals if each.arrived_minor != each.expected_minor}
    closed = await sql.close_bills.fetch(tx, **_columns(known - unpaid))
    await sql.reopen_bills.execute(tx, **_columns(unpaid))
    return len(closed)


def _columns(bills: set[tuple[UUID, date]]) -> dict[str, list[Any]]:
    return {"account_ids": [each[0] for each in sorted(bills)], "days": [each[1] for each in sorted(bills)]}


@dataclass(frozen=True, slots=True)
class _NewArrival:
    id: UUID
    account_id: UUID
    batch: str
    currency: str
    channel_account_id: UUID
