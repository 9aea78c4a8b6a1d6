"""How a payment is written for the merchant: in answers, stored answers and events alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hutong import ids
from hutong.payments.model import Attempt, Payment

CheckoutUrl = Callable[[Payment], str]
"""Gives the address of a payment's cashier page."""


def payment_document(payment: Payment, checkout_url: CheckoutUrl) -> dict[str, Any]:
    """The one public form of a payment."""
    return {
        "id": ids.encode("pay", payment.payment_id),
        "object": "payment",
        "status": payment.status.value,
        "merchant_order_no": payment.merchant_order_no,
        "amount_minor": payment.amount_minor,
        "capture_method": payment.capture_method.value,
        "amount_captured_minor": payment.amount_captured_minor,
        "amount_refunded_minor": payment.amount_refunded_minor,
        "amount_refunding_minor": payment.amount_refunding_minor,
        "currency": payment.currency,
        "subject": payment.subject,
        "return_url": payment.return_url,
        "metadata": payment.metadata,
        "checkout_url": checkout_url(payment),
        "created_at": instant(payment.created_at),
        "expires_at": instant(payment.expires_at),
        "authorized_at": _optional(payment.authorized_at),
        "capture_before": _optional(payment.capture_before),
        "capturing": payment.is_capturing,
        "succeeded_at": _optional(payment.succeeded_at),
        "closed_at": _optional(payment.closed_at),
        "close_reason": payment.close_reason if payment.closed_at else None,
        "closing": payment.is_open and payment.close_requested_at is not None,
        "attempts": [attempt_document(attempt) for attempt in payment.attempts],
    }


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """The one public form of an attempt."""
    action = None
    if attempt.is_open and attempt.action_kind:
        action = {"kind": attempt.action_kind, "content": attempt.action_content}
    return {
        "id": ids.encode("att", attempt.attempt_id),
        "method": attempt.method,
        "channel": attempt.channel,
        "state": attempt.state.value,
        "surplus": attempt.surplus,
        "action": action,
        "channel_order_no": attempt.channel_order_no,
        "channel_code": attempt.channel_code,
        "channel_message": attempt.channel_message,
        "created_at": instant(attempt.created_at),
        "finished_at": _optional(attempt.finished_at),
    }


def instant(value: datetime) -> str:
    """An instant in RFC 3339, in UTC, to the millisecond."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
