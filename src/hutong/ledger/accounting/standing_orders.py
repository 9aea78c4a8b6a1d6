"""Receive/pay separation: what a merchant receives goes over to the account it pays from, by standing order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.ledger.codec import uuid_of
from hutong.ledger.ledger import Ledger
from hutong.ledger.model import CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.statements import sql as _sql

SWEEP_CODE = 60
"""Marks the transfers of sweeps."""


async def add_sweep(
    tx: db.Tx, sweep_id: UUID, *, from_account_id: int, to_account_id: int, most_minor: int, every: timedelta,
    first_at: datetime, by: str,
) -> None:  # fmt: skip
    """Move what is free on one account to another again and again, at most `most_minor` each time."""
    await _sql.add_sweep.execute(
        tx, sweep_id, uuid_of(from_account_id), uuid_of(to_account_id), most_minor, every, first_at, by
    )


async def sweep(tx: db.Tx, *, now: datetime, new_id: Callable[[], UUID], limit: int = 500) -> int:
    """Run the standing orders that are due; several workers share them.

    Effects:
        A balancing transfer each: what holds and limits leave free, no more. Each run is recorded with its amount.

    Returns:
        How many ran; as many as `limit` means that more may be due.
    """
    due = await _sql.due_sweeps.fetch(tx, now, limit)
    if not due:
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
            code=SWEEP_CODE,
            flags=TransferFlags.BALANCING_DEBIT,
        )
        for order in due
    ]
    results = await ledger.create_transfers(transfers)
    moved = {t.id: t.amount for t in await ledger.lookup_transfers([t.id for t in transfers])}
    await _sql.insert_sweep_runs.execute(
        tx,
        [order["id"] for order in due],
        now,
        [uuid_of(t.id) for t in transfers],
        [0 if result.status is CreateTransferStatus.CREATED else int(result.status) for result in results],
        [moved.get(t.id, 0) for t in transfers],
    )
    return len(due)
