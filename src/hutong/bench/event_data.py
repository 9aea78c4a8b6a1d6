"""Complete events as successful payments record them, so that receivers have their usual work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, events
from hutong.clock import SystemClock, instant
from hutong.ids import Ids, encode

_BATCH = 500


async def record_payments(database: db.Database, merchants: Sequence[UUID], count: int) -> None:
    """Record events of payments of these merchants in turn, each of another object, 500 in one transaction."""
    clock = SystemClock()
    ids = Ids(clock)
    for begin in range(0, count, _BATCH):
        now = clock.now()
        batch = [
            _succeeded(ids, merchants[at % len(merchants)], at, now) for at in range(begin, min(begin + _BATCH, count))
        ]
        async with database.transaction() as tx:
            await events.record(tx, batch, now=now)


def payment_data(payment_id: UUID, attempt_id: UUID, number: int, now: datetime) -> dict[str, Any]:
    """Return the public form of a payment that has just succeeded."""
    at = instant(now)
    name = encode("pay", payment_id)
    return {
        "id": name,
        "object": "payment",
        "status": "succeeded",
        "merchant_order_no": f"bench-{number}",
        "amount_minor": 1999,
        "capture_method": "automatic",
        "amount_captured_minor": 1999,
        "amount_paid_minor": 1999,
        "amount_settled_minor": 1999,
        "channel_discounts": [],
        "amount_refunded_minor": 0,
        "amount_refunding_minor": 0,
        "amount_disputed_minor": 0,
        "currency": "CNY",
        "subject": "Example Store, order 123",
        "return_url": None,
        "cancel_url": None,
        "metadata": {},
        "customer": None,
        "checkout_url": f"http://127.0.0.1:8080/pay/{name}?token=0123456789abcdef0123456789abcdef",
        "created_at": at,
        "expires_at": at,
        "authorized_at": None,
        "capture_before": None,
        "capturing": False,
        "succeeded_at": at,
        "closed_at": None,
        "close_reason": None,
        "closing": False,
        "attempts": [
            {
                "id": encode("att", attempt_id),
                "method": "wechat_native",
                "channel": "wechat",
                "state": "succeeded",
                "surplus": False,
                "action": None,
                "channel_order_no": "4200002000202611210000000001",
                "channel_code": "SUCCESS",
                "channel_message": None,
                "code": "paid",
                "retryable": None,
                "text": {"en": "Paid.", "zh": "支付成功。"},
                "created_at": at,
                "finished_at": at,
            }
        ],
    }


def _succeeded(ids: Ids, merchant_id: UUID, number: int, now: datetime) -> events.Event:
    payment_id = ids.new()
    data = payment_data(payment_id, ids.new(), number, now)
    return events.Event(ids.new(), "payment.succeeded", merchant_id, payment_id, data)
