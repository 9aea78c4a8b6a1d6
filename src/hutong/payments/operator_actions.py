"""What people on the platform's side do with a payment: with a reason, in the journal and in the payment's story."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.channels import ChannelAnswer, ChannelState
from hutong.errors import NotFound
from hutong.payments import errors
from hutong.payments.channel_answers import ChannelReport, RecordOutcome
from hutong.payments.model import Source
from hutong.payments.store import lock, lock_by_attempt
from hutong.payments.timeline import TimelineEntry, write_timeline
from hutong.payments.transactions import PaymentTransactions, RecordReport

QUERY = "payment.query"
CLOSE = "payment.close"
ATTACH_SUCCESS = "payment.attach_success"
"""What takes two persons: to believe a bill that money was taken, where the channel's own word is missing."""


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Who does something to a payment, and why.

    Attributes:
        action: Such as "payment.query".
        request_id: The HTTP request that brought it.
    """

    operator_id: UUID
    payment_id: UUID
    action: str
    reason: str
    request_id: str | None = None


async def write_operator_action(tx: db.Tx, act: OperatorAction, *, now: datetime) -> None:
    """Write an act to the payment's story and to the journal; called last in its transaction."""
    await lock(tx, [act.payment_id])
    who = ids.encode(operators.OPERATOR_PREFIX, act.operator_id)
    what = f"operator.{act.action.partition('.')[2]}"
    note = f"{who}: {act.reason}"
    await write_timeline(tx, [TimelineEntry(act.payment_id, what, source=Source.OPERATOR.value, note=note)], now=now)
    entry = operators.AuditEntry(
        act.operator_id,
        act.action,
        "payment",
        ids.encode("pay", act.payment_id),
        act.reason,
        request_id=act.request_id,
    )
    await operators.audit(tx, [entry], now=now)


@dataclass(frozen=True, slots=True)
class BilledSuccess:
    """A success that a channel's bill tells of.

    Attributes:
        bill: Which bill and which row, for people.
    """

    attempt_id: UUID
    amount_minor: int
    currency: str
    channel_order_no: str
    bill: str


def proposal(new_id: UUID, act: OperatorAction, found: BilledSuccess) -> operators.NewProposal:
    """The proposal to believe a bill."""
    return operators.NewProposal(
        proposal_id=new_id,
        maker_id=act.operator_id,
        action=ATTACH_SUCCESS,
        object_kind="payment",
        object_id=ids.encode("pay", act.payment_id),
        payload={
            "attempt_id": ids.encode("att", found.attempt_id),
            "amount_minor": found.amount_minor,
            "currency": found.currency,
            "channel_order_no": found.channel_order_no,
            "bill": found.bill,
        },
        reason=act.reason,
        request_id=act.request_id,
    )


def attach_success(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """What the approval does: the success is recorded, booked and announced like one that the channel told us itself.

    Errors:
        NotFound: no such attempt of this payment.
        NotificationMismatch: another amount or currency than was ordered.
        PaymentAlreadySucceeded: this attempt's success is known by now.
    """

    async def effect(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        payload = approved.payload
        attempt_id = ids.decode("att", payload["attempt_id"])
        found = await lock_by_attempt(tx, [attempt_id])
        if not found or ids.encode("pay", found[0].payment_id) != approved.object_id:
            raise NotFound("no attempt of this payment has this id")
        (payment,) = found
        attempt = next(one for one in payment.attempts if one.attempt_id == attempt_id)
        answer = ChannelAnswer(
            ChannelState.SUCCEEDED,
            amount_minor=payload["amount_minor"],
            currency=payload["currency"],
            channel_order_no=payload["channel_order_no"],
        )
        word = RecordReport(ChannelReport(attempt_id, attempt.account_id, answer, Source.BILL))
        (recorded,) = await transactions.take_in_within(tx, [word], now=now)
        if recorded.effect is RecordOutcome.MISMATCH:
            raise errors.NotificationMismatch("the bill is not about the amount that was ordered", param="amount_minor")
        if recorded.effect is RecordOutcome.UNCHANGED:
            raise errors.PaymentAlreadySucceeded("this success is recorded already")
        who = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
        entry = TimelineEntry(
            payment.payment_id, "operator.attach_success", attempt_id, Source.OPERATOR.value, note=who
        )
        await write_timeline(tx, [entry], now=now)

    return effect
