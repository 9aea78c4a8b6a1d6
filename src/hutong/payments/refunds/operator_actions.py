"""What two persons do with a refund that its first way could not carry: send it another way, or say that it is paid."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import Conflict, NotFound
from hutong.payments.refunds.channel_answers import SettleManually
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod
from hutong.payments.refunds.model import Refund, RefundMethod, find_refunds
from hutong.payments.store import lock
from hutong.payments.timeline import TimelineEntry, write_timeline
from hutong.payments.transactions import PaymentTransactions

CONVERT_REFUND = "refund.convert"
SETTLE_REFUND = "refund.settle"


class RefundMethodRefused(Conflict):
    """The refund cannot go, or be settled, that way now; nothing was done."""

    code = "refund_route_refused"


_WHY = {
    SwitchMethodOutcome.NOT_FAILED: "the way before is not proven failed, so money could go out twice",
    SwitchMethodOutcome.WENT_OUT: "the money went out after all by the way before",
    SwitchMethodOutcome.ROUTE_TRIED: "this way was tried, or comes before the one that was",
    SwitchMethodOutcome.PAYEE_MISSING: "a payout needs an account and a payee",
    SwitchMethodOutcome.EXCEEDS_AVAILABLE: "the amount has been refunded anew since",
    SwitchMethodOutcome.INSUFFICIENT_FUNDS: "the merchant's balance does not cover it any more",
}


def refund_proposal(
    new_id: UUID,
    operator_id: UUID,
    refund: Refund,
    action: str,
    payload: Mapping[str, Any],
    reason: str,
    request_id: str | None,
) -> operators.NewProposal:
    """The proposal of either act."""
    return operators.NewProposal(
        proposal_id=new_id,
        maker_id=operator_id,
        action=action,
        object_kind="refund",
        object_id=ids.encode("ref", refund.refund_id),
        payload=payload,
        reason=reason,
        request_id=request_id,
    )


def switch_refund_method(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """What the approval of another way does.

    Errors:
        NotFound: no such refund. RefundRouteRefused: it cannot go that way, or not now.
    """

    async def effect(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        refund, payload = await _locked(tx, approved), approved.payload
        account, payee = payload.get("payout_account_id"), payload.get("payee_sealed")
        command = SwitchRefundMethod(
            refund.refund_id,
            RefundMethod(payload["route"]),
            None if account is None else ids.decode("acc", account),
            None if payee is None else base64.b64decode(payee),
        )
        outcome = await transactions.refunds.convert(tx, command)
        if outcome is not SwitchMethodOutcome.CONVERTED:
            raise RefundMethodRefused(_WHY.get(outcome, outcome.value))
        await _tell(tx, refund, "operator.convert_refund", approved, now)

    return effect


def settle_refund(transactions: PaymentTransactions) -> operators.ApprovalHandler:
    """What the approval of a person's word about a refund does.

    Errors:
        NotFound: no such refund. RefundRouteRefused: it does not wait for a person.
    """

    async def effect(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        refund, payload = await _locked(tx, approved), approved.payload
        command = SettleManually(refund.refund_id, payload["reference"], payload["from_bank"])
        if await transactions.refunds.settle(tx, command) is None:
            raise RefundMethodRefused("this refund does not wait for a person")
        await _tell(tx, refund, "operator.settle_refund", approved, now)

    return effect


async def _locked(tx: db.Tx, approved: operators.Proposal) -> Refund:
    refund_id = ids.decode("ref", approved.object_id)
    found = (await find_refunds(tx, [refund_id])).get(refund_id)
    if found is None:
        raise NotFound("no refund has this id")
    await lock(tx, [found.payment_id])
    return found


async def _tell(tx: db.Tx, refund: Refund, what: str, approved: operators.Proposal, now: datetime) -> None:
    note = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
    entry = TimelineEntry(
        refund.payment_id, what, refund.attempt_id, "operator", amount_minor=refund.amount_minor, note=note
    )
    await write_timeline(tx, [entry], now=now)
