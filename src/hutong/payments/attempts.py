"""Starting an attempt at a channel: the intent, checked and written under the payment's lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.create import new_attempt
from hutong.payments.model import (
    DEFAULT_POLICY,
    Attempt,
    AttemptState,
    NewAttempt,
    Payment,
    PaymentStatus,
    PollingPolicy,
)
from hutong.payments.store import insert_attempts, lock, save
from hutong.payments.switching import OPEN_ORDERS_MAX, is_live


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """A request to start an attempt by `new.method`.

    Attributes:
        leaving: Open attempts behind which it may be started, once their end is requested.
    """

    payment_id: UUID
    new: NewAttempt
    leaving: frozenset[UUID] = frozenset()


class StartOutcome(StrEnum):
    """Outcomes of starting an attempt. Only STARTED wrote anything."""

    STARTED = "started"
    """The intent is written; the channel may be called once the transaction is committed."""
    RUNNING = "running"
    """An attempt by the same method is open; the result has it."""
    OTHER_RUNNING = "other_running"
    """Another attempt is open, or this one is over or being closed, and could still take the money."""
    SUPERSEDED = "superseded"
    """Another attempt took this one's number and has ended meanwhile; the request must be made again."""
    NOT_PAYABLE = "not_payable"
    """The payment is final, is being closed, or is past its expiry."""


@dataclass(frozen=True, slots=True)
class StartResult:
    """The outcome of starting an attempt, with the payment and, if there is one to continue with, the attempt."""

    outcome: StartOutcome
    payment: Payment
    attempt: Attempt | None = None


async def start_attempts(
    tx: db.Tx, commands: Sequence[StartAttempt], *, now: datetime, policy: PollingPolicy = DEFAULT_POLICY
) -> list[StartResult]:
    """Start attempts; every payment must exist.

    Effects:
        Writes the attempt as `created` and moves the payment to `processing`.

    Repeat:
        While an attempt by the same method is open there is no second one, however often it is requested.

    Returns:
        One result per command, in order.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    results: list[StartResult] = []
    started: list[Attempt] = []
    changed: dict[UUID, Payment] = {}
    for command in commands:
        payment = payments[command.payment_id]
        running = [attempt for attempt in payment.open_attempts if not _is_left(attempt, command)]
        if not payment.is_open or payment.close_requested_at is not None or payment.expires_at <= now:
            results.append(StartResult(StartOutcome.NOT_PAYABLE, payment))
        elif running and running[-1].method == command.new.method and is_live(running[-1], now=now):
            results.append(StartResult(StartOutcome.RUNNING, payment, running[-1]))
        elif running or len(payment.open_attempts) >= OPEN_ORDERS_MAX:
            results.append(StartResult(StartOutcome.OTHER_RUNNING, payment))
        elif any(attempt.attempt_id == command.new.attempt_id for attempt in payment.attempts):
            results.append(StartResult(StartOutcome.SUPERSEDED, payment))
        else:
            attempt = new_attempt(payment.payment_id, command.new, payment.expires_at, now=now, policy=policy)
            payment.attempts.append(attempt)
            payment.status = PaymentStatus.PROCESSING
            started.append(attempt)
            changed[payment.payment_id] = payment
            results.append(StartResult(StartOutcome.STARTED, payment, attempt))
    await insert_attempts(tx, started, now=now)
    await save(tx, list(changed.values()))
    return results


def _is_left(attempt: Attempt, command: StartAttempt) -> bool:
    """Tell whether an open attempt stays behind the new one: nobody had opened it when its end was requested."""
    asked = attempt.attempt_id in command.leaving and attempt.close_requested_at is not None
    return asked and attempt.state is AttemptState.SUBMITTED
