"""Recording what is stated of a dispute: the latest statement holds, and the books follow it.

A statement is compared with the recorded one by the channel's own clock, and of two of one instant the one that is
further on holds. So statements in any order and in any number have one effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import channels, db
from hutong.foreign_text import storable_text
from hutong.payments.disputes.model import END_EVENTS, Dispute, DisputeEventType
from hutong.payments.disputes.postings import Position, book_difference, position_of
from hutong.payments.disputes.store import (
    find_by_number,
    find_disputes,
    insert_dispute,
    save_dispute,
    save_disputed_sums,
)
from hutong.payments.documents import Documents
from hutong.payments.model import Attempt, Payment, PaymentEvent, Source
from hutong.payments.refunds.parts import disputed_parts
from hutong.payments.statements import sql
from hutong.payments.store import claim_notifications, lock_attempts, write_timeline
from hutong.payments.timeline import TimelineEntry

DISPUTE_ENDED = "dispute_ended"
"""Our code for a response that the end of its dispute has overtaken."""

_ORDER = tuple(channels.disputes.DisputeState)
_NUMBER_MAX, _REASON_MAX, _STATEMENT_MAX = 128, 64, 1000


class DisputeOutcome(StrEnum):
    """Outcomes of a statement about a dispute."""

    OPENED = "opened"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REPLAYED = "replayed"
    """The same message was taken before."""
    NO_ORDER = "unknown_order"
    """Its order is none of ours."""
    NOT_COUNTED = "order_not_counted"
    """No payment counts the order: it has not succeeded here, or it is surplus, which goes back by itself."""
    MISMATCH = "currency_mismatch"
    """It is in another currency than the order."""
    NOT_STATED = "not_stated"
    """The message only names the dispute, and the channel cannot be asked about it."""


@dataclass(frozen=True, slots=True)
class DisputeStatement:
    """A statement about a dispute of a known order.

    Attributes:
        stated_at: When it was made, by the channel's clock where that is known.
        is_asked: Whether the channel has an interface, so that it is asked while the dispute is open.
        replay_key: Identifies the message, if it must be taken only once.
        note: Who entered it and why, for what people do.
    """

    attempt_id: UUID
    report: channels.disputes.DisputeReport
    stated_at: datetime
    source: Source
    is_asked: bool = True
    replay_key: bytes | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """What recording needs besides the statement."""

    documents: Documents
    new_id: Callable[[], UUID]
    derive: Callable[..., UUID]


def is_newer(dispute: Dispute, report: channels.disputes.DisputeReport, stated_at: datetime) -> bool:
    """Tell whether a statement comes after the recorded one."""
    recorded = (dispute.changed_at, *_progress(dispute.state, dispute.taken_minor, dispute.fee_minor))
    return (stated_at, *_progress(report.state, report.taken_minor, report.fee_minor)) > recorded


def _progress(state: channels.disputes.DisputeState, taken_minor: int, fee_minor: int) -> tuple[int, int, int]:
    """Return what puts two statements of one instant in order: money is given back by a won dispute alone."""
    sign = -1 if state is channels.disputes.DisputeState.WON else 1
    return _ORDER.index(state), sign * taken_minor, sign * fee_minor


async def record_statement(
    tx: db.Tx, statement: DisputeStatement, use: Recording, *, now: datetime
) -> tuple[DisputeOutcome, Dispute | None]:
    """Record a statement about a dispute under the lock of its payment.

    Effects:
        Opens or changes the dispute; books what the channel has taken or given back; counts it against what can be
        refunded; writes the timeline and the events.

    Repeat:
        A statement that is not newer changes nothing.
    """
    payment, attempt = (await lock_attempts(tx, [statement.attempt_id]))[statement.attempt_id]
    report = _bounded(statement.report)
    statement = replace(statement, report=report)
    known = await find_by_number(tx, attempt.account_id, report.dispute_no)
    if known is None and attempt is not payment.counted_attempt:
        return DisputeOutcome.NOT_COUNTED, None
    if report.currency != payment.currency:
        return DisputeOutcome.MISMATCH, None
    key = (attempt.account_id, statement.replay_key)
    if statement.replay_key is not None and not (await claim_notifications(tx, [key], now=now))[0]:
        return DisputeOutcome.REPLAYED, None
    if known is None:
        dispute = _open(payment, attempt, statement, use, now=now)
        before, outcome = Position(), DisputeOutcome.OPENED
        events = [DisputeEventType.OPENED, *([END_EVENTS[dispute.state]] if dispute.is_final else [])]
    else:
        dispute = (await find_disputes(tx, [known[0]]))[known[0]]
        recorded, before = replace(dispute), position_of(dispute)
        _fill_in(dispute, report)
        if is_newer(dispute, report, statement.stated_at):
            _change(dispute, statement, now=now)
        if dispute == recorded:
            return DisputeOutcome.UNCHANGED, dispute
        is_news = _published(dispute) != _published(recorded)
        outcome = DisputeOutcome.CHANGED if is_news else DisputeOutcome.UNCHANGED
        is_end = dispute.is_final and dispute.state is not recorded.state
        events = [END_EVENTS[dispute.state] if is_end else DisputeEventType.UPDATED] if is_news else []
    count_taken(payment, attempt, before.taken_minor, dispute.taken_minor)
    await book_difference(tx, dispute, before, base=use.new_id(), now=now)
    await (insert_dispute(tx, dispute, now=now) if known is None else save_dispute(tx, dispute))
    await save_disputed_sums(tx, payment)
    if dispute.is_final:
        await sql.end_dispute_responses.execute(tx, dispute.dispute_id, DISPUTE_ENDED, now)
    if events:
        what = "dispute.opened" if known is None else f"dispute.{dispute.state.value}"
        entry = _entry(dispute, what, statement)
        await write_timeline(tx, [entry], now=now)
    await use.documents.emit(
        tx, [PaymentEvent(event, payment, dispute=dispute) for event in events], new_id=use.new_id, now=now
    )
    return outcome, dispute


def _published(dispute: Dispute) -> tuple[object, ...]:
    """Return what events of a dispute are about; a statement that changes nothing of it is none."""
    figures = dispute.amount_minor, dispute.taken_minor, dispute.fee_minor
    return dispute.state, *figures, dispute.reason, dispute.payer_statement, dispute.due_at


def count_taken(payment: Payment, attempt: Attempt, before_minor: int, after_minor: int) -> None:
    """Count what a channel has taken for a dispute against what can be refunded, in place of what it had taken."""
    counted_before, paid_before = disputed_parts(attempt, before_minor)
    counted_after, paid_after = disputed_parts(attempt, after_minor)
    payment.amount_disputed_minor += counted_after - counted_before
    payment.disputed_paid_minor += paid_after - paid_before
    payment.disputed_settled_minor += after_minor - before_minor


def _entry(dispute: Dispute, what: str, statement: DisputeStatement) -> TimelineEntry:
    return TimelineEntry(
        dispute.payment_id,
        what,
        dispute.attempt_id,
        statement.source.value,
        channel_code=dispute.reason,
        amount_minor=dispute.taken_minor,
        note=statement.note,
    )


def _open(
    payment: Payment,
    attempt: Attempt,
    statement: DisputeStatement,
    use: Recording,
    *,
    now: datetime,
) -> Dispute:
    report = statement.report
    dispute = Dispute(
        dispute_id=use.derive("dispute", attempt.account_id, report.dispute_no),
        payment_id=payment.payment_id,
        attempt_id=attempt.attempt_id,
        merchant_id=payment.merchant_id,
        merchant_order_no=payment.merchant_order_no,
        account_id=attempt.account_id,
        channel=attempt.channel,
        dispute_no=report.dispute_no,
        currency=report.currency,
        created_at=now,
        state=report.state,
        amount_minor=report.amount_minor,
        taken_minor=0,
        fee_minor=0,
        held_minor=0,
        reason=report.reason,
        payer_statement=report.statement,
        due_at=report.due_at,
        opened_at=report.opened_at or statement.stated_at,
        changed_at=statement.stated_at,
        finished_at=None,
        source=statement.source,
        next_query_at=None,
    )
    _change(dispute, statement, now=now)
    return dispute


def _change(dispute: Dispute, statement: DisputeStatement, *, now: datetime) -> None:
    """Take a newer statement; texts and times that it leaves out stay."""
    report, was_final = statement.report, dispute.is_final
    dispute.state, dispute.amount_minor = report.state, report.amount_minor
    dispute.taken_minor, dispute.fee_minor = report.taken_minor, report.fee_minor
    dispute.reason, dispute.payer_statement = (
        report.reason or dispute.reason,
        report.statement or dispute.payer_statement,
    )
    if report.due_at is not None and report.due_at != dispute.due_at:
        dispute.due_at, dispute.reminders = report.due_at, 0
    dispute.changed_at, dispute.source = statement.stated_at, statement.source
    dispute.finished_at = (
        (dispute.finished_at if was_final and dispute.finished_at else now) if dispute.is_final else None
    )
    dispute.next_query_at = dispute.next_query(now) if statement.is_asked else None


def _fill_in(dispute: Dispute, report: channels.disputes.DisputeReport) -> None:
    """Take from an earlier statement what no later one has stated."""
    dispute.reason, dispute.payer_statement = (
        dispute.reason or report.reason,
        dispute.payer_statement or report.statement,
    )
    dispute.due_at = dispute.due_at or report.due_at
    if report.opened_at is not None:
        dispute.opened_at = min(dispute.opened_at, report.opened_at)


def _bounded(report: channels.disputes.DisputeReport) -> channels.disputes.DisputeReport:
    """Return a statement whose texts and figures the database can hold."""
    return replace(
        report,
        dispute_no=storable_text(report.dispute_no, _NUMBER_MAX) or "",
        amount_minor=max(report.amount_minor, 0),
        taken_minor=max(report.taken_minor, 0),
        fee_minor=max(report.fee_minor, 0),
        reason=storable_text(report.reason, _REASON_MAX),
        statement=storable_text(report.statement, _STATEMENT_MAX),
    )
