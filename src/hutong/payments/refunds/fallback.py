"""Further methods of a refund, once one is proven to have failed: a payout, then payment by hand. Never two at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.model import Payment
from hutong.payments.refunds import postings
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod, RefundState
from hutong.payments.store import lock_refunds, save_refund_sums, save_refunds

_ORDER = list(RefundMethod)
_STATES = {RefundMethod.PAYOUT: RefundState.PAYOUT, RefundMethod.MANUAL: RefundState.MANUAL}


@dataclass(frozen=True, slots=True)
class SwitchRefundMethod:
    """A request to send a failed refund by another method.

    Attributes:
        method: PAYOUT or MANUAL.
        payout_account_id: The channel account that pays out; needed for PAYOUT unless the refund names one.
        payee_sealed: The payee, sealed; needed for PAYOUT unless the refund has one.
    """

    refund_id: UUID
    method: RefundMethod
    payout_account_id: UUID | None = None
    payee_sealed: bytes | None = None


class SwitchMethodOutcome(StrEnum):
    """Outcomes of switching the method. Only SWITCHED changed anything."""

    SWITCHED = "switched"
    NOT_FOUND = "not_found"
    NOT_FAILED = "refund_not_failed"
    """The previous method is not proven to have failed, so money could go out twice."""
    WENT_OUT = "refund_went_out"
    """The money went out after all by a method that had failed."""
    SUPERSEDED = "refund_superseded"
    """The channel has given the money back already, in its portal."""
    METHOD_USED = "refund_route_tried"
    """Each method is used once, in their order."""
    PAYEE_MISSING = "refund_payee_missing"
    EXCEEDS_AVAILABLE = "refund_exceeds_available"
    """The amount has been refunded otherwise since."""
    INSUFFICIENT_FUNDS = "insufficient_merchant_funds"


async def switch_refund_methods(
    tx: db.Tx, commands: Sequence[SwitchRefundMethod], *, new_id: Callable[[], UUID], now: datetime
) -> list[SwitchMethodOutcome]:
    """Send failed refunds by their next method.

    Effects:
        Reserves the money again. A payout is due at once; a manual refund waits for a person.

    Repeat:
        A refund that was switched already is NOT_FAILED.

    Returns:
        One outcome per command, in order.
    """
    locked = await lock_refunds(tx, [command.refund_id for command in commands])
    return await switch_locked(tx, commands, locked, new_id=new_id, now=now)


async def switch_locked(
    tx: db.Tx,
    commands: Sequence[SwitchRefundMethod],
    locked: Mapping[UUID, tuple[Payment, Refund]],
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> list[SwitchMethodOutcome]:
    """Switch refunds that the caller has locked and read, as `switch_refund_methods` does."""
    outcomes: dict[int, SwitchMethodOutcome] = {}
    switched: dict[int, tuple[Payment, Refund]] = {}
    for place, command in enumerate(commands):
        if command.refund_id not in locked:
            outcomes[place] = SwitchMethodOutcome.NOT_FOUND
            continue
        payment, refund = locked[command.refund_id]
        refusal = _refusal(payment, refund, command)
        if refusal is not None:
            outcomes[place] = refusal
            continue
        _switch(payment, refund, command, new_id(), now)
        switched[place] = payment, refund
    # Surplus money is in an account of its own already; everything else is reserved again.
    to_hold = [refund for _, refund in switched.values() if refund.kind is RefundKind.REFUND]
    holds = dict(zip([r.refund_id for r in to_hold], await postings.hold(tx, to_hold, now=now), strict=True))
    done: list[tuple[Payment, Refund]] = []
    for place, (payment, refund) in switched.items():
        if holds.get(refund.refund_id) is postings.HoldOutcome.INSUFFICIENT:
            payment.amount_refunding_minor -= refund.amount_minor
            outcomes[place] = SwitchMethodOutcome.INSUFFICIENT_FUNDS
        else:
            done.append((payment, refund))
            outcomes[place] = SwitchMethodOutcome.SWITCHED
    await save_refunds(tx, [(refund, None) for _, refund in done])
    await save_refund_sums(tx, {payment.payment_id: payment for payment, _ in done})
    return [outcomes[place] for place in range(len(commands))]


def _refusal(payment: Payment, refund: Refund, command: SwitchRefundMethod) -> SwitchMethodOutcome | None:
    if refund.late_success_at is not None:
        return SwitchMethodOutcome.WENT_OUT
    if refund.state is RefundState.SUPERSEDED:
        return SwitchMethodOutcome.SUPERSEDED
    if refund.state is not RefundState.FAILED:
        return SwitchMethodOutcome.NOT_FAILED
    if command.method not in _STATES or _ORDER.index(command.method) <= _ORDER.index(refund.route):
        return SwitchMethodOutcome.METHOD_USED
    if command.method is RefundMethod.PAYOUT and not (
        (command.payout_account_id or refund.payout_account_id) and (command.payee_sealed or refund.payee_sealed)
    ):
        return SwitchMethodOutcome.PAYEE_MISSING
    # What the portal has given back and nothing has booked yet must not go out again.
    if refund.kind is RefundKind.REFUND and refund.amount_minor > payment.refundable_minor - payment.portal_minor:
        return SwitchMethodOutcome.EXCEEDS_AVAILABLE
    return None


def _switch(payment: Payment, refund: Refund, command: SwitchRefundMethod, hold_id: UUID, now: datetime) -> None:
    refund.route, refund.state = command.method, _STATES[command.method]
    refund.payout_account_id = command.payout_account_id or refund.payout_account_id
    refund.payee_sealed = command.payee_sealed or refund.payee_sealed
    refund.finished_at, refund.channel_refund_no = None, None
    refund.next_query_at = now if command.method is RefundMethod.PAYOUT else None
    if refund.kind is RefundKind.REFUND:
        refund.hold_id = hold_id
        payment.amount_refunding_minor += refund.amount_minor
