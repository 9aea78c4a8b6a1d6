"""Standing orders between accounts: a merchant's receipts move to the account that it pays from, again and again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.accounting.postings import EventCode
from hutong.ledger.codec import uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.statements import sql as _sql


async def add_standing_order(
    tx: db.Tx, order_id: UUID, *, from_account_id: int, to_account_id: int, most_minor: int, every: timedelta,
    first_at: datetime, by: str,
) -> None:  # fmt: skip
    """Move the free balance of one account to another at an interval, at most `most_minor` each time."""
    await _sql.add_sweep.execute(
        tx, order_id, uuid_of(from_account_id), uuid_of(to_account_id), most_minor, every, first_at, by
    )


async def run_standing_orders(tx: db.Tx, *, now: datetime, new_id: Callable[[], UUID], limit: int = 500) -> int:
    """Run the standing orders that are due; several workers share them.

    Effects:
        Books a balancing transfer each: as much as holds and limits leave free. Records each run with its amount.

    Returns:
        The number of orders run; as many as `limit` means that more may be due.
    """
    orders = await _sql.due_sweeps.fetch(tx, now, limit)
    if not orders:
        return 0
    ledger = Ledger(tx, clock=lambda: to_ns(now))
    transfers = [
        Transfer(
            id=new_id().int,
            debit_account_id=order["from_account_id"].int,
            credit_account_id=order["to_account_id"].int,
            amount=order["most_minor"],
            user_data_128=order["id"].int,
            ledger=order["ledger"],
            code=EventCode.STANDING_ORDER,
            flags=TransferFlags.BALANCING_DEBIT,
        )
        for order in orders
    ]
    results = await ledger.create_transfers(transfers)
    moved = {t.id: t.amount for t in await ledger.lookup_transfers([t.id for t in transfers])}
    await _sql.insert_sweep_runs.execute(
        tx,
        [order["id"] for order in orders],
        now,
        [uuid_of(t.id) for t in transfers],
        [0 if result.status is CreateTransferStatus.CREATED else int(result.status) for result in results],
        [moved.get(t.id, 0) for t in transfers],
    )
    return len(orders)
