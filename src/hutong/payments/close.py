"""Asking for a payment's end. Who asks does not decide: the channel is asked first whether money has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.model import CloseReason, Payment, PaymentStatus
from hutong.payments.outcome import Occurrence, settle_status
from hutong.payments.payment import lock, save, sql


@dataclass(frozen=True, slots=True)
class RequestClose:
    """The wish that a payment may end unpaid."""

    payment_id: UUID
    reason: CloseReason


class CloseOutcome(StrEnum):
    """What came of it."""

    CLOSED = "closed"
    """Nothing could take money any more; the payment is closed."""
    CLOSING = "closing"
    """Attempts are open: each is asked about, then closed at its channel."""
    ALREADY_CLOSED = "already_closed"
    ALREADY_SUCCEEDED = "already_succeeded"


@dataclass(frozen=True, slots=True)
class CloseResult:
    """The outcome of one wish, and the payment as it is now."""

    outcome: CloseOutcome
    payment: Payment


async def request_close(
    tx: db.Tx, commands: Sequence[RequestClose], *, now: datetime
) -> tuple[list[CloseResult], list[Occurrence]]:
    """Close what can be closed at once and mark the rest; every payment must exist.

    Effects:
        From now on no attempt can be started. Open attempts become due to be asked about.

    Repeat:
        The first wish's time and reason stay.

    Returns:
        One result per command, in order, and what has happened.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    results: list[CloseResult] = []
    occurrences: list[Occurrence] = []
    changed: dict[UUID, Payment] = {}
    for command in commands:
        payment = payments[command.payment_id]
        if payment.status is PaymentStatus.SUCCEEDED:
            results.append(CloseResult(CloseOutcome.ALREADY_SUCCEEDED, payment))
            continue
        if payment.status is PaymentStatus.CLOSED:
            results.append(CloseResult(CloseOutcome.ALREADY_CLOSED, payment))
            continue
        if payment.close_requested_at is None:
            payment.close_requested_at, payment.close_reason = now, command.reason.value
            changed[payment.payment_id] = payment
        settle_status(payment, now, occurrences)
        outcome = CloseOutcome.CLOSING if payment.is_open else CloseOutcome.CLOSED
        results.append(CloseResult(outcome, payment))
    await save(tx, list(changed.values()))
    closing = [payment.payment_id for payment in changed.values() if payment.is_open]
    if closing:
        await sql.ask_now.execute(tx, closing, now)
    return results, occurrences


async def claim_expired(tx: db.Tx, *, now: datetime, limit: int) -> list[UUID]:
    """Open payments past their end that nobody is closing yet, locked, oldest first."""
    return [row["id"] for row in await sql.claim_expired.fetch(tx, now, limit)]
