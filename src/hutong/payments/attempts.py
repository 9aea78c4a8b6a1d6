"""Starting a try at a channel: the intent, checked and written down under the payment's lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.payments.model import DEFAULT_POLICY, Attempt, NewAttempt, Payment, PaymentStatus, PollingPolicy
from hutong.payments.store import insert_attempts, lock, new_attempt, save


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """The wish to try a payment by `new.method`."""

    payment_id: UUID
    new: NewAttempt


@dataclass(frozen=True, slots=True)
class Started:
    """The intent is written; the caller may call the channel once the transaction is committed."""

    payment: Payment
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Running:
    """A try by the same method is open; it is the one to go on with."""

    payment: Payment
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class OtherRunning:
    """Another try is open, or this one is being ended, and it could still take the money."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class NotPayable:
    """The payment is final, is being closed, or is past its end."""

    payment: Payment


StartResult = Started | Running | OtherRunning | NotPayable


async def start_attempts(
    tx: db.Tx, commands: Sequence[StartAttempt], *, now: datetime, policy: PollingPolicy = DEFAULT_POLICY
) -> list[StartResult]:
    """Begin tries; every payment must exist.

    Effects:
        Writes the attempt as `created` and moves the payment to `processing`.

    Repeat:
        While a try by the same method is open there is no second one, however often it is asked for.

    Returns:
        One result per command, in order.
    """
    payments = await lock(tx, {command.payment_id for command in commands})
    results: list[StartResult] = []
    started: list[Attempt] = []
    changed: dict[UUID, Payment] = {}
    for command in commands:
        payment = payments[command.payment_id]
        running = payment.open_attempts
        if not payment.is_open or payment.close_requested_at is not None or payment.expires_at <= now:
            results.append(NotPayable(payment))
        elif running and running[-1].method == command.new.method and running[-1].close_requested_at is None:
            results.append(Running(payment, running[-1]))
        elif running:
            results.append(OtherRunning(payment))
        else:
            attempt = new_attempt(payment.payment_id, command.new, payment.expires_at, now=now, policy=policy)
            payment.attempts.append(attempt)
            payment.status = PaymentStatus.PROCESSING
            started.append(attempt)
            changed[payment.payment_id] = payment
            results.append(Started(payment, attempt))
    await insert_attempts(tx, started, now=now)
    await save(tx, list(changed.values()))
    return results
