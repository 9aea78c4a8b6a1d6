"""Notifying a merchant that a payer who has opened the cashier is offered no method."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from prometheus_client import Counter

from hutong import db, ids
from hutong.payments.model import PaymentEvent, PaymentEventType
from hutong.payments.store import lock, read_timeline, write_timeline
from hutong.payments.timeline import TimelineEntry
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_WITHOUT_METHOD = Counter("hutong_payments_without_method_total", "Payments whose payers were offered no method.")
_WHAT = PaymentEventType.NO_METHOD.value


async def record_no_method(tx: db.Tx, payment_id: UUID, *, now: datetime) -> list[PaymentEvent]:
    """Record on the timeline of an open payment that its payer was offered no method.

    Effects:
        Logs `no_method_offered` and counts the payment.

    Repeat:
        Once for each payment; afterwards, and once it is no longer open, nothing is written.

    Returns:
        The events to publish.
    """
    payment = (await lock(tx, [payment_id]))[payment_id]
    if not payment.is_open or any(entry.what == _WHAT for _, entry in await read_timeline(tx, [payment_id])):
        return []
    await write_timeline(tx, [TimelineEntry(payment_id, _WHAT)], now=now)
    _WITHOUT_METHOD.inc()
    _log.warning(
        "no_method_offered",
        payment=ids.encode("pay", payment_id),
        merchant=ids.encode("mer", payment.merchant_id),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    return [PaymentEvent(PaymentEventType.NO_METHOD, payment)]
