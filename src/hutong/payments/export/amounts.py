"""All payments and refunds for views that others build, and what they come to for merchants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db, money
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod, RefundState
from hutong.payments.statements import sql
from hutong.payments.store import find, items_of, refunds_of


def stream_payments(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Yield every payment with the attempt that took its money, in order of the ids."""
    return sql.stream_payments.cursor(tx)


def stream_refunds(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Yield every refund, in order of the ids."""
    return sql.stream_refunds.cursor(tx)


@dataclass(frozen=True, slots=True)
class MerchantAmount:
    """What a payment or a refund comes to for its merchant, as it is booked.

    Attributes:
        fee_minor: Our fee; of a refund, the part of it that is returned.
        net_minor: What the merchant's pending settlement has gained; of a refund, what it has lost.
    """

    fee_minor: int = 0
    net_minor: int = 0


async def merchant_amounts(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, MerchantAmount]:
    """Return what payments and their refunds come to for their merchants, by id; 0 for what is not booked for good."""
    items, amounts = await items_of(tx, payment_ids), dict[UUID, MerchantAmount]()
    for payment_id, payment in (await find(tx, payment_ids)).items():
        if payment.counted_attempt is None:
            amounts[payment_id] = MerchantAmount()
            continue
        settled_minor = payment.sums.settled_minor
        fee_minor = money.fee_minor(settled_minor, payment.fee_ppm)
        funded_minor = sum(item.platform_minor + item.channel_minor for item in items.get(payment_id, ()))
        amounts[payment_id] = MerchantAmount(fee_minor, settled_minor + funded_minor - fee_minor)
    for refunds in (await refunds_of(tx, payment_ids)).values():
        for refund in refunds:
            amounts[refund.refund_id] = _refund_amount(refund)
    return amounts


def _refund_amount(refund: Refund) -> MerchantAmount:
    if refund.kind is not RefundKind.REFUND or refund.state is not RefundState.SUCCEEDED:
        return MerchantAmount()
    sent_minor = refund.payer_minor if refund.route is RefundMethod.MANUAL else refund.cost_minor
    back_minor = max(refund.held_minor - sent_minor, 0)  # held and not sent: the merchant's again
    lost_minor = refund.held_minor - refund.fee_minor + refund.platform_minor + refund.channel_minor - back_minor
    return MerchantAmount(refund.fee_minor, lost_minor)


@dataclass(frozen=True, slots=True)
class HeldDispute:
    """What a dispute has taken from a merchant: held until it ends, and lost for good after an end for the payer."""

    dispute_id: UUID
    payment_id: UUID
    state: str
    held_minor: int
    opened_at: datetime
    finished_at: datetime | None


async def held_disputes(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, list[HeldDispute]]:
    """Return the disputes that have taken money from the merchants of some payments, by payment, first to last."""
    found: dict[UUID, list[HeldDispute]] = {}
    for row in await sql.disputes_of_payments.fetch(tx, payment_ids):
        found.setdefault(row["payment_id"], []).append(HeldDispute(**dict(row)))
    return found
