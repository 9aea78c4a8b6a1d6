"""Decisions of two persons about exceptions: take what the channel has taken, give it back, or book nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.channels import ChannelAnswer, ChannelState
from hutong.errors import NotFound
from hutong.payments.channel_answers import settle_exception
from hutong.payments.exception_items import (
    DECIDED,
    PREFIX,
    ExceptionDecision,
    ExceptionNotDecidable,
    ExceptionStatus,
    PaymentException,
)
from hutong.payments.exception_store import find_exception, lock_exception, mark_decided
from hutong.payments.model import Attempt, AttemptState, OperatorActionType, Payment, Source
from hutong.payments.refunds.decisions import decide_refund
from hutong.payments.store import items_of, lock_attempts, lock_refunds
from hutong.payments.timeline import TimelineEntry
from hutong.payments.transactions import PaymentTransactions


@dataclass(frozen=True, slots=True)
class ProposeDecision:
    """An operator's proposal to decide an exception.

    Attributes:
        request_id: Of the HTTP request.
    """

    exception_id: UUID
    operator_id: UUID
    decision: ExceptionDecision
    reason: str
    request_id: str | None = None


async def decision_proposal(tx: db.Tx, command: ProposeDecision, *, new_id: UUID) -> operators.NewProposal:
    """Return the proposal of a decision, which another person approves.

    Errors:
        NotFound: no such exception. ExceptionNotDecidable: it is decided already, or not in this way.
    """
    item = await find_exception(tx, command.exception_id)
    if item is None:
        raise NotFound("no exception has this id")
    check_decision(item, command.decision)
    return operators.NewProposal(
        proposal_id=new_id,
        maker_id=command.operator_id,
        action=OperatorActionType.DECIDE_EXCEPTION,
        object_kind="exception",
        object_id=ids.encode(PREFIX, item.exception_id),
        payload={"decision": command.decision.value, "amount_minor": item.amount_minor, "currency": item.currency},
        reason=command.reason,
        request_id=command.request_id,
    )


def check_decision(item: PaymentException, decision: ExceptionDecision) -> None:
    """Check what an exception itself says about a decision.

    Errors:
        ExceptionNotDecidable: it is decided already, or cannot be decided in this way.
    """
    about_refund = item.is_about_own and item.refund_id is not None
    # An ignored report leaves a refund open: if its channel reports nothing else, it can still be taken.
    reopened = about_refund and item.status is ExceptionStatus.IGNORED and decision is not ExceptionDecision.IGNORE
    if item.status is not ExceptionStatus.OPEN and not reopened:
        raise ExceptionNotDecidable(f"the exception is {item.status} already")
    if decision is ExceptionDecision.IGNORE:
        return
    if not item.is_about_own:
        raise ExceptionNotDecidable("only what a channel has moved for an order or a refund here can be decided so")
    is_failure = item.state in (ChannelState.FAILED, ChannelState.CLOSED)
    if about_refund and is_failure and decision is ExceptionDecision.TAKE:
        return
    if item.state is not ChannelState.SUCCEEDED or not item.amount_minor:
        raise ExceptionNotDecidable("the channel has not reported that it has moved an amount")
    if about_refund and decision is ExceptionDecision.REFUND:
        return
    if item.currency not in (None, item.expected_currency):
        raise ExceptionNotDecidable("the channel has moved another currency; settle it in the channel's portal")


def decide_exception(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """Return the handler of the approval: it books, publishes and sends what was decided.

    Errors:
        NotFound: no such exception. ExceptionNotDecidable: as `check_decision`; or the attempt or the refund has ended
            by now, or what would be taken is more than the order, or the order has items.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        exception_id, decision = ids.decode(PREFIX, approved.object_id), ExceptionDecision(approved.payload["decision"])
        seen = await find_exception(tx, exception_id)
        if seen is None:
            raise NotFound("no exception has this id")
        # Another account's order is shown, and left as it is.
        attempt_ids = [seen.attempt_id] if seen.is_about_own and seen.attempt_id is not None else []
        refund_ids = [seen.refund_id] if seen.is_about_own and seen.refund_id is not None else []
        attempts = await lock_attempts(tx, attempt_ids) if attempt_ids else {}
        refunds = await lock_refunds(tx, refund_ids) if refund_ids else {}
        item = await lock_exception(tx, exception_id)
        assert item is not None, "exceptions are never deleted"
        check_decision(item, decision)
        proposal = ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)
        note = f"{proposal}: {approved.reason}"
        for payment, attempt in attempts.values():
            entry = _entry(payment, decision, item.amount_minor, note, attempt.attempt_id)
            await _decide_attempt(tx, transactions, payment, attempt, item, decision, entry, now=now)
        for payment, refund in refunds.values():
            amount = refund.amount_minor if decision is ExceptionDecision.REFUND else item.amount_minor
            entry = _entry(payment, decision, amount, note, None)
            await decide_refund(
                tx, transactions.refunds, payment, refund, item, decision, entry, hold_id=approved.proposal_id, now=now
            )
        await mark_decided(tx, exception_id, DECIDED[decision], by=proposal, reason=approved.reason, now=now)

    return handle


def _entry(
    payment: Payment, decision: ExceptionDecision, amount_minor: int | None, note: str, attempt_id: UUID | None
) -> TimelineEntry:
    what = f"operator.exception_{DECIDED[decision].value}"
    source = Source.OPERATOR.value
    return TimelineEntry(payment.payment_id, what, attempt_id, source, amount_minor=amount_minor, note=note)


async def _decide_attempt(
    tx: db.Tx,
    transactions: PaymentTransactions,
    payment: Payment,
    attempt: Attempt,
    item: PaymentException,
    decision: ExceptionDecision,
    entry: TimelineEntry,
    *,
    now: datetime,
) -> None:
    """Carry out a decision about an attempt that is locked by its payment."""
    await _check_attempt(tx, payment, attempt, item, decision)
    answer = ChannelAnswer(
        item.state,
        amount_minor=item.amount_minor,
        currency=payment.currency,
        channel_order_no=item.channel_order_no,
        sums=item.sums,
    )
    change = settle_exception(
        payment,
        attempt,
        AttemptState.CLOSED if decision is ExceptionDecision.IGNORE else AttemptState.SUCCEEDED,
        answer,
        entry,
        to_surplus=decision is ExceptionDecision.REFUND,
        now=now,
        policy=transactions.policy,
    )
    await transactions.reports.write(tx, [change], now=now)


async def _check_attempt(
    tx: db.Tx, payment: Payment, attempt: Attempt, item: PaymentException, decision: ExceptionDecision
) -> None:
    if decision is ExceptionDecision.IGNORE:
        return
    if attempt.state is AttemptState.SUCCEEDED:
        raise ExceptionNotDecidable("the attempt has succeeded by now; ignore the exception, or refund the payment")
    if decision is ExceptionDecision.TAKE:
        if item.amount_minor is None or item.amount_minor > payment.amount_minor:
            raise ExceptionNotDecidable("the channel has taken more than the order; refund it")
        if await items_of(tx, [payment.payment_id]):
            raise ExceptionNotDecidable("a part of an order with items cannot be taken; refund it")
