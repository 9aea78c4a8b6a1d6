"""Taking in what channels say: the heart of the life cycle.

Whatever way an answer came (submission, notification, query), it goes through `record`, under the payment's lock, and
its state, its transfers and its events are written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.channels import NOT_SENT, ChannelAnswer, ChannelState
from hutong.idempotency import StoredAnswer
from hutong.payments.model import (
    ATTEMPT_TRANSITIONS,
    DEFAULT_POLICY,
    IN_DOUBT,
    WITHOUT_ACTION_FOR,
    WITHOUT_ACTION_MAX,
    Attempt,
    AttemptState,
    CaptureMethod,
    Payment,
    PaymentStatus,
    PollingPolicy,
    Source,
)
from hutong.payments.statements import sql
from hutong.payments.store import lock_by_attempt, save
from hutong.payments.timeline import TimelineEntry, write_timeline

_FINAL = {
    ChannelState.SUCCEEDED: AttemptState.SUCCEEDED,
    ChannelState.FAILED: AttemptState.FAILED,
    ChannelState.CLOSED: AttemptState.CLOSED,
}


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """A channel's word about one attempt.

    Attributes:
        account_id: The account it came through; another account's attempts are out of its reach.
        replay_key: What identifies the very message, if it must be taken once only.
    """

    attempt_id: UUID
    account_id: UUID
    answer: ChannelAnswer
    source: Source
    replay_key: bytes | None = None


class RecordOutcome(StrEnum):
    """What came of it."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    MISMATCH = "mismatch"
    """Genuine, but about another amount or currency than we ordered. Nothing is written."""
    NO_SUCH_ATTEMPT = "no_such_attempt"
    REPLAYED = "replayed"


class PaymentEventType(StrEnum):
    """Events of a payment that others are told of, and that the books may have to follow."""

    AUTHORIZED = "payment.authorized"
    CAPTURED = "payment.captured"
    SUCCEEDED = "payment.succeeded"
    CLOSED = "payment.closed"
    ATTEMPT_FAILED = "payment.attempt_failed"
    SURPLUS = "payment.surplus_received"


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """One happening, with the attempt it is about."""

    happening: PaymentEventType
    payment: Payment
    attempt: Attempt | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The effect of one message, and the payment as it is now.

    Attributes:
        contradicts: The message denies an end that we hold for proven. Nothing is changed; a person must look.
        answer: What stands under the idempotency key that it came with.
    """

    effect: RecordOutcome
    payment: Payment | None
    contradicts: bool = False
    answer: StoredAnswer | None = None


async def record(
    tx: db.Tx, messages: Sequence[ChannelReport], *, now: datetime, policy: PollingPolicy = DEFAULT_POLICY
) -> tuple[list[Recorded], list[PaymentEvent]]:
    """Apply channels' words to their attempts, in order.

    Effects:
        Writes attempts, payments and their timelines. The caller books and announces the occurrences in the same
        transaction.

    Repeat:
        A word that says nothing new changes nothing; what is refused writes nothing at all.

    Returns:
        One result per message, in order, and what has happened, in order.
    """
    payments = await lock_by_attempt(tx, [message.attempt_id for message in messages])
    owners = {attempt.attempt_id: (payment, attempt) for payment in payments for attempt in payment.attempts}
    found = [owners.get(message.attempt_id) for message in messages]
    refusals = [_refusal(owner, message) for owner, message in zip(found, messages, strict=True)]
    good = [message for message, refusal in zip(messages, refusals, strict=True) if refusal is None]
    fresh = iter(await claim_notifications(tx, [(m.account_id, m.replay_key) for m in good], now=now))
    results: list[Recorded] = []
    occurrences: list[PaymentEvent] = []
    touched: dict[UUID, tuple[Attempt, Source]] = {}
    changed: dict[UUID, Payment] = {}
    story: list[TimelineEntry] = []
    for message, owner, refusal in zip(messages, found, refusals, strict=True):
        if owner is None or refusal is RecordOutcome.NO_SUCH_ATTEMPT:
            results.append(Recorded(RecordOutcome.NO_SUCH_ATTEMPT, None))
            continue
        payment, attempt = owner
        if refusal is not None or not next(fresh):
            results.append(Recorded(refusal or RecordOutcome.REPLAYED, payment))
            continue
        was_open, before, status = attempt.is_open, attempt.state, payment.status
        moved = _apply(payment, attempt, message, now, policy, occurrences)
        contradicts = not moved and _contradicts(payment, attempt, message.answer)
        if was_open or moved:
            touched[attempt.attempt_id] = (attempt, message.source)
        if payment.status is not status:
            changed[payment.payment_id] = payment
        if attempt.state is not before or contradicts:
            story.append(_entry(payment, attempt, message, contradicts))
        results.append(Recorded(RecordOutcome.APPLIED if moved else RecordOutcome.UNCHANGED, payment, contradicts))
    await _save_attempts(tx, list(touched.values()))
    await save(tx, list(changed.values()))
    await write_timeline(tx, story, now=now)
    return results, occurrences


async def claim_notifications(tx: db.Tx, keys: Sequence[tuple[UUID, bytes | None]], *, now: datetime) -> list[bool]:
    """Which messages have not been taken before, by account and replay key; without a key each is new. Of two equal
    ones in one list the first counts."""
    distinct = sorted({(account_id, key) for account_id, key in keys if key is not None})
    if not distinct:
        return [True] * len(keys)
    rows = await sql.spend_notices.fetch(tx, [a for a, _ in distinct], [k for _, k in distinct], now)
    spent = {(row["account_id"], row["replay_key"]) for row in rows}
    fresh: list[bool] = []
    for identity in keys:
        fresh.append(identity[1] is None or identity in spent)
        spent.discard(identity)
    return fresh


def _refusal(owner: tuple[Payment, Attempt] | None, message: ChannelReport) -> RecordOutcome | None:
    if owner is None or owner[1].account_id != message.account_id:
        return RecordOutcome.NO_SUCH_ATTEMPT
    return RecordOutcome.MISMATCH if _mismatch(*owner, message.answer) else None


def _to_capture(payment: Payment, attempt: Attempt) -> int | None:
    """What we have asked to be taken of this very authorization."""
    counted = attempt.state is AttemptState.SUCCEEDED and not attempt.surplus
    return payment.capture_minor if counted or attempt.state is AttemptState.AUTHORIZED else None


def _mismatch(payment: Payment, attempt: Attempt, answer: ChannelAnswer) -> bool:
    if answer.currency is not None and answer.currency != payment.currency:
        return True
    if answer.amount_minor is None:
        return False
    if payment.capture_method is CaptureMethod.MANUAL and answer.state is ChannelState.SUCCEEDED:
        wanted = _to_capture(payment, attempt)
        return answer.amount_minor != wanted if wanted else not 0 < answer.amount_minor <= payment.amount_minor
    return answer.amount_minor != payment.amount_minor


def _contradicts(payment: Payment, attempt: Attempt, answer: ChannelAnswer) -> bool:
    """Whether the channel denies what it said before: that money was taken, or that none would be."""
    if attempt.state is AttemptState.SUCCEEDED:
        return answer.state in (ChannelState.FAILED, ChannelState.CLOSED)
    manual = payment.capture_method is CaptureMethod.MANUAL
    return not attempt.is_open and manual and answer.state is ChannelState.AUTHORIZED


def _entry(payment: Payment, attempt: Attempt, message: ChannelReport, contradicts: bool) -> TimelineEntry:
    what = f"attempt.{'contradicted' if contradicts else attempt.state.value}"
    if attempt.surplus and not contradicts:
        what = "attempt.surplus"
    return TimelineEntry(
        payment.payment_id, what, attempt.attempt_id, message.source.value,
        storable(message.answer.channel_code), None if contradicts else attempt.amount_captured_minor,
    )  # fmt: skip


def _apply(
    payment: Payment,
    attempt: Attempt,
    message: ChannelReport,
    now: datetime,
    policy: PollingPolicy,
    occurrences: list[PaymentEvent],
) -> bool:
    """Move one attempt and its payment; returns whether anything moved."""
    before = (attempt.state, payment.status)
    answer = message.answer
    target = _target(payment, attempt, message)
    if target is not attempt.state and target in ATTEMPT_TRANSITIONS[attempt.state]:
        _move(payment, attempt, target, answer, now, occurrences)
    moved = before[0] is not attempt.state
    if attempt.is_open or moved:
        attempt.channel_order_no = storable(answer.channel_order_no) or attempt.channel_order_no
        attempt.channel_code = storable(answer.channel_code) or attempt.channel_code
        attempt.channel_message = storable(answer.channel_message) or attempt.channel_message
        if answer.code is not None or moved:  # an end without a code does not keep the word of the doubt before it
            attempt.code, attempt.retryable = answer.code, None if answer.code is None else answer.retryable
    if answer.action is not None and attempt.is_open:
        attempt.action_kind, attempt.action_content = answer.action.kind.value, storable(answer.action.content)
    settle_status(payment, now, occurrences)
    attempt.next_query_at = _next_query(payment, attempt, now, policy) if attempt.is_open else None
    attempt.doubt_since = _doubt_since(payment, attempt)
    if moved:
        unpaid = attempt.state in (AttemptState.FAILED, AttemptState.CLOSED)
        attempt.verify_at = now + policy.verify_after if unpaid else None
    return before != (attempt.state, payment.status)


def is_never_sent(answer: ChannelAnswer, source: Source) -> bool:
    """Whether a submission found no connection at all, so that it cannot have taken anything."""
    return source is Source.SUBMISSION and answer.state is ChannelState.UNKNOWN and answer.channel_code == NOT_SENT


def storable(text: str | None) -> str | None:
    """A channel's text as the database can hold it: a NUL in a message must not keep its money from being booked."""
    return text and text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _target(payment: Payment, attempt: Attempt, message: ChannelReport) -> AttemptState:
    """The state that a word leads to. Doubt leads from `created` to `unknown` and nowhere else."""
    state = message.answer.state
    if state in _FINAL:
        return _FINAL[state]
    if attempt.state is AttemptState.CREATED and is_never_sent(message.answer, message.source):
        # Nobody has sent it again: before that a question is asked, whose answer moves the attempt on.
        return AttemptState.FAILED
    if state is ChannelState.AUTHORIZED and payment.capture_method is CaptureMethod.MANUAL:
        return AttemptState.AUTHORIZED if attempt.is_open else attempt.state
    if state in (ChannelState.PENDING, ChannelState.AUTHORIZED):
        return AttemptState.SUBMITTED if attempt.is_open else attempt.state
    if attempt.state is AttemptState.CREATED and state in (ChannelState.UNKNOWN, ChannelState.NOT_FOUND):
        return AttemptState.UNKNOWN
    return attempt.state


def _move(
    payment: Payment,
    attempt: Attempt,
    target: AttemptState,
    answer: ChannelAnswer,
    now: datetime,
    occurrences: list[PaymentEvent],
) -> None:
    was_open, was_authorized = attempt.is_open, attempt.state is AttemptState.AUTHORIZED
    wanted = _to_capture(payment, attempt)
    attempt.state = target
    if target is AttemptState.AUTHORIZED:
        payment.authorized_at = now
        payment.capture_before = None if attempt.authorization_kept is None else now + attempt.authorization_kept
        settle_status(payment, now, occurrences)
        occurrences.append(PaymentEvent(PaymentEventType.AUTHORIZED, payment, attempt))
    if attempt.is_open:
        return
    attempt.finished_at = now
    if target is AttemptState.SUCCEEDED:
        # What came after an end, ours or the payment's, does not count: it is given back.
        attempt.surplus = not was_open or not payment.is_open
        attempt.amount_captured_minor = answer.amount_minor or wanted or payment.amount_minor
        if attempt.surplus:
            occurrences.append(PaymentEvent(PaymentEventType.SURPLUS, payment, attempt))
        else:
            payment.status = PaymentStatus.SUCCEEDED
            payment.succeeded_at = now
            payment.amount_captured_minor = attempt.amount_captured_minor
            if was_authorized:
                occurrences.append(PaymentEvent(PaymentEventType.CAPTURED, payment, attempt))
            occurrences.append(PaymentEvent(PaymentEventType.SUCCEEDED, payment, attempt))
    elif target is AttemptState.FAILED:
        occurrences.append(PaymentEvent(PaymentEventType.ATTEMPT_FAILED, payment, attempt))


def settle_status(payment: Payment, now: datetime, occurrences: list[PaymentEvent]) -> None:
    """Bring an open payment's status in line with its attempts, and close it if that is wanted and safe."""
    if not payment.is_open:
        return
    if payment.authorized_attempt is not None:
        payment.status = PaymentStatus.REQUIRES_CAPTURE
    elif payment.open_attempts:
        payment.status = PaymentStatus.PROCESSING
    elif payment.close_requested_at is not None:
        payment.status = PaymentStatus.CLOSED
        payment.closed_at = now
        occurrences.append(PaymentEvent(PaymentEventType.CLOSED, payment, None))
    else:
        payment.status = PaymentStatus.REQUIRES_PAYMENT
        # An authorization that the channel has given up leaves nothing to capture.
        payment.authorized_at = payment.capture_before = payment.capture_minor = payment.capture_requested_at = None


def _next_query(payment: Payment, attempt: Attempt, now: datetime, policy: PollingPolicy) -> datetime:
    """When to ask next. A payer who has nothing to scan yet must not wait for the slow end of the cadence."""
    waits_for_merchant = attempt.state is AttemptState.AUTHORIZED and not payment.is_capturing
    if waits_for_merchant and not payment.wants_end(attempt):
        return now + policy.cadence[-1]
    pause = policy.cadence[min(attempt.queries, len(policy.cadence) - 1)]
    hurried = attempt.action_kind is None and now - attempt.created_at < WITHOUT_ACTION_FOR
    return now + (min(pause, WITHOUT_ACTION_MAX) if hurried else pause)


def _doubt_since(payment: Payment, attempt: Attempt) -> datetime | None:
    """Since when we have been waiting for a word that should have come; None while all is as it should be."""
    if not attempt.is_open:
        return None
    if payment.wants_end(attempt):
        return attempt.close_requested_at or payment.close_requested_at
    if payment.is_capturing and attempt.state is AttemptState.AUTHORIZED:
        return payment.capture_requested_at
    return attempt.created_at if attempt.state in IN_DOUBT else None


async def _save_attempts(tx: db.Tx, touched: Sequence[tuple[Attempt, Source]]) -> None:
    if touched:
        await sql.update_attempts.execute(
            tx, rows=[attempt for attempt, _ in touched], source=[source for _, source in touched]
        )
