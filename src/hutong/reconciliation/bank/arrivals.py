"""The booking of money that has arrived, from the channels' accounts to the bank, and of what a bank takes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from hutong import db, ledger
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.reconciliation.bank.results import BatchArrival
from hutong.reconciliation.model import BillFile, FileState
from hutong.reconciliation.statements import sql

_read_file = db.reader(BillFile, sql["bill_file"], totals=json.loads)


@dataclass(frozen=True, slots=True)
class ArrivalsBooked:
    """The bookings of a run.

    Attributes:
        batches: How many batches changed.
        bills: The files of bills that were closed, or re-opened.
    """

    batches: int = 0
    bills: Sequence[BillFile] = ()

    @property
    def closed(self) -> int:
        """How many files were closed."""
        return sum(file.state is FileState.CLOSED for file in self.bills)


async def book_arrivals(
    tx: db.Tx,
    account_id: UUID,
    day: date,
    arrivals: Sequence[BatchArrival],
    *,
    now: datetime,
    new_id: Callable[[], UUID],
) -> ArrivalsBooked:
    """Book money that has arrived from the channels' accounts to the bank, and close the bills that are paid.

    Args:
        account_id: The bank account.
        day: Of the statement.
        arrivals: Those of one run; batches that it does not know keep what is booked.

    Effects:
        Posts the change against what is booked of each batch, so that a corrected statement corrects the books, and
        money that the bank takes back is owed by its channel again; writes what is booked; closes the files of bills
        all of whose batches have arrived, and re-opens those of which one is owed again.

    Repeat:
        The same arrivals book nothing. A run of an earlier day leaves alone what a later one has stated.
    """
    rows = [
        _NewArrival(new_id(), account_id, each.batch, each.currency, each.account_id, day)
        for each in arrivals
        if each.arrived_minor
    ]
    await sql.add_bank_arrivals.execute(tx, rows=rows)
    locked = await sql.lock_bank_arrivals.fetch(tx, account_id=account_id, batches=[each.batch for each in arrivals])
    booked = {(row["batch"], row["currency"], row["channel_account_id"]): row for row in locked}
    later = {name for name, row in booked.items() if row["last_day"] > day}
    chains, changed, amounts = [], [], []
    for each in arrivals:
        name = (each.batch, each.currency, each.account_id)
        row = None if name in later else booked.get(name)
        change = each.arrived_minor - row["amount_minor"] if row is not None else 0
        if row is None or not change:
            continue
        chains.append(_chain(row["id"], row["postings"], each, change))
        changed.append(row["id"])
        amounts.append(each.arrived_minor)
    if chains:
        await ledger.book(tx, chains, now=now)
        await sql.change_bank_arrivals.execute(tx, ids=changed, amounts=amounts, day=day)
    return ArrivalsBooked(len(chains), await _close(tx, arrivals, later))


def _chain(base: UUID, number: int, arrival: BatchArrival, change: int) -> ledger.Chain:
    leg = "net" if change > 0 else "taken"
    posting = Posting(EventCode.CHANNEL_SETTLEMENT, leg, abs(change), base, f"arrival:{number}")
    owners = {AccountOwner.CHANNEL_ACCOUNT: arrival.account_id}
    return ledger.Chain([posting], owners, arrival.currency, base)


async def _close(
    tx: db.Tx, arrivals: Sequence[BatchArrival], later: set[tuple[str, str, UUID]]
) -> tuple[BillFile, ...]:
    """Close the bills whose batches have all arrived, and re-open the others; leave those that a later day knows."""
    kept = {(a.account_id, a.day) for a in arrivals if (a.batch, a.currency, a.account_id) in later}
    unpaid = {(each.account_id, each.day) for each in arrivals if each.arrived_minor != each.expected_minor}
    bills = sorted({(each.account_id, each.day) for each in arrivals} - kept)
    changed = await sql.set_bills_closed.fetch(
        tx,
        account_ids=[account_id for account_id, _ in bills],
        days=[day for _, day in bills],
        are_paid=[bill not in unpaid for bill in bills],
    )
    return tuple(_read_file(row) for row in changed)


@dataclass(frozen=True, slots=True)
class _NewArrival:
    id: UUID
    account_id: UUID
    batch: str
    currency: str
    channel_account_id: UUID
    last_day: date
