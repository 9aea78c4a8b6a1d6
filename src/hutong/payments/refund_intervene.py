"""What people on the platform's side do with a refund: choose its next way, and say that it is paid by hand. Both move
money, so both take two persons."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import Conflict, HutongError, NotFound
from hutong.payments.model import Source
from hutong.payments.refund import RefundRoute, find_refunds
from hutong.payments.refund_commit import RefundCommitter
from hutong.payments.refund_errors import refusal_error
from hutong.payments.refund_outcome import SettleManually
from hutong.payments.refund_route import ConvertOutcome, ConvertRefund
from hutong.payments.timeline import Entry, write_timeline

ROUTE_REFUND = "refund.route"
SETTLE_REFUND = "refund.settle"


class RefundNotFailed(Conflict):
    """The way before is not proven failed, so another one could send the money twice."""

    code = "refund_not_failed"


class RefundWentOut(Conflict):
    """The money went out after all by a way that had failed."""

    code = "refund_went_out"


class RefundRouteTried(Conflict):
    """Each way is tried once, and in order: the original one, payout, by hand."""

    code = "refund_route_tried"


class RefundPayeeMissing(Conflict):
    """A payout needs an account to go out through and somebody to go to."""

    code = "refund_payee_missing"


class RefundNotManual(Conflict):
    """The refund does not wait for a person."""

    code = "refund_not_manual"


_REFUSALS: dict[ConvertOutcome, HutongError] = {
    ConvertOutcome.NOT_FAILED: RefundNotFailed("the way before is not proven failed"),
    ConvertOutcome.WENT_OUT: RefundWentOut("the money went out after all"),
    ConvertOutcome.ROUTE_TRIED: RefundRouteTried("this way was tried before, or a later one was"),
    ConvertOutcome.PAYEE_MISSING: RefundPayeeMissing("name an account and a payee"),
}


def _error(outcome: ConvertOutcome) -> HutongError:
    if outcome is ConvertOutcome.NOT_FOUND:
        return NotFound("no refund has this id")
    known = _REFUSALS.get(outcome)
    return refusal_error(outcome) if known is None else type(known)(known.detail)


def route_proposal(
    new_id: UUID, operator_id: UUID, command: ConvertRefund, *, reason: str, request_id: str | None = None
) -> operators.NewProposal:
    """The proposal to send a failed refund by another way. Its payload holds the payee sealed only."""
    account, payee = command.payout_account_id, command.payee_sealed
    return operators.NewProposal(
        proposal_id=new_id,
        maker_id=operator_id,
        action=ROUTE_REFUND,
        object_kind="refund",
        object_id=ids.encode("ref", command.refund_id),
        payload={
            "route": command.route.value,
            "account": None if account is None else ids.encode("acc", account),
            "payee_sealed": None if payee is None else payee.hex(),
        },
        reason=reason,
        request_id=request_id,
    )


def settle_proposal(
    new_id: UUID, operator_id: UUID, command: SettleManually, *, reason: str, request_id: str | None = None
) -> operators.NewProposal:
    """The proposal to take a manual refund as paid, or to give it up."""
    return operators.NewProposal(
        proposal_id=new_id,
        maker_id=operator_id,
        action=SETTLE_REFUND,
        object_kind="refund",
        object_id=ids.encode("ref", command.refund_id),
        payload={"reference": command.reference, "from_bank": command.from_bank},
        reason=reason,
        request_id=request_id,
    )


def route_refund(committer: RefundCommitter) -> operators.Effect:
    """What the approval does: the money is reserved anew and the next way begins.

    Errors:
        Every refusal of ConvertOutcome under its own code; the proposal then stays open.
    """

    async def effect(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        payload, refund_id = approved.payload, ids.decode("ref", approved.object_id)
        command = ConvertRefund(
            refund_id,
            RefundRoute(payload["route"]),
            None if payload["account"] is None else ids.decode("acc", payload["account"]),
            None if payload["payee_sealed"] is None else bytes.fromhex(payload["payee_sealed"]),
        )
        outcome = await committer.convert(tx, command)
        if outcome is not ConvertOutcome.CONVERTED:
            raise _error(outcome)
        await _tell(tx, refund_id, "operator.refund_route", f"{payload['route']}: {_who(approved)}", now)

    return effect


def settle_refund(committer: RefundCommitter) -> operators.Effect:
    """What the approval does: the refund has succeeded, or is given up.

    Errors:
        RefundNotManual: it does not wait for a person, or no longer.
    """

    async def effect(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        payload, refund_id = approved.payload, ids.decode("ref", approved.object_id)
        settled = await committer.settle(tx, SettleManually(refund_id, payload["reference"], payload["from_bank"]))
        if settled is None:
            raise RefundNotManual("the refund does not wait for a person")
        note = f"{payload['reference'] or 'given up'}: {_who(approved)}"
        await _tell(tx, refund_id, "operator.refund_settle", note, now)

    return effect


def _who(approved: operators.Proposal) -> str:
    return f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"


async def _tell(tx: db.Tx, refund_id: UUID, what: str, note: str, now: datetime) -> None:
    refund = (await find_refunds(tx, [refund_id]))[refund_id]
    entry = Entry(refund.payment_id, what, learnt_by=Source.OPERATOR.value, amount_minor=refund.amount_minor, note=note)
    await write_timeline(tx, [entry], now=now)
