"""Pages of a merchant's payments and refunds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import to_ns
from hutong.payments.documents import current_metadata
from hutong.payments.model import Payment, PaymentStatus
from hutong.payments.refunds.model import Refund, RefundState
from hutong.payments.statements import sql
from hutong.payments.store import find_refunds_by_no, read_refund, refunds_of, with_attempts

_SLACK = timedelta(hours=1)
"""How far the time in a payment's id may be from the recorded one, which is taken when the order is written."""


async def list_payments(
    tx: db.Tx,
    merchant_id: UUID,
    *,
    after: UUID | None = None,
    status: PaymentStatus | None = None,
    merchant_order_no: str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    metadata: Mapping[str, str] | None = None,
    limit: int = 20,
) -> list[Payment]:
    """Return a merchant's payments, newest first, from after the given one.

    Args:
        begin, end: Created at or after `begin` and before `end`.
        metadata: Names and values that the current metadata have.
    """
    if merchant_order_no is not None:
        # At most one: found by its own index, however many payments the merchant has.
        rows = await sql.find_by_order_no.fetch(tx, [merchant_id], [merchant_order_no])
        found = await with_attempts(tx, [row for row in rows if not after or row["payment_id"] < after])
        return [
            payment
            for payment in found
            if status in (None, payment.status)
            and (begin is None or payment.created_at >= begin)
            and (end is None or payment.created_at < end)
            and (metadata or {}).items() <= current_metadata(payment).items()
        ][:limit]
    # The list goes by ids, which begin with their time, so that a range of time is a range of the index.
    least = None if begin is None else _first_id(begin - _SLACK)
    bounds = [bound for bound in (after, None if end is None else _first_id(end + _SLACK)) if bound is not None]
    before = min(bounds, default=None)
    if not metadata:
        rows = await sql.list_payments.fetch(tx, merchant_id, before, status, limit, least, begin, end)
    else:
        rows = await sql.list_payments_by_metadata.fetch(
            tx,
            merchant_id=merchant_id,
            names=list(metadata),
            values=list(metadata.values()),
            least=least,
            after=before,
            status=status,
            begin=begin,
            end=end,
            limit=limit,
        )
    return await with_attempts(tx, rows)


async def list_refunds(
    tx: db.Tx,
    merchant_id: UUID,
    *,
    after: Refund | None = None,
    state: RefundState | None = None,
    payment_id: UUID | None = None,
    merchant_refund_no: str | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    limit: int = 20,
) -> list[Refund]:
    """Return a merchant's refunds, newest first, from after the given one.

    Args:
        begin, end: Created at or after `begin` and before `end`.
    """
    bounds = [] if after is None else [(after.created_at, after.refund_id)]
    bounds += [] if end is None else [(end, UUID(int=0))]
    before = min(bounds, default=None)
    if payment_id is None and merchant_refund_no is None:
        after_at, after_id = before or (None, None)
        rows = await sql.list_refunds.fetch(
            tx, merchant_id=merchant_id, after_at=after_at, after_id=after_id, begin=begin, state=state, limit=limit
        )
        return [read_refund(row) for row in rows]
    # Few: found by an index of their own, however many refunds the merchant has.
    if merchant_refund_no is not None:
        found = list((await find_refunds_by_no(tx, [(merchant_id, merchant_refund_no)])).values())
    else:
        assert payment_id is not None
        found = (await refunds_of(tx, [payment_id]))[payment_id]
    matching = [
        refund
        for refund in found
        if refund.merchant_id == merchant_id
        and payment_id in (None, refund.payment_id)
        and state in (None, refund.state)
        and (begin is None or refund.created_at >= begin)
        and (before is None or (refund.created_at, refund.refund_id) < before)
    ]
    return sorted(matching, key=lambda refund: (refund.created_at, refund.refund_id), reverse=True)[:limit]


async def list_refunds_of_payment(tx: db.Tx, payment_id: UUID, *, after: UUID | None, limit: int) -> list[Refund]:
    """Return refunds of one payment, first to last, from after the given one."""
    return [read_refund(row) for row in await sql.page_of_refunds.fetch(tx, payment_id, after, limit)]


def _first_id(at: datetime) -> UUID:
    """Return the least id of an instant's millisecond."""
    return UUID(int=max(to_ns(at) // 1_000_000, 0) << 80)
