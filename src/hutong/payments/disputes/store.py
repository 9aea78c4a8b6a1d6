"""The rows of disputes and of the responses to them: found, locked and saved."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import channels, db
from hutong.payments.disputes.model import Dispute, Response
from hutong.payments.model import Payment
from hutong.payments.statements import sql
from hutong.payments.store import lock

_read_dispute = db.reader(Dispute, (*sql["dispute"], "merchant_order_no"), without=("responses",))
_read_response = db.reader(Response, sql["dispute_response"])


async def find_disputes(
    tx: db.Tx, dispute_ids: Collection[UUID], *, merchant_id: UUID | None = None
) -> dict[UUID, Dispute]:
    """Return disputes as last committed; absent ones are left out, and so are another merchant's."""
    rows = await sql.find_disputes.fetch(tx, dispute_ids, merchant_id)
    return {dispute.dispute_id: dispute for dispute in await _with_responses(tx, rows)}


async def lock_disputes(tx: db.Tx, dispute_ids: Collection[UUID]) -> dict[UUID, tuple[Payment, Dispute]]:
    """Return disputes by id, each with its payment; the payments are locked in id order, and the disputes read then."""
    payments = await lock(tx, [row["payment_id"] for row in await sql.payments_of_disputes.fetch(tx, dispute_ids)])
    disputes = await find_disputes(tx, dispute_ids)
    return {dispute_id: (payments[dispute.payment_id], dispute) for dispute_id, dispute in disputes.items()}


async def find_by_number(tx: db.Tx, account_id: UUID, dispute_no: str) -> tuple[UUID, UUID] | None:
    """Return the dispute under a channel's number of it, and its attempt; None if there is none."""
    row = await sql.find_dispute_by_no.fetchrow(tx, account_id, dispute_no)
    return None if row is None else (row["dispute_id"], row["attempt_id"])


async def list_disputes(
    tx: db.Tx,
    *,
    merchant_id: UUID | None = None,
    state: channels.disputes.DisputeState | None = None,
    payment_id: UUID | None = None,
    after: UUID | None = None,
    limit: int = 20,
) -> list[Dispute]:
    """Return disputes of one merchant or of all, newest first, from after the given one."""
    rows = await sql.list_disputes.fetch(
        tx, merchant_id=merchant_id, state=state, payment_id=payment_id, after=after, limit=limit
    )
    return await _with_responses(tx, rows)


async def insert_dispute(tx: db.Tx, dispute: Dispute, *, now: datetime) -> None:
    """Write a new dispute."""
    try:
        await sql.insert_disputes.execute(tx, rows=[dispute], created_at=now)
    except asyncpg.UniqueViolationError as error:
        # Another transaction has opened it since this one looked: run again from the start, this one sees it.
        raise asyncpg.SerializationError(str(error)) from error


async def save_dispute(tx: db.Tx, dispute: Dispute) -> None:
    """Write the state of a dispute whose payment the caller has locked."""
    await sql.update_disputes.execute(tx, rows=[dispute])


async def save_disputed_sums(tx: db.Tx, payment: Payment) -> None:
    """Write how much channels have taken of a payment for disputes."""
    await sql.update_dispute_sums.execute(
        tx,
        [payment.payment_id],
        [payment.amount_disputed_minor],
        [payment.disputed_paid_minor],
        [payment.disputed_settled_minor],
    )


async def _with_responses(tx: db.Tx, rows: Sequence[asyncpg.Record]) -> list[Dispute]:
    disputes = {row["dispute_id"]: _read_dispute(row) for row in rows}
    if disputes:
        for row in await sql.responses_of_disputes.fetch(tx, list(disputes)):
            disputes[row["dispute_id"]].responses.append(_read_response(row))
    return list(disputes.values())
