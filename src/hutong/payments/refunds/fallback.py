"""The other ways back, once one is proven failed: a payout to the payer, then by a person's hand. Never two at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db
from hutong.payments.model import Payment
from hutong.payments.refunds import postings as refund_books
from hutong.payments.refunds.create import available_minor, save_sums
from hutong.payments.refunds.model import (
    Refund,
    RefundKind,
    RefundMethod,
    RefundState,
    find_refunds,
    save_refunds,
)
from hutong.payments.statements import sql
from hutong.payments.store import lock

_ORDER = list(RefundMethod)
_STATES = {RefundMethod.PAYOUT: RefundState.PAYOUT, RefundMethod.MANUAL: RefundState.MANUAL}


@dataclass(frozen=True, slots=True)
class SwitchRefundMethod:
    """The wish to send a failed refund by another way.

    Attributes:
        route: PAYOUT or MANUAL.
        payout_account_id: The channel account that pays out; needed for PAYOUT unless the refund names one.
        payee_sealed: Who receives it, sealed; needed for PAYOUT unless the refund has it.
    """

    refund_id: UUID
    route: RefundMethod
    payout_account_id: UUID | None = None
    payee_sealed: bytes | None = None


class SwitchMethodOutcome(StrEnum):
    """What came of it. Only CONVERTED changed anything."""

    CONVERTED = "converted"
    NOT_FOUND = "not_found"
    NOT_FAILED = "refund_not_failed"
    """The way before is not proven failed, so money could go out twice."""
    WENT_OUT = "refund_went_out"
    """The money went out after all by a way that had failed."""
    ROUTE_TRIED = "refund_route_tried"
    """A way is tried once, and they have an order."""
    PAYEE_MISSING = "refund_payee_missing"
    EXCEEDS_AVAILABLE = "refund_exceeds_available"
    """The amount has been refunded anew since."""
    INSUFFICIENT_FUNDS = "insufficient_merchant_funds"


async def switch_refund_methods(
    tx: db.Tx, commands: Sequence[SwitchRefundMethod], *, new_id: Callable[[], UUID], now: datetime
) -> list[SwitchMethodOutcome]:
    """Send failed refunds by their next way.

    Effects:
        Reserves the money anew. A payout is due at once; what is manual waits for a person.

    Repeat:
        A refund that is on that way already is NOT_FAILED.

    Returns:
        One outcome per command, in order.
    """
    payments, refunds = await lock_refunds(tx, [command.refund_id for command in commands])
    return await switch_locked(tx, commands, payments, refunds, new_id=new_id, now=now)


async def switch_locked(
    tx: db.Tx,
    commands: Sequence[SwitchRefundMethod],
    payments: Mapping[UUID, Payment],
    refunds: Mapping[UUID, Refund],
    *,
    new_id: Callable[[], UUID],
    now: datetime,
) -> list[SwitchMethodOutcome]:
    """The same for refunds that the caller has locked and read."""
    outcomes: dict[int, SwitchMethodOutcome] = {}
    wanted: dict[int, Refund] = {}
    for place, command in enumerate(commands):
        refund = refunds.get(command.refund_id)
        if refund is None:
            outcomes[place] = SwitchMethodOutcome.NOT_FOUND
            continue
        payment = payments[refund.payment_id]
        refusal = _refusal(payment, refund, command)
        if refusal is not None:
            outcomes[place] = refusal
            continue
        _turn(payment, refund, command, new_id(), now)
        wanted[place] = refund
    # Surplus lies apart already; everything else is reserved anew.
    to_hold = [refund for refund in wanted.values() if refund.kind is RefundKind.REFUND]
    held = dict(zip([r.refund_id for r in to_hold], await refund_books.hold(tx, to_hold, now=now), strict=True))
    done: list[Refund] = []
    for place, refund in wanted.items():
        if held.get(refund.refund_id) is refund_books.HoldOutcome.INSUFFICIENT:
            payments[refund.payment_id].amount_refunding_minor -= refund.amount_minor
            outcomes[place] = SwitchMethodOutcome.INSUFFICIENT_FUNDS
        else:
            done.append(refund)
            outcomes[place] = SwitchMethodOutcome.CONVERTED
    await save_refunds(tx, [(refund, None) for refund in done])
    await save_sums(tx, [payments[payment_id] for payment_id in sorted({r.payment_id for r in done})])
    return [outcomes[place] for place in range(len(commands))]


def _refusal(payment: Payment, refund: Refund, command: SwitchRefundMethod) -> SwitchMethodOutcome | None:
    if refund.late_success_at is not None:
        return SwitchMethodOutcome.WENT_OUT
    if refund.state is not RefundState.FAILED:
        return SwitchMethodOutcome.NOT_FAILED
    if command.route not in _STATES or _ORDER.index(command.route) <= _ORDER.index(refund.route):
        return SwitchMethodOutcome.ROUTE_TRIED
    if command.route is RefundMethod.PAYOUT and not (
        (command.payout_account_id or refund.payout_account_id) and (command.payee_sealed or refund.payee_sealed)
    ):
        return SwitchMethodOutcome.PAYEE_MISSING
    if refund.kind is RefundKind.REFUND and refund.amount_minor > available_minor(payment):
        return SwitchMethodOutcome.EXCEEDS_AVAILABLE
    return None


def _turn(payment: Payment, refund: Refund, command: SwitchRefundMethod, hold_id: UUID, now: datetime) -> None:
    refund.route, refund.state = command.route, _STATES[command.route]
    refund.payout_account_id = command.payout_account_id or refund.payout_account_id
    refund.payee_sealed = command.payee_sealed or refund.payee_sealed
    refund.finished_at, refund.channel_refund_no = None, None
    refund.next_query_at = now if command.route is RefundMethod.PAYOUT else None
    if refund.kind is RefundKind.REFUND:
        refund.hold_id = hold_id
        payment.amount_refunding_minor += refund.amount_minor


async def lock_refunds(tx: db.Tx, refund_ids: Sequence[UUID]) -> tuple[dict[UUID, Payment], dict[UUID, Refund]]:
    """Refunds and their payments, locked by the payments in id order, and read under the lock."""
    owners = [row["payment_id"] for row in await sql.payments_of_refunds.fetch(tx, refund_ids)]
    payments = await lock(tx, owners)
    return payments, await find_refunds(tx, refund_ids)
