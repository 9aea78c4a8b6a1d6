"""Decisions of two persons about exceptions: take what the channel has taken, give it back, or book nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.channels import About, ChannelAnswer, ChannelState
from hutong.errors import Conflict, NotFound
from hutong.payments.channel_answers import settle_exception
from hutong.payments.exception_items import DECIDED, PREFIX, ExceptionDecision, ExceptionStatus, PaymentException
from hutong.payments.exception_store import find_exception, lock_exception, mark_decided
from hutong.payments.model import Attempt, AttemptState, OperatorActionType, Payment, Source, TimelineEntry
from hutong.payments.store import items_of, lock_attempts
from hutong.payments.transactions import PaymentTransactions


class ExceptionNotDecidable(Conflict):
    """The exception is decided already, or cannot be decided in this way; nothing was done."""

    code = "exception_not_decidable"


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
    if item.status is not ExceptionStatus.OPEN:
        raise ExceptionNotDecidable(f"the exception is {item.status} already")
    if decision is ExceptionDecision.IGNORE:
        return
    if item.attempt_id is None or item.about is not About.PAYMENT:
        raise ExceptionNotDecidable("only what a channel has taken for an order can be taken or refunded here")
    if item.state is not ChannelState.SUCCEEDED or not item.amount_minor:
        raise ExceptionNotDecidable("the channel has not reported that it has taken an amount")
    if item.currency not in (None, item.expected_currency):
        raise ExceptionNotDecidable("the channel has taken another currency; give it back in the channel's portal")


def decide_exception(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """Return the handler of the approval: it books, publishes and sends what was decided.

    Errors:
        NotFound: no such exception. ExceptionNotDecidable: as `check_decision`; or the attempt has succeeded by now,
            or what would be taken is more than the order, or the order has items.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        exception_id, decision = ids.decode(PREFIX, approved.object_id), ExceptionDecision(approved.payload["decision"])
        seen = await find_exception(tx, exception_id)
        if seen is None:
            raise NotFound("no exception has this id")
        locked = {} if seen.attempt_id is None else await lock_attempts(tx, [seen.attempt_id])
        item = await lock_exception(tx, exception_id)
        assert item is not None, "exceptions are never deleted"
        check_decision(item, decision)
        proposal = ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)
        if item.attempt_id is not None and item.attempt_id in locked:
            payment, attempt = locked[item.attempt_id]
            await _check_attempt(tx, payment, attempt, item, decision)
            answer = ChannelAnswer(
                item.state,
                amount_minor=item.amount_minor,
                currency=payment.currency,
                channel_order_no=item.channel_order_no,
            )
            entry = TimelineEntry(
                payment.payment_id, f"operator.exception_{DECIDED[decision].value}", attempt.attempt_id,
                Source.OPERATOR.value, amount_minor=item.amount_minor, note=f"{proposal}: {approved.reason}",
            )  # fmt: skip
            target = AttemptState.CLOSED if decision is ExceptionDecision.IGNORE else AttemptState.SUCCEEDED
            change = settle_exception(
                payment,
                attempt,
                target,
                answer,
                entry,
                to_surplus=decision is ExceptionDecision.REFUND,
                now=now,
                policy=transactions.policy,
            )
            await transactions.reports.write(tx, [change], now=now)
        await mark_decided(tx, exception_id, DECIDED[decision], by=proposal, reason=approved.reason, now=now)

    return handle


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
