"""The meaning of a channel's answer for an attempt and its payment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from hutong import db
from hutong.channels import NOT_SENT, About, ChannelAnswer, ChannelState
from hutong.ids import Ids, encode
from hutong.payments import postings
from hutong.payments.channel_reports import ChannelReport, RecordOutcome, ReportChange
from hutong.payments.exception_items import NewException, exception_of, mismatch_kind
from hutong.payments.items import funding_of
from hutong.payments.model import (
    ATTEMPT_TRANSITIONS,
    IN_DOUBT,
    WITHOUT_ACTION_FOR,
    WITHOUT_ACTION_MAX,
    Attempt,
    AttemptState,
    CaptureMethod,
    Payment,
    PaymentEvent,
    PaymentEventType,
    PaymentStatus,
    PollingPolicy,
    Source,
)
from hutong.payments.refunds.create import refund_surplus
from hutong.payments.statements import sql
from hutong.payments.store import items_of, lock_attempts, save, save_attempts, write_timeline
from hutong.payments.switching import CHANNEL_CLOCK_SLACK, is_by_code
from hutong.payments.timeline import TimelineEntry

_FINAL = {
    ChannelState.SUCCEEDED: AttemptState.SUCCEEDED,
    ChannelState.FAILED: AttemptState.FAILED,
    ChannelState.CLOSED: AttemptState.CLOSED,
}
_BOOKED = (PaymentEventType.SUCCEEDED, PaymentEventType.SURPLUS)
_Type = PaymentEventType


class AttemptReports:
    """What attempts supply for recording reports about them."""

    def __init__(self, policy: PollingPolicy, *, ids: Ids) -> None:
        self._policy = policy
        self._ids = ids

    lock = staticmethod(lock_attempts)

    def refuse(self, payment: Payment, row: Attempt, report: ChannelReport) -> RecordOutcome | None:
        """Return why a report must not be applied to an attempt; None if it may be."""
        if row.account_id != report.account_id:
            return RecordOutcome.NOT_FOUND
        return RecordOutcome.MISMATCH if _mismatch(payment, row, report.answer) else None

    def misfit(self, payment: Payment, row: Attempt, report: ChannelReport, *, new_id: UUID) -> NewException:
        """Return the exception that a report of another amount or currency is."""
        return exception_of(
            report.answer,
            mismatch_kind(report.answer, payment.currency),
            exception_id=new_id,
            account_id=report.account_id,
            about=About.PAYMENT,
            number=encode("att", row.attempt_id),
            source=report.source,
            expected=(payment.amount_minor, payment.currency),
            message=report.seal and report.seal(),
            payment_id=payment.payment_id,
            attempt_id=row.attempt_id,
        )

    def postpone(
        self, payment: Payment, row: Attempt, report: ChannelReport, *, now: datetime
    ) -> ReportChange[Attempt]:
        """Return what a report that does not fit changes: when the channel is asked again, as about any doubt.

        About an attempt that has ended unpaid it is asked at once: it may have taken money after the end.
        """
        change = ReportChange(payment, row, report.source.value)
        if row.is_open:
            row.next_query_at = _next_query_at(payment, row, now, self._policy)
            row.doubt_since = row.doubt_since or now
        elif row.state is not AttemptState.SUCCEEDED:
            row.verify_at = now
        change.row_changed = row.state is not AttemptState.SUCCEEDED
        return change

    def apply(self, payment: Payment, row: Attempt, report: ChannelReport, *, now: datetime) -> ReportChange[Attempt]:
        """Apply a report to an attempt and its payment; return what that changes."""
        return _apply(payment, row, report, now, self._policy)

    async def save(self, tx: db.Tx, changes: Sequence[ReportChange[Attempt]], *, now: datetime) -> None:
        """Write attempts, payments and timelines, and add the chains that book successes."""
        attempts = {c.row.attempt_id: (c.row, Source(c.source)) for c in changes if c.row_changed}
        payments = {c.payment.payment_id: c.payment for c in changes if c.payment_changed}
        await save_attempts(tx, list(attempts.values()))
        await save(tx, list(payments.values()))
        superfluous = [
            attempt.attempt_id
            for change in changes
            if change.payment_changed and change.payment.status is PaymentStatus.SUCCEEDED
            for attempt in change.payment.open_attempts
        ]
        if superfluous:  # orders that the payer left behind; what they take from now on is surplus
            await sql.end_attempts.execute(tx, superfluous, now)
        await write_timeline(tx, [entry for change in changes for entry in change.timeline], now=now)
        succeeded = [
            event.payment.payment_id for change in changes for event in change.events if event.type is _Type.SUCCEEDED
        ]
        items = await items_of(tx, succeeded) if succeeded else {}
        for change in changes:
            bought = items.get(change.payment.payment_id)
            platform_minor, channel_minor = funding_of(bought) if bought else (0, 0)
            change.chains += [
                postings.success(change.payment, change.row, platform_minor=platform_minor, channel_minor=channel_minor)
                for event in change.events
                if event.type in _BOOKED
            ]

    async def follow_up(self, tx: db.Tx, changes: Sequence[ReportChange[Attempt]], *, now: datetime) -> None:
        """Write the refunds of surplus successes."""
        surplus = [(change.payment, change.row) for change in changes if change.follow_up]
        await refund_surplus(tx, surplus, ids=self._ids, now=now)


def _amount_to_capture(payment: Payment, attempt: Attempt) -> int | None:
    """Return the amount that we have asked to capture of this authorization; None if it is another attempt's."""
    counted = attempt.state is AttemptState.SUCCEEDED and not attempt.surplus
    return payment.capture_minor if counted or attempt.state is AttemptState.AUTHORIZED else None


def _mismatch(payment: Payment, attempt: Attempt, answer: ChannelAnswer) -> bool:
    if answer.currency is not None and answer.currency != payment.currency:
        return True
    if answer.amount_minor is None:
        return False
    if payment.capture_method is CaptureMethod.MANUAL and answer.state is ChannelState.SUCCEEDED:
        expected = _amount_to_capture(payment, attempt)
        return answer.amount_minor != expected if expected else not 0 < answer.amount_minor <= payment.amount_minor
    return answer.amount_minor != payment.amount_minor


def _contradicts(payment: Payment, attempt: Attempt, answer: ChannelAnswer) -> bool:
    """Tell whether the channel denies what it has proven: that money was taken, or that none would be."""
    if attempt.state is AttemptState.SUCCEEDED:
        return answer.state in (ChannelState.FAILED, ChannelState.CLOSED)
    manual = payment.capture_method is CaptureMethod.MANUAL
    return not attempt.is_open and manual and answer.state is ChannelState.AUTHORIZED


def _apply(
    payment: Payment, attempt: Attempt, report: ChannelReport, now: datetime, policy: PollingPolicy
) -> ReportChange[Attempt]:
    """ReportChange one attempt and its payment as a report demands."""
    change = ReportChange(payment, attempt, report.source.value)
    was_open, state, status = attempt.is_open, attempt.state, payment.status
    answer = report.answer
    target = _target(payment, attempt, report)
    if target is not state and target in ATTEMPT_TRANSITIONS[state]:
        change.events += _transition(payment, attempt, target, answer, now)
    transitioned = attempt.state is not state
    if attempt.is_open or transitioned:
        attempt.channel_order_no = answer.channel_order_no or attempt.channel_order_no
        attempt.channel_code = answer.channel_code or attempt.channel_code
        attempt.channel_message = answer.channel_message or attempt.channel_message
        if answer.code is not None or transitioned:  # a final state without a code does not keep an earlier code
            attempt.code, attempt.code_entry = answer.code, answer.code_entry
            attempt.retryable = None if answer.code is None else answer.retryable
    if answer.action is not None and attempt.is_open:
        attempt.action_kind, attempt.action_content = answer.action.kind.value, answer.action.content
    change.events += settle_status(payment, now)
    doubt_since = attempt.doubt_since
    _schedule(payment, attempt, now, policy, transitioned=transitioned)
    if _awaits_expiry(payment, attempt, now):
        # The channel cannot end the order, which its answer to a close says, or that nobody has opened it: no doubt.
        is_answered = answer.state is ChannelState.NOT_FOUND or report.source is Source.CLOSE
        if answer.state in (ChannelState.PENDING, ChannelState.NOT_FOUND):
            attempt.doubt_since = None if is_answered else doubt_since
    change.payment_changed = payment.status is not status
    change.moved = transitioned or change.payment_changed
    change.row_changed = was_open or change.moved
    change.follow_up = transitioned and attempt.surplus
    change.contradicts = not change.moved and _contradicts(payment, attempt, answer)
    if transitioned or change.contradicts:
        change.timeline.append(_timeline_entry(payment, attempt, report, contradicts=change.contradicts))
    return change


def _schedule(payment: Payment, attempt: Attempt, now: datetime, policy: PollingPolicy, *, transitioned: bool) -> None:
    """Set when the channel is asked again: about what is open, and once more about what has ended unpaid."""
    attempt.next_query_at = _next_query_at(payment, attempt, now, policy) if attempt.is_open else None
    attempt.doubt_since = _doubt_since(payment, attempt)
    if transitioned:
        unpaid = attempt.state in (AttemptState.FAILED, AttemptState.CLOSED)
        attempt.verify_at = now + policy.verify_after if unpaid else None


def settle_exception(
    payment: Payment,
    attempt: Attempt,
    target: AttemptState,
    answer: ChannelAnswer,
    entry: TimelineEntry,
    *,
    to_surplus: bool,
    now: datetime,
    policy: PollingPolicy,
) -> ReportChange[Attempt]:
    """Apply what two persons have decided about a report that does not fit; return what that changes.

    Args:
        target: SUCCEEDED to book what the channel has taken, as surplus if the attempt or the payment has ended
            meanwhile; CLOSED to end an open attempt without any booking.
        to_surplus: What is booked is given back.
    """
    change = ReportChange(payment, attempt, Source.OPERATOR.value)
    was_open, state, status = attempt.is_open, attempt.state, payment.status
    if target is not state and (was_open or target is AttemptState.SUCCEEDED):
        attempt.channel_order_no = answer.channel_order_no or attempt.channel_order_no
        change.events += _transition(payment, attempt, target, answer, now, to_surplus=to_surplus)
    change.events += settle_status(payment, now)
    change.moved = change.row_changed = attempt.state is not state
    _schedule(payment, attempt, now, policy, transitioned=change.moved)
    change.payment_changed = payment.status is not status
    change.follow_up = change.moved and attempt.surplus
    change.events.append(PaymentEvent(_Type.EXCEPTION_DECIDED, payment, attempt))
    change.timeline.append(entry)
    return change


def _timeline_entry(payment: Payment, attempt: Attempt, report: ChannelReport, *, contradicts: bool) -> TimelineEntry:
    what = f"attempt.{'contradicted' if contradicts else attempt.state.value}"
    if attempt.surplus and not contradicts:
        what = "attempt.surplus"
    return TimelineEntry(
        payment.payment_id,
        what,
        attempt.attempt_id,
        report.source.value,
        report.answer.channel_code,
        None if contradicts else attempt.amount_captured_minor,
    )


def is_never_sent(answer: ChannelAnswer, source: Source) -> bool:
    """Tell whether a submission found no connection at all, so that it cannot have taken anything."""
    return source is Source.SUBMISSION and answer.state is ChannelState.UNKNOWN and answer.channel_code == NOT_SENT


def _target(payment: Payment, attempt: Attempt, report: ChannelReport) -> AttemptState:
    """Return the state that a report leads to. Doubt leads from `created` to `unknown` and nowhere else."""
    state = report.answer.state
    if state in _FINAL:
        return _FINAL[state]
    if attempt.state is AttemptState.CREATED and is_never_sent(report.answer, report.source):
        # It was sent only this once: before it is sent again it is queried, and the answer moves the attempt on.
        return AttemptState.FAILED
    if state is ChannelState.AUTHORIZED and payment.capture_method is CaptureMethod.MANUAL:
        return AttemptState.AUTHORIZED if attempt.is_open else attempt.state
    if state in (ChannelState.PENDING, ChannelState.AUTHORIZED):
        return AttemptState.SUBMITTED if attempt.is_open else attempt.state
    if attempt.state is AttemptState.CREATED and state in (ChannelState.UNKNOWN, ChannelState.NOT_FOUND):
        return AttemptState.UNKNOWN
    return attempt.state


def _transition(
    payment: Payment,
    attempt: Attempt,
    target: AttemptState,
    answer: ChannelAnswer,
    now: datetime,
    *,
    to_surplus: bool = False,
) -> list[PaymentEvent]:
    """Set an attempt's state, and its payment's where money has moved; return the events.

    Args:
        to_surplus: A success does not count, whatever the state of the payment.
    """
    was_open, was_authorized = attempt.is_open, attempt.state is AttemptState.AUTHORIZED
    to_capture = _amount_to_capture(payment, attempt)
    attempt.state = target
    if target is AttemptState.AUTHORIZED:
        payment.authorized_at = now
        payment.capture_before = None if attempt.authorization_kept is None else now + attempt.authorization_kept
        return [*settle_status(payment, now), PaymentEvent(_Type.AUTHORIZED, payment, attempt)]
    if attempt.is_open:
        return []
    attempt.finished_at = now
    if target is AttemptState.FAILED:
        return [PaymentEvent(_Type.ATTEMPT_FAILED, payment, attempt)]
    if target is not AttemptState.SUCCEEDED:
        return []
    # A success after the end of the attempt or of the payment does not count: it is given back.
    attempt.surplus = to_surplus or not was_open or not payment.is_open
    attempt.amount_captured_minor = answer.amount_minor or to_capture or payment.amount_minor
    if (sums := answer.sums) is not None:
        attempt.amount_paid_minor, attempt.amount_settled_minor = sums.paid_minor, sums.settled_minor
        attempt.channel_discounts = orjson.dumps(sums.discounts).decode()
    if attempt.surplus:
        return [PaymentEvent(_Type.SURPLUS, payment, attempt)]
    payment.status = PaymentStatus.SUCCEEDED
    payment.succeeded_at = now
    payment.amount_captured_minor = attempt.amount_captured_minor
    captured = [PaymentEvent(_Type.CAPTURED, payment, attempt)] if was_authorized else []
    return [*captured, PaymentEvent(_Type.SUCCEEDED, payment, attempt)]


def settle_status(payment: Payment, now: datetime) -> list[PaymentEvent]:
    """Bring an open payment's status in line with its attempts, and close it if that is requested and safe.

    Returns:
        The events of that.
    """
    if not payment.is_open:
        return []
    if payment.authorized_attempt is not None:
        payment.status = PaymentStatus.REQUIRES_CAPTURE
    elif payment.open_attempts:
        payment.status = PaymentStatus.PROCESSING
    elif payment.close_requested_at is not None:
        payment.status = PaymentStatus.CLOSED
        payment.closed_at = now
        return [PaymentEvent(_Type.CLOSED, payment)]
    else:
        payment.status = PaymentStatus.REQUIRES_PAYMENT
        # An authorization that the channel has given up leaves nothing to capture.
        payment.authorized_at = payment.capture_before = payment.capture_minor = payment.capture_requested_at = None
    return []


def _next_query_at(payment: Payment, attempt: Attempt, now: datetime, policy: PollingPolicy) -> datetime:
    """Return when to query next. A payer with nothing to scan yet must not wait for the slow end of the cadence.

    At a till everybody waits: there the channel is queried all the time, and at the end of the order's life.
    """
    waits_for_merchant = attempt.state is AttemptState.AUTHORIZED and not payment.is_capturing
    if waits_for_merchant and not payment.wants_end(attempt):
        return now + policy.cadence[-1]
    pause = policy.pause(attempt.queries)
    if is_by_code(attempt) and now - attempt.created_at < WITHOUT_ACTION_FOR:
        after = now + min(pause, policy.cadence[0])
        return attempt.expires_at if attempt.expires_at and now < attempt.expires_at < after else after
    if payment.wants_end(attempt):
        # As soon as "no such order" proves that there is none, and as soon as the order has expired.
        proofs = [attempt.created_at + policy.not_found_grace]
        proofs += [] if attempt.expires_at is None else [attempt.expires_at + CHANNEL_CLOCK_SLACK]
        return min([now + pause, *(proof + policy.cadence[0] for proof in proofs if proof + policy.cadence[0] > now)])
    hurried = attempt.action_kind is None and now - attempt.created_at < WITHOUT_ACTION_FOR
    return now + (min(pause, WITHOUT_ACTION_MAX) if hurried else pause)


def _awaits_expiry(payment: Payment, attempt: Attempt, now: datetime) -> bool:
    """Tell whether an order that is to end has not expired yet."""
    is_left = attempt.state is AttemptState.SUBMITTED and payment.wants_end(attempt)
    return is_left and attempt.expires_at is not None and now < attempt.expires_at + CHANNEL_CLOCK_SLACK


def _doubt_since(payment: Payment, attempt: Attempt) -> datetime | None:
    """Return since when the channel has owed an answer; None while nothing is in doubt."""
    if not attempt.is_open:
        return None
    if payment.wants_end(attempt):
        return attempt.close_requested_at or payment.close_requested_at
    if payment.is_capturing and attempt.state is AttemptState.AUTHORIZED:
        return payment.capture_requested_at
    return attempt.created_at if attempt.state in IN_DOUBT else None
