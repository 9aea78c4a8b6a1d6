"""Closing payments: a request does not decide, since the channel is queried first whether money has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.channel_answers import settle_status
from hutong.payments.model import Attempt, CloseReason, Payment, PaymentEvent, PaymentStatus
from hutong.payments.statements import sql
from hutong.payments.store import lock, save, write_timeline
from hutong.payments.timeline import TimelineEntry


@dataclass(frozen=True, slots=True)
class RequestClose:
    """A request to close a payment unpaid, or to give its authorization up.

    Attributes:
        note: Who requests it and why, where people do.
    """

    payment_id: UUID
    reason: CloseReason
    note: str | None = None


class CloseOutcome(StrEnum):
    """Outcomes of a request to close."""

    CLOSED = "closed"
    """Nothing could take money any more; the payment is closed."""
    CLOSING = "closing"
    """Attempts are open: each is queried, then closed at its channel."""
    CAPTURING = "capturing"
    """The authorized money is being captured, which was requested first. Nothing is written."""
    ALREADY_CLOSED = "already_closed"
    ALREADY_SUCCEEDED = "already_succeeded"


@dataclass(frozen=True, slots=True)
class CloseResult:
    """The outcome of one request, and the payment in its state afterwards."""

    outcome: CloseOutcome
    payment: Payment


async def request_close(
    tx: db.Tx, commands: Sequence[RequestClose], *, now: datetime
) -> tuple[list[CloseResult], list[PaymentEvent]]:
    """Close what can be closed at once and mark the rest; every payment must exist.

    Effects:
        From now on no attempt can be started and nothing be captured. Open attempts become due for a query.

    Repeat:
        The first request's time and reason stay.

    Returns:
        One result per command, in order, and the events to publish.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    results: list[CloseResult] = []
    happened: list[PaymentEvent] = []
    changed: dict[UUID, Payment] = {}
    entries: list[TimelineEntry] = []
    for command in commands:
        payment = payments[command.payment_id]
        if payment.is_capturing:
            results.append(CloseResult(CloseOutcome.CAPTURING, payment))
            continue
        if payment.status is PaymentStatus.SUCCEEDED:
            results.append(CloseResult(CloseOutcome.ALREADY_SUCCEEDED, payment))
            continue
        if payment.status is PaymentStatus.CLOSED:
            results.append(CloseResult(CloseOutcome.ALREADY_CLOSED, payment))
            continue
        if payment.close_requested_at is None:
            payment.close_requested_at, payment.close_reason = now, command.reason.value
            changed[payment.payment_id] = payment
            note = command.note or command.reason.value
            entries.append(TimelineEntry(payment.payment_id, "payment.close_requested", note=note))
        happened += settle_status(payment, now)
        outcome = CloseOutcome.CLOSING if payment.is_open else CloseOutcome.CLOSED
        results.append(CloseResult(outcome, payment))
    await save(tx, list(changed.values()))
    closing = [payment.payment_id for payment in changed.values() if payment.is_open]
    if closing:
        await sql.query_now.execute(tx, closing, now, now)
    await write_timeline(tx, entries, now=now)
    return results, happened


async def end_attempts(tx: db.Tx, attempts: Sequence[Attempt], *, now: datetime) -> None:
    """Request the end of open attempts, so that another one may be started; the payment goes on.

    Repeat:
        The first request's time stays.
    """
    await lock(tx, {attempt.payment_id for attempt in attempts})
    await sql.end_attempts.execute(tx, [attempt.attempt_id for attempt in attempts], now)
    entries = [TimelineEntry(attempt.payment_id, "attempt.close_requested", attempt.attempt_id) for attempt in attempts]
    await write_timeline(tx, entries, now=now)


async def claim_expired(tx: db.Tx, *, now: datetime, limit: int) -> list[UUID]:
    """Lock open payments past their expiry and authorizations past theirs, oldest first; return their ids.

    Those that are being closed already are left out.
    """
    unpaid = [row["id"] for row in await sql.claim_expired.fetch(tx, now, limit)]
    return unpaid + [row["id"] for row in await sql.claim_lapsing.fetch(tx, now, limit - len(unpaid))]
