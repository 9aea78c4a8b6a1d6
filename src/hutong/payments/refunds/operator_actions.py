"""Actions of operators on a refund whose first method failed: send it by another, or record that it is paid by hand."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import Conflict, NotFound
from hutong.payments.model import OperatorActionType
from hutong.payments.refunds.channel_answers import SettleManually
from hutong.payments.refunds.fallback import SwitchMethodOutcome, SwitchRefundMethod
from hutong.payments.refunds.model import Refund, RefundMethod
from hutong.payments.refunds.transactions import RefundTransactions
from hutong.payments.store import lock_refunds, write_timeline
from hutong.payments.timeline import TimelineEntry


class RefundMethodRefused(Conflict):
    """The refund cannot be sent or settled by that method now; nothing was done."""

    code = "refund_route_refused"


_REASONS = {
    SwitchMethodOutcome.NOT_FAILED: "the previous method is not proven to have failed, so money could go out twice",
    SwitchMethodOutcome.WENT_OUT: "the money went out after all by the previous method",
    SwitchMethodOutcome.SUPERSEDED: "the channel has given the money back already, in its portal",
    SwitchMethodOutcome.METHOD_USED: "this method was used already, or precedes the one that was",
    SwitchMethodOutcome.PAYEE_MISSING: "a payout needs `payout_account_id` and `payee`",
    SwitchMethodOutcome.EXCEEDS_AVAILABLE: "the amount has been refunded otherwise since",
    SwitchMethodOutcome.INSUFFICIENT_FUNDS: "the merchant's balance no longer covers the refund",
}


def proposal(
    new_id: UUID,
    operator_id: UUID,
    refund: Refund,
    action: OperatorActionType,
    payload: Mapping[str, Any],
    reason: str,
    request_id: str | None,
) -> operators.NewProposal:
    """Return the proposal of either action."""
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


def switch_refund_method(transactions: RefundTransactions) -> operators.ApprovalHandler:
    """Return the handler that sends a refund by another method.

    Errors:
        NotFound: no such refund. RefundMethodRefused: it cannot be sent by that method, or not now.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        refund, payload = await _lock(tx, approved), approved.payload
        account, payee = payload.get("payout_account_id"), payload.get("payee_sealed")
        command = SwitchRefundMethod(
            refund.refund_id,
            RefundMethod(payload["route"]),
            None if account is None else ids.decode("acc", account),
            None if payee is None else base64.b64decode(payee),
        )
        outcome = await transactions.switch_method(tx, command)
        if outcome is not SwitchMethodOutcome.SWITCHED:
            raise RefundMethodRefused(_REASONS.get(outcome, outcome.value))
        await _write(tx, refund, "operator.convert_refund", approved, now)

    return handle


def settle_refund(transactions: RefundTransactions) -> operators.ApprovalHandler:
    """Return the handler that records a person's settlement of a refund.

    Errors:
        NotFound: no such refund. RefundMethodRefused: it is not in state `manual`.
    """

    async def handle(tx: db.Tx, approved: operators.Proposal, now: datetime) -> None:
        refund, payload = await _lock(tx, approved), approved.payload
        command = SettleManually(refund.refund_id, payload["reference"], payload["from_bank"])
        if await transactions.settle(tx, command) is None:
            raise RefundMethodRefused("the refund is not in state `manual`")
        await _write(tx, refund, "operator.settle_refund", approved, now)

    return handle


async def _lock(tx: db.Tx, approved: operators.Proposal) -> Refund:
    refund_id = ids.decode("ref", approved.object_id)
    locked = await lock_refunds(tx, [refund_id])
    if refund_id not in locked:
        raise NotFound("no refund has this id")
    return locked[refund_id][1]


async def _write(tx: db.Tx, refund: Refund, what: str, approved: operators.Proposal, now: datetime) -> None:
    note = f"{ids.encode(operators.PROPOSAL_PREFIX, approved.proposal_id)}: {approved.reason}"
    entry = TimelineEntry(
        refund.payment_id, what, refund.attempt_id, "operator", amount_minor=refund.amount_minor, note=note
    )
    await write_timeline(tx, [entry], now=now)
