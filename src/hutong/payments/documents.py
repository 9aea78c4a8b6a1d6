"""How a payment is written for the merchant: in answers, stored answers and events alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hutong import ids
from hutong.clock import instant
from hutong.payments.model import Attempt, Payment
from hutong.payments.timeline import TimelineEntry

CheckoutUrl = Callable[[Payment], str]
"""Gives the address of a payment's cashier page."""

Texts = Callable[[str, str], tuple[str, str] | None]
"""Gives what a payer may be told, in English and in Chinese: of a channel's name and one of our codes."""


def no_texts(_channel: str, _code: str) -> None:
    """For documents that are not shown to anybody."""


def payment_document(payment: Payment, checkout_url: CheckoutUrl, texts: Texts = no_texts) -> dict[str, Any]:
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
        "customer": None if payment.customer is None else asdict(payment.customer),
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
        "attempts": [attempt_document(attempt, texts) for attempt in payment.attempts],
    }


def attempt_document(attempt: Attempt, texts: Texts) -> dict[str, Any]:
    """The one public form of an attempt."""
    action = None
    if attempt.is_open and attempt.action_kind:
        action = {"kind": attempt.action_kind, "content": attempt.action_content}
    text = None if attempt.code is None else texts(attempt.channel, attempt.code)
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
        "code": attempt.code,
        "retryable": attempt.retryable,
        "text": None if text is None else {"en": text[0], "zh": text[1]},
        "created_at": instant(attempt.created_at),
        "finished_at": _optional(attempt.finished_at),
    }


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)


def timeline_document(
    payment: Payment, entries: Sequence[tuple[datetime, TimelineEntry]], *, for_operators: bool = False
) -> dict[str, Any]:
    """The one public form of a payment's story; what its row tells by itself is told here.

    Args:
        for_operators: Whether to tell who on the platform's side did it and why.
    """
    own = [(payment.created_at, TimelineEntry(payment.payment_id, "payment.created"))]
    own += [
        (a.created_at, TimelineEntry(payment.payment_id, "attempt.created", a.attempt_id)) for a in payment.attempts
    ]
    ends = [("payment.succeeded", payment.succeeded_at), ("payment.closed", payment.closed_at)]
    last = [(at, TimelineEntry(payment.payment_id, what)) for what, at in ends if at is not None]
    # Sorting keeps the order of what happened at the same instant: an intent before its outcome, the end at the end.
    story = sorted([*own, *entries, *last], key=lambda one: one[0])
    return {
        "object": "timeline",
        "payment_id": ids.encode("pay", payment.payment_id),
        "data": [
            {
                "at": instant(at),
                "what": entry.what,
                "attempt_id": None if entry.attempt_id is None else ids.encode("att", entry.attempt_id),
                "source": entry.source,
                "channel_code": entry.channel_code,
                "amount_minor": entry.amount_minor,
                "reason": entry.note if for_operators or entry.source is None else None,
            }
            for at, entry in story
        ],
    }
