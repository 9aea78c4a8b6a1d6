"""Disputes that operators enter and move on, where a channel has no interface for them; each takes two persons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import channels, db, ids, operators
from hutong.clock import instant
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.payments.disputes import errors
from hutong.payments.disputes.model import PREFIX, Dispute, DisputeState
from hutong.payments.disputes.record import DisputeOutcome, DisputeStatement, Recording, record_statement
from hutong.payments.disputes.store import find_by_number, lock_disputes
from hutong.payments.model import OperatorActionType, Payment, Source
from hutong.payments.store import lock, write_timeline
from hutong.payments.timeline import TimelineEntry

_MOVED = frozenset({DisputeOutcome.OPENED, DisputeOutcome.CHANGED})


@dataclass(frozen=True, slots=True)
class EnterDispute:
    """An operator's entry of a dispute.

    Attributes:
        dispute_no: The channel's number of it; None where it has none, and it gets one of its own.
        taken_minor: What the channel has taken by now; 0 where it only asks for an answer.
    """

    operator_id: UUID
    payment: Payment
    amount_minor: int
    reason: str
    dispute_no: str | None = None
    taken_minor: int = 0
    fee_minor: int = 0
    dispute_reason: str | None = None
    payer_statement: str | None = None
    due_at: datetime | None = None
    request_id: str | None = None

    def proposal(self, new_id: UUID) -> operators.NewProposal:
        """Return the proposal of the entry, which another person approves.

        Errors:
            InvalidParameter: more is taken than the payment has captured. Conflict: the payment has not succeeded.
        """
        captured_minor = self.payment.amount_captured_minor
        if self.payment.counted_attempt is None:
            raise Conflict("a payment that has not succeeded cannot be disputed")
        for param, amount_minor in (("amount_minor", self.amount_minor), ("amount_taken_minor", self.taken_minor)):
            if amount_minor > captured_minor:
                raise InvalidParameter(f"`{param}` is larger than the captured amount", param=param)
        payload = {
            "dispute_no": self.dispute_no or f"{ids.encode(operators.PROPOSAL_PREFIX, new_id)}",
            "amount_minor": self.amount_minor,
            "amount_taken_minor": self.taken_minor,
            "fee_minor": self.fee_minor,
            "currency": self.payment.currency,
            "dispute_reason": self.dispute_reason,
            "payer_statement": self.payer_statement,
            "due_at": None if self.due_at is None else instant(self.due_at),
        }
        return operators.NewProposal(
            proposal_id=new_id,
            maker_id=self.operator_id,
            action=OperatorActionType.ENTER_DISPUTE,
            object_kind="payment",
            object_id=ids.encode("pay", self.payment.payment_id),
            payload=payload,
            reason=self.reason,
            request_id=self.request_id,
        )


@dataclass(frozen=True, slots=True)
class MoveDispute:
    """An operator's record of how a dispute goes on.

    Attributes:
        taken_minor, fee_minor: What the channel has taken and charged by then; None leaves it, and gives back what was
            taken where the dispute is won.
    """

    operator_id: UUID
    dispute: Dispute
    state: DisputeState
    reason: str
    taken_minor: int | None = None
    fee_minor: int | None = None
    request_id: str | None = None

    def proposal(self, new_id: UUID) -> operators.NewProposal:
        """Return the proposal, which another person approves."""
        left = 0 if self.state is DisputeState.WON else self.dispute.taken_minor
        return operators.NewProposal(
            proposal_id=new_id,
            maker_id=self.operator_id,
            action=OperatorActionType.MOVE_DISPUTE,
            object_kind="dispute",
            object_id=ids.encode(PREFIX, self.dispute.dispute_id),
            payload={
                "state": self.state.value,
                "amount_taken_minor": left if self.taken_minor is None else self.taken_minor,
                "fee_minor": self.dispute.fee_minor if self.fee_minor is None else self.fee_minor,
                "currency": self.dispute.currency,
            },
            reason=self.reason,
            request_id=self.request_id,
        )


def enter_dispute(recording: Recording) -> operators.ApprovalHandler:
    """Return the handler of the approval: it opens the dispute as if the channel stated it.

    Errors:
        NotFound: no such payment. DisputeNotEntered: the channel's number is recorded by now, or the payment does not
            count a success any more.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        payment_id, payload = ids.decode("pay", approved.object_id), approved.payload
        payment = (await lock(tx, [payment_id])).get(payment_id)
        attempt = None if payment is None else payment.counted_attempt
        if attempt is None:
            raise NotFound("no payment that has succeeded has this id")
        if await find_by_number(tx, attempt.account_id, payload["dispute_no"]) is not None:
            raise errors.DisputeNotEntered("the channel's number of the dispute is recorded by now")
        due_at = payload["due_at"]
        report = channels.disputes.DisputeReport(
            payload["dispute_no"],
            DisputeState.NEEDS_RESPONSE,
            payload["amount_minor"],
            payload["currency"],
            taken_minor=payload["amount_taken_minor"],
            fee_minor=payload["fee_minor"],
            reason=payload["dispute_reason"],
            statement=payload["payer_statement"],
            due_at=None if due_at is None else datetime.fromisoformat(due_at),
        )
        statement = DisputeStatement(attempt.attempt_id, report, now, Source.OPERATOR, is_asked=False)
        await _record(tx, statement, recording, approved, "operator.enter_dispute", payment_id, now=now)

    return handle


def move_dispute(recording: Recording) -> operators.ApprovalHandler:
    """Return the handler of the approval: the dispute goes on as if the channel stated it now.

    Errors:
        NotFound: no such dispute. DisputeNotEntered: it is as it would be already.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        dispute_id, payload = ids.decode(PREFIX, approved.object_id), approved.payload
        locked = await lock_disputes(tx, [dispute_id])
        if dispute_id not in locked:
            raise NotFound("no dispute has this id")
        _, dispute = locked[dispute_id]
        report = channels.disputes.DisputeReport(
            dispute.dispute_no,
            DisputeState(payload["state"]),
            dispute.amount_minor,
            dispute.currency,
            taken_minor=payload["amount_taken_minor"],
            fee_minor=payload["fee_minor"],
        )
        is_asked = dispute.next_query_at is not None
        statement = DisputeStatement(dispute.attempt_id, report, now, Source.OPERATOR, is_asked=is_asked)
        await _record(tx, statement, recording, approved, "operator.move_dispute", dispute.payment_id, now=now)

    return handle


async def _record(
    tx: db.Tx,
    statement: DisputeStatement,
    recording: Recording,
    approved: operators.Proposal,
    what: str,
    payment_id: UUID,
    *,
    now: datetime,
) -> None:
    outcome, _ = await record_statement(tx, statement, recording, now=now)
    if outcome not in _MOVED:
        raise errors.DisputeNotEntered("the dispute is as it would be already, or a later statement holds")
    note = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
    entry = TimelineEntry(payment_id, what, statement.attempt_id, Source.OPERATOR.value, note=note)
    await write_timeline(tx, [entry], now=now)
