"""Actions of operators on a payment: each has a reason and is written to the audit log and the payment's timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, operators
from hutong.channels import ChannelAnswer, ChannelState, sums
from hutong.errors import InvalidParameter, NotFound
from hutong.payments import errors
from hutong.payments.channel_reports import ChannelReport, RecordOutcome, RecordReport
from hutong.payments.disputes.operator_actions import enter_dispute, move_dispute
from hutong.payments.exceptions.decisions import decide_exception
from hutong.payments.model import OperatorActionType, Source
from hutong.payments.refunds.operator_actions import settle_refund, switch_refund_method
from hutong.payments.store import lock, lock_attempts, write_timeline
from hutong.payments.timeline import TimelineEntry
from hutong.payments.transactions import PaymentTransactions


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """An operator's action on a payment.

    Attributes:
        request_id: Of the HTTP request.
    """

    operator_id: UUID
    payment_id: UUID
    action: OperatorActionType
    reason: str
    request_id: str | None = None

    def proposal(self, new_id: UUID, success: BilledSuccess) -> operators.NewProposal:
        """Return the proposal to accept a bill's evidence."""
        return operators.NewProposal(
            proposal_id=new_id,
            maker_id=self.operator_id,
            action=self.action,
            object_kind="payment",
            object_id=ids.encode("pay", self.payment_id),
            payload={
                "attempt_id": ids.encode("att", success.attempt_id),
                "amount_minor": success.amount_minor,
                "currency": success.currency,
                "channel_order_no": success.channel_order_no,
                "bill": success.bill,
                "amount_paid_minor": success.paid_minor,
                "amount_settled_minor": success.settled_minor,
            },
            reason=self.reason,
            request_id=self.request_id,
        )


async def write_operator_action(tx: db.Tx, action: OperatorAction, *, now: datetime) -> None:
    """Write an action to the payment's timeline and to the audit log; the last step of its transaction."""
    await lock(tx, [action.payment_id])
    who = ids.encode(operators.OPERATOR_PREFIX, action.operator_id)
    what = f"operator.{action.action.partition('.')[2]}"
    note = f"{who}: {action.reason}"
    await write_timeline(tx, [TimelineEntry(action.payment_id, what, source=Source.OPERATOR.value, note=note)], now=now)
    entry = operators.AuditEntry(
        action.operator_id,
        action.action,
        "payment",
        ids.encode("pay", action.payment_id),
        action.reason,
        request_id=action.request_id,
    )
    await operators.audit(tx, [entry], now=now)


@dataclass(frozen=True, slots=True)
class BilledSuccess:
    """A success that stands in a channel's bill.

    Attributes:
        bill: The bill and the row, for people.
        paid_minor, settled_minor: The other two sums of the row, where a discount makes them differ from the amount.

    Errors:
        InvalidParameter: at construction: a sum is negative or above the amount.
    """

    attempt_id: UUID
    amount_minor: int
    currency: str
    channel_order_no: str
    bill: str
    paid_minor: int | None = None
    settled_minor: int | None = None

    def __post_init__(self) -> None:
        for param, part in (("amount_paid_minor", self.paid_minor), ("amount_settled_minor", self.settled_minor)):
            if part is not None and not 0 <= part <= self.amount_minor:
                raise InvalidParameter(f"`{param}` is negative or above `amount_minor`", param=param)


def approval_handlers(transactions: PaymentTransactions) -> Mapping[str, operators.ApprovalHandler]:
    """Return the handlers of approved actions, by action."""
    return {
        OperatorActionType.ATTACH_SUCCESS: attach_success(transactions),
        OperatorActionType.CONVERT_REFUND: switch_refund_method(transactions.refunds),
        OperatorActionType.DECIDE_EXCEPTION: decide_exception(transactions),
        OperatorActionType.SETTLE_REFUND: settle_refund(transactions.refunds),
        OperatorActionType.ENTER_DISPUTE: enter_dispute(transactions.disputes),
        OperatorActionType.MOVE_DISPUTE: move_dispute(transactions.disputes),
    }


def _billed_sums(payload: Mapping[str, Any]) -> sums.Sums | None:
    """Return the sums of a bill's row; None where all are the amount. The oldest proposals have the amount alone."""
    amount_minor = payload["amount_minor"]
    parts = [payload.get("amount_paid_minor"), payload.get("amount_settled_minor")]
    paid_minor, settled_minor = (amount_minor if part is None else part for part in parts)
    if paid_minor == settled_minor == amount_minor:
        return None
    return sums.Sums.unnamed(amount_minor, paid_minor, settled_minor)


def attach_success(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """Return the handler of the approval: it records, books and publishes the success as if the channel reported it.

    Errors:
        NotFound: no such attempt of this payment.
        NotificationMismatch: another amount or currency than that of the order.
        PaymentAlreadySucceeded: this attempt's success is recorded by now.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        payload = approved.payload
        attempt_id = ids.decode("att", payload["attempt_id"])
        locked = await lock_attempts(tx, [attempt_id])
        if attempt_id not in locked:
            raise NotFound("no attempt of this payment has this id")
        payment, attempt = locked[attempt_id]
        if ids.encode("pay", payment.payment_id) != approved.object_id:
            raise NotFound("no attempt of this payment has this id")
        answer = ChannelAnswer(
            ChannelState.SUCCEEDED,
            amount_minor=payload["amount_minor"],
            currency=payload["currency"],
            channel_order_no=payload["channel_order_no"],
            sums=_billed_sums(payload),
        )
        report = RecordReport(ChannelReport(attempt_id, attempt.account_id, answer, Source.BILL))
        (recorded,) = await transactions.reports.record_within(tx, [report], now=now)
        if recorded.outcome is RecordOutcome.MISMATCH:
            raise errors.NotificationMismatch("the bill names another amount or currency", param="amount_minor")
        if recorded.outcome is RecordOutcome.UNCHANGED:
            raise errors.PaymentAlreadySucceeded("this success is recorded already")
        note = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
        entry = TimelineEntry(
            payment.payment_id, "operator.attach_success", attempt_id, Source.OPERATOR.value, note=note
        )
        await write_timeline(tx, [entry], now=now)

    return handle
