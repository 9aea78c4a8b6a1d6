"""Capturing authorized money. The intent and a request to close exclude each other under one lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.model import CaptureMethod, Payment, PaymentStatus
from hutong.payments.statements import sql
from hutong.payments.store import lock, save, write_timeline
from hutong.payments.timeline import TimelineEntry

_CALL_LIMIT = timedelta(seconds=15)
"""How long the caller has for its call before the poller queries the outcome."""


@dataclass(frozen=True, slots=True)
class RequestCapture:
    """A request to capture authorized money, once.

    Attributes:
        amount_minor: The amount; None captures all. The rest is given up.
        partial: Whether the channel captures less than the whole.
    """

    payment_id: UUID
    amount_minor: int | None = None
    partial: bool = True


class CaptureOutcome(StrEnum):
    """Outcomes of a request to capture."""

    CAPTURING = "capturing"
    """The intent is written, by this request or an equal earlier one; the channel may be called after the commit."""
    ALREADY_CAPTURED = "already_captured"
    """An equal request has been fulfilled."""
    EXCEEDS_AUTHORIZED = "exceeds_authorized"
    NOT_IN_PART = "not_in_part"
    IN_PROGRESS = "in_progress"
    """Another amount is being captured."""
    NOT_CAPTURABLE = "not_capturable"
    """Nothing is authorized, not yet or no longer, or the authorization is being given up."""


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """The outcome of one request, and the payment in its state afterwards.

    Attributes:
        is_new: Whether this request wrote the intent.
    """

    outcome: CaptureOutcome
    payment: Payment
    is_new: bool = False


async def request_capture(tx: db.Tx, commands: Sequence[RequestCapture], *, now: datetime) -> list[CaptureResult]:
    """Write the intents of captures; every payment must exist.

    Effects:
        From now on the payment cannot be closed. The authorized attempt becomes due for a query.

    Repeat:
        An equal request changes nothing and gets the same answer; another amount is refused. A capture that the channel
        has refused leaves nothing to capture.

    Returns:
        One result per command, in order.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    results: list[CaptureResult] = []
    intents: list[Payment] = []
    for command in commands:
        payment = payments[command.payment_id]
        amount_minor = payment.amount_minor if command.amount_minor is None else command.amount_minor
        outcome = _outcome(payment, amount_minor, partial=command.partial)
        is_new = outcome is CaptureOutcome.CAPTURING and payment.capture_requested_at is None
        if is_new:
            payment.capture_minor, payment.capture_requested_at = amount_minor, now
            intents.append(payment)
        results.append(CaptureResult(outcome, payment, is_new))
    if intents:
        await save(tx, intents)
        # The caller is about to call the channel itself; the poller queries soon if it dies before that.
        await sql.query_now.execute(tx, [payment.payment_id for payment in intents], now + _CALL_LIMIT, now)
        await write_timeline(tx, [_timeline_entry(payment) for payment in intents], now=now)
    return results


def _outcome(payment: Payment, amount_minor: int, *, partial: bool) -> CaptureOutcome:
    if payment.status is PaymentStatus.SUCCEEDED and _captured_minor(payment) == amount_minor:
        return CaptureOutcome.ALREADY_CAPTURED
    if payment.status is not PaymentStatus.REQUIRES_CAPTURE or payment.close_requested_at is not None:
        return CaptureOutcome.NOT_CAPTURABLE
    if amount_minor > payment.amount_minor:
        return CaptureOutcome.EXCEEDS_AUTHORIZED
    if payment.capture_minor is not None:
        return CaptureOutcome.CAPTURING if payment.capture_minor == amount_minor else CaptureOutcome.IN_PROGRESS
    if amount_minor < payment.amount_minor and not partial:
        return CaptureOutcome.NOT_IN_PART
    return CaptureOutcome.CAPTURING


def _captured_minor(payment: Payment) -> int | None:
    """Return what a capture took; the intent may be lost where the database was restored and the channel was asked."""
    if payment.capture_method is CaptureMethod.MANUAL and payment.capture_minor is None:
        return payment.amount_captured_minor
    return payment.capture_minor


def _timeline_entry(payment: Payment) -> TimelineEntry:
    attempt = payment.authorized_attempt
    return TimelineEntry(
        payment.payment_id,
        "payment.capture_requested",
        None if attempt is None else attempt.attempt_id,
        amount_minor=payment.capture_minor,
    )
