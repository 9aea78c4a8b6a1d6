"""The meaning of a channel's answer, or of a person's settlement, for a refund and its payment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.channels import About, ChannelAnswer, ChannelState
from hutong.errors import InvariantBroken
from hutong.payments.channel_reports import ChannelReport, RecordOutcome, ReportChange
from hutong.payments.exception_items import NewException, exception_of, mismatch_kind
from hutong.payments.model import Payment, PaymentEvent, PollingPolicy, Source
from hutong.payments.refunds import postings
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod, switch_locked
from hutong.payments.refunds.model import (
    NO_MONEY,
    REFUND_TRANSITIONS,
    RETRY_DELAYS,
    Refund,
    RefundEventType,
    RefundKind,
    RefundMethod,
    RefundState,
    number_of,
)
from hutong.payments.store import lock_refunds, save_refund_sums, save_refunds, write_timeline
from hutong.payments.timeline import TimelineEntry

_S, _M, _Type = RefundState, RefundMethod, RefundEventType
_ATTENTION = RefundEventType.NEEDS_ATTENTION
_NEEDS_NO_NEW_HOLD = {_M.VOID: _M.ORIGINAL}
_REFUSED = frozenset({ChannelState.FAILED, ChannelState.CLOSED})


class RefundReports:
    """What refunds supply for recording reports about them."""

    def __init__(self, policy: PollingPolicy, *, new_id: Callable[[], UUID]) -> None:
        self._policy = policy
        self._new_id = new_id

    lock = staticmethod(lock_refunds)

    def refuse(self, payment: Payment, row: Refund, report: ChannelReport) -> RecordOutcome | None:
        """Return why a report must not be applied to a refund; None if it may be."""
        account_id = row.payout_account_id if report.method is _M.PAYOUT else row.account_id
        if account_id != report.account_id:
            return RecordOutcome.NOT_FOUND
        answer = report.answer
        ordered = row.payer_minor if report.method is _M.PAYOUT else row.amount_minor
        other_amount = answer.amount_minor is not None and answer.amount_minor != ordered
        other_currency = answer.currency is not None and answer.currency != row.currency
        cost = None if answer.returned is None else answer.returned.settled_minor
        too_much = cost is not None and cost > payment.attempt(row.attempt_id).returnable_minor
        return RecordOutcome.MISMATCH if other_amount or other_currency or too_much else None

    def misfit(self, payment: Payment, row: Refund, report: ChannelReport, *, new_id: UUID) -> NewException:
        """Return the exception that a report of another amount or currency is."""
        return exception_of(
            report.answer,
            mismatch_kind(report.answer, row.currency),
            exception_id=new_id,
            account_id=report.account_id,
            about=About.PAYOUT if report.method is _M.PAYOUT else About.REFUND,
            number=row.number if report.method is None else number_of(row.refund_id, report.method),
            source=report.source,
            expected=(row.amount_minor, row.currency),
            message=report.seal and report.seal(),
            payment_id=payment.payment_id,
            refund_id=row.refund_id,
        )

    def postpone(self, payment: Payment, row: Refund, report: ChannelReport, *, now: datetime) -> ReportChange[Refund]:
        """Return what a report that does not fit changes: when the channel is asked again, as about any doubt."""
        is_asked = row.next_query_at is not None and report.method is row.route
        change = ReportChange(payment, row, report.source.value, row_changed=is_asked)
        if is_asked:
            row.next_query_at, row.doubt_since = now + self._policy.pause(row.queries), row.doubt_since or now
        return change

    def apply(self, payment: Payment, row: Refund, report: ChannelReport, *, now: datetime) -> ReportChange[Refund]:
        """Apply a report to a refund and its payment; return what that changes."""
        return _apply(payment, row, report, now, self._policy)

    async def save(self, tx: db.Tx, changes: Sequence[ReportChange[Refund]], *, now: datetime) -> None:
        """Write refunds, the refunded sums of their payments, and timelines."""
        refunds = {c.row.refund_id: (c.row, c.source) for c in changes if c.row_changed}
        await save_refunds(tx, list(refunds.values()))
        await save_refund_sums(tx, {c.payment.payment_id: c.payment for c in changes if c.payment_changed})
        await write_timeline(tx, [entry for change in changes for entry in change.timeline], now=now)

    async def follow_up(self, tx: db.Tx, changes: Sequence[ReportChange[Refund]], *, now: datetime) -> None:
        """Send refunds whose original method has failed by the payout that was agreed for them."""
        failed = [change for change in changes if change.follow_up]
        commands = [SwitchRefundMethod(change.row.refund_id, _M.PAYOUT) for change in failed]
        locked = {change.row.refund_id: (change.payment, change.row) for change in failed}
        outcomes = await switch_locked(tx, commands, locked, new_id=self._new_id, now=now)
        # The hold was released a moment ago, under the same lock: nobody can have taken the money.
        if any(outcome is not SwitchMethodOutcome.SWITCHED for outcome in outcomes):
            raise InvariantBroken(f"a failed refund could not go on by payout: {outcomes}")


@dataclass(frozen=True, slots=True)
class SettleManually:
    """A person's settlement of a refund that is paid by hand.

    Attributes:
        reference: Where the payment can be found, such as the number at a bank or in the channel's portal; None gives
            the refund up.
        from_bank: Whether it was paid from our bank account; otherwise it was entered in the channel's portal.
    """

    refund_id: UUID
    reference: str | None
    from_bank: bool = False


def settle(payment: Payment, refund: Refund, command: SettleManually, *, now: datetime) -> ReportChange[Refund] | None:
    """Apply a person's settlement to a refund in state `manual`; return what that changes, None in any other state."""
    if refund.state is not _S.MANUAL:
        return None
    change = ReportChange(payment, refund, Source.OPERATOR.value, moved=True, row_changed=True)
    refund.reference = command.reference
    if command.reference is None:
        _fail(change, now)
    else:
        _succeed(change, now, from_bank=command.from_bank)
    return change


def is_current(refund: Refund, method: RefundMethod | None) -> bool:
    """Tell whether a channel still owes the end of a refund by this method."""
    return method is refund.route and refund.state is not _S.MANUAL and refund.finished_at is None


def settle_report(
    payment: Payment, refund: Refund, answer: ChannelAnswer, *, now: datetime, is_current: bool
) -> ReportChange[Refund]:
    """Apply a final report that did not fit as two persons have decided; return what that changes.

    Args:
        is_current: Whether the refund waits for this report; otherwise it is a late success of `answer.amount_minor`.
    """
    change = ReportChange(payment, refund, Source.OPERATOR.value, moved=True, row_changed=True)
    if is_current:
        refund.channel_refund_no = answer.channel_order_no or refund.channel_refund_no
        _transition(change, answer, now)
        refund.doubt_since = None
    else:
        _record_late_success(change, now, answer.amount_minor or refund.amount_minor)
    return change


def ask_again(payment: Payment, refund: Refund, *, now: datetime, is_current: bool) -> ReportChange[Refund]:
    """Make a refund due for a query at once, since a report about it is ignored; return what that changes."""
    change = ReportChange(payment, refund, Source.OPERATOR.value, row_changed=is_current)
    if is_current:
        refund.next_query_at, refund.doubt_since = now, refund.doubt_since or now
    return change


def overturns(refund: Refund, report: ChannelReport) -> bool:
    """Tell whether a report contradicts the end of a refund, so that the channel is asked before it is believed.

    It does if it reports the failure of a success, or the success of what has failed: a message about a success may be
    older than the failure that has followed it.
    """
    answer = report.answer
    own = refund.payout_account_id if report.method is _M.PAYOUT else refund.account_id
    ordered_minor = refund.payer_minor if report.method is _M.PAYOUT else refund.amount_minor
    if report.account_id != own or answer.amount_minor not in (None, ordered_minor):
        return False
    has_succeeded = refund.state is _S.SUCCEEDED and report.method is refund.route
    if answer.state in _REFUSED:
        return has_succeeded
    has_failed = refund.late_success_at is None and (refund.late_failure_at is not None or refund.state in NO_MONEY)
    return answer.state is ChannelState.SUCCEEDED and has_failed and not has_succeeded


def _is_newer(report: ChannelReport, end: datetime | None) -> bool:
    """Tell whether the channel was asked after an end was recorded."""
    return end is None or (report.asked_at is not None and report.asked_at >= end)


def _end_of_failure(refund: Refund, report: ChannelReport) -> datetime | None:
    """Return after when the channel must have been asked for its success to count; None where its report is enough.

    Answers to our own calls come in the order of the calls; messages come in any order.
    """
    has_failed = report.source is Source.NOTIFICATION and refund.state in NO_MONEY
    return refund.late_failure_at or (refund.finished_at if has_failed else None)


def _apply(
    payment: Payment, refund: Refund, report: ChannelReport, now: datetime, policy: PollingPolicy
) -> ReportChange[Refund]:
    """ReportChange one refund and its payment as a report demands."""
    change = ReportChange(payment, refund, report.source.value)
    before = (refund.state, refund.route, refund.tries, refund.late_success_at)
    answer, final = report.answer, refund.finished_at is not None
    current = report.method is refund.route and refund.state is not _S.MANUAL
    if is_current(refund, report.method):
        refund.channel_refund_no = answer.channel_order_no or refund.channel_refund_no
        refund.channel_code = answer.channel_code or refund.channel_code
        refund.channel_message = answer.channel_message or refund.channel_message
        if answer.channel_code is not None:
            refund.code_entry = answer.code_entry
        refund.next_query_at = now + policy.pause(refund.queries)
        _transition(change, answer, now)
        refund.doubt_since = _doubt_since(refund, answer, now)
    elif refund.state is _S.SUCCEEDED and current:
        if answer.state in _REFUSED and _is_newer(report, refund.finished_at):
            _fail_late(change, answer, now)
    elif answer.state is ChannelState.SUCCEEDED and _is_newer(report, _end_of_failure(refund, report)):
        _record_late_success(change, now, refund.amount_minor)
    change.moved = before != (refund.state, refund.route, refund.tries, refund.late_success_at)
    change.row_changed = change.moved or (current and not final)
    change.contradicts = answer.state in _REFUSED and not change.moved and refund.state is _S.SUCCEEDED
    if change.moved:
        what = "refund.succeeded_late" if refund.late_success_at == now else f"refund.{refund.state.value}"
        what = _Type.FAILED_AFTER_SUCCESS.value if refund.late_failure_at == refund.finished_at == now else what
        entry = TimelineEntry(
            payment.payment_id, what, None, report.source.value, answer.channel_code, refund.amount_minor
        )
        change.timeline.append(entry)
    return change


def _transition(change: ReportChange[Refund], answer: ChannelAnswer, now: datetime) -> None:
    if answer.state is ChannelState.SUCCEEDED:
        _succeed(change, now, answer=answer)
    elif answer.state in _REFUSED:
        _refuse(change, answer, now)
    elif answer.state is ChannelState.PENDING:
        _set_state(change.row, _S.SUBMITTED)
    elif answer.state is ChannelState.UNKNOWN and change.row.state is _S.HELD:
        _set_state(change.row, _S.UNKNOWN)


def _set_state(refund: Refund, target: RefundState) -> None:
    if target in REFUND_TRANSITIONS[refund.state]:
        refund.state = target


def _doubt_since(refund: Refund, answer: ChannelAnswer, now: datetime) -> datetime | None:
    """Return since when the channel has owed an answer. A refund that it has accepted or refused is not in doubt."""
    unanswered = refund.state is _S.PAYOUT and answer.state is ChannelState.UNKNOWN
    return refund.doubt_since or now if unanswered or refund.state is _S.UNKNOWN else None


def _succeed(
    change: ReportChange[Refund], now: datetime, *, answer: ChannelAnswer | None = None, from_bank: bool = False
) -> None:
    """Record that the money is back, with its parts as the channel reports them."""
    payment, refund = change.payment, change.row
    returned = None if answer is None else answer.returned
    paid_minor, cost_minor = (None, None) if returned is None else (returned.paid_minor, returned.settled_minor)
    refund.state, refund.finished_at, refund.next_query_at = _S.SUCCEEDED, now, None
    refund.payee_sealed = None  # the payee is not kept longer than needed
    change.chains.append(postings.success(refund, from_bank=from_bank, cost_minor=cost_minor))
    costs_more = cost_minor is not None and cost_minor > refund.held_minor
    if paid_minor not in (None, refund.payer_minor):
        refund.paid_minor = paid_minor
    if cost_minor not in (None, refund.held_minor):
        refund.settled_minor = cost_minor
    if costs_more:
        change.events.append(PaymentEvent(_Type.NEEDS_ATTENTION, payment, refund=refund))
    if refund.kind is RefundKind.SURPLUS:
        change.events.append(PaymentEvent(_Type.SURPLUS_REFUNDED, payment, refund=refund))
        return
    payment.amount_refunding_minor -= refund.amount_minor
    payment.amount_refunded_minor += refund.amount_minor
    change.payment_changed = True
    change.events.append(PaymentEvent(_Type.SUCCEEDED, payment, refund=refund))


def _refuse(change: ReportChange[Refund], answer: ChannelAnswer, now: datetime) -> None:
    """Record that this method is proven to have failed: go on by the next one, or later, or not at all."""
    refund = change.row
    following = _NEEDS_NO_NEW_HOLD.get(refund.route)
    # A refusal that may pass proves nothing permanently: a second copy of the call may still be answered otherwise.
    if following is not None and not answer.retryable:
        refund.route, refund.state, refund.next_query_at = following, _S.HELD, now
        return
    if _is_given_back(change.payment, refund, answer):
        refund.payee_sealed = None  # nothing is paid out either
        _end_without_money(change, _S.SUPERSEDED, now)
        change.events.append(PaymentEvent(_Type.SUPERSEDED, change.payment, refund=refund))
        return
    again = refund.kind is RefundKind.SURPLUS or answer.retryable
    if refund.state is not _S.PAYOUT and again and refund.tries < len(RETRY_DELAYS):
        refund.state, refund.next_query_at = _S.HELD, now + RETRY_DELAYS[refund.tries]
        refund.tries += 1
        if refund.kind is RefundKind.SURPLUS:
            change.events.append(PaymentEvent(_ATTENTION, change.payment, refund=refund))
        return
    _fail(change, now)


def _is_given_back(payment: Payment, refund: Refund, answer: ChannelAnswer) -> bool:
    """Tell whether a channel refuses a refund because it has given the money back already.

    It says so, or the refund was refused while the portal had given back what it needs.

    Surplus is left to persons: what went back of it in the portal is settled by hand.
    """
    by_channel = refund.route in (_M.VOID, _M.ORIGINAL)
    given_back = answer.is_given_back or payment.portal_minor > payment.refundable_minor
    return given_back and not answer.retryable and by_channel and refund.kind is RefundKind.REFUND


def _end_without_money(change: ReportChange[Refund], state: RefundState, now: datetime) -> None:
    """Record that no money went back: the hold is released."""
    payment, refund = change.payment, change.row
    refund.state, refund.finished_at, refund.next_query_at = state, now, None
    change.chains.append(postings.failure(refund))
    if refund.kind is RefundKind.REFUND:
        payment.amount_refunding_minor -= refund.amount_minor
        change.payment_changed = True
        if refund.late_success_at is not None:
            _reduce_refundable(payment, refund.amount_minor)


def _fail(change: ReportChange[Refund], now: datetime) -> None:
    """Record that no money went back: the hold is released, and an agreed payout follows."""
    payment, refund = change.payment, change.row
    _end_without_money(change, _S.FAILED, now)
    if refund.kind is RefundKind.SURPLUS:
        change.events.append(PaymentEvent(_ATTENTION, payment, refund=refund))
        return
    if (
        refund.late_success_at is None
        and refund.route is _M.ORIGINAL
        and refund.payout_account_id
        and refund.payee_sealed is not None
    ):
        change.follow_up = True
        return
    change.events.append(PaymentEvent(_Type.FAILED, payment, refund=refund))


def _fail_late(change: ReportChange[Refund], answer: ChannelAnswer, now: datetime) -> None:
    """Record that the money of a success has come back: what was booked is booked back, and a person is asked."""
    payment, refund = change.payment, change.row
    change.undone.append(postings.booked_success(refund))
    refund.state, refund.finished_at, refund.late_failure_at = _S.FAILED, now, now
    refund.channel_code, refund.channel_message = answer.channel_code, answer.channel_message
    if refund.kind is RefundKind.REFUND:
        payment.amount_refunded_minor -= refund.amount_minor
        change.payment_changed = True
    change.events += [PaymentEvent(kind, payment, refund=refund) for kind in (_Type.FAILED_AFTER_SUCCESS, _ATTENTION)]


def _record_late_success(change: ReportChange[Refund], now: datetime, amount_minor: int) -> None:
    """Record money that left by a method that was proven to have failed.

    It is booked as unexplained, so that it is never lost; people must look.
    """
    payment, refund = change.payment, change.row
    if refund.late_success_at is not None:
        return
    refund.late_success_at = now
    change.chains.append(postings.late_success(refund, amount_minor))
    if not refund.counts and refund.kind is RefundKind.REFUND:
        _reduce_refundable(payment, amount_minor)
        change.payment_changed = True
    change.events.append(PaymentEvent(_ATTENTION, payment, refund=refund))


def _reduce_refundable(payment: Payment, amount_minor: int) -> None:
    """Count money that has gone back as refunded, as far as anything is left."""
    payment.amount_refunded_minor += min(amount_minor, payment.unrefunded_minor)
