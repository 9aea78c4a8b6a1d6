"""The orders and refunds of a day at one channel account, for those who compare them with the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db
from hutong.payments.refunds.model import Refund
from hutong.payments.statements import sql
from hutong.payments.store import find_refunds, items_of


@dataclass(frozen=True, slots=True)
class DayOrder:
    """An attempt that has ended, and its order.

    Attributes:
        has_succeeded: Whether the attempt took money.
        is_paid: Whether its order is paid, by this attempt or another.
        order_minor: What the order counts as captured; of surplus, which no order counts, what the attempt took.
        settled_minor: What the channel owes for the attempt: of its sums, and of discounts that it funds.
    """

    attempt_id: UUID
    payment_id: UUID
    merchant_id: UUID
    currency: str
    has_succeeded: bool
    is_paid: bool
    at: datetime
    order_minor: int
    attempt_minor: int
    paid_minor: int
    settled_minor: int


async def stream_orders(
    tx: db.Tx, account_id: UUID, *, since: datetime, until: datetime
) -> AsyncIterator[list[DayOrder]]:
    """Yield the orders of the attempts that ended in a time, in lists and in no order."""
    part: list[asyncpg.Record] = []
    async for row in sql.stream_orders.cursor(tx, account_id=account_id, since=since, until=until, prefetch=1_000):
        part.append(row)
        if len(part) == 2_000:
            yield await _orders(tx, part)
            part = []
    yield await _orders(tx, part)


async def _orders(tx: db.Tx, rows: Collection[asyncpg.Record]) -> list[DayOrder]:
    items = await items_of(tx, {row["payment_id"] for row in rows})
    orders = []
    for row in rows:
        taken_minor = row["amount_captured_minor"] or 0
        settled_minor = taken_minor if row["amount_settled_minor"] is None else row["amount_settled_minor"]
        if not row["surplus"]:
            settled_minor += sum(item.channel_minor for item in items.get(row["payment_id"], ()))
        orders.append(
            DayOrder(
                row["attempt_id"],
                row["payment_id"],
                row["merchant_id"],
                row["currency"],
                row["state"] == "succeeded",
                row["status"] == "succeeded" or row["surplus"],
                row["finished_at"],
                taken_minor if row["surplus"] else row["order_minor"],
                taken_minor,
                taken_minor if row["amount_paid_minor"] is None else row["amount_paid_minor"],
                settled_minor,
            )
        )
    return orders


async def refunds_ended(tx: db.Tx, account_id: UUID, *, since: datetime, until: datetime) -> list[Refund]:
    """Return the refunds of an account that have ended in a time, or whose success has failed since, by id."""
    rows = await sql.refunds_ended.fetch(tx, account_id=account_id, since=since, until=until)
    found = await find_refunds(tx, [row["id"] for row in rows])
    return [found[row["id"]] for row in rows]


@dataclass(frozen=True, slots=True)
class RefundedSum:
    """What a payment counts as refunded, and what its refunds add up to."""

    payment_id: UUID
    merchant_id: UUID
    currency: str
    counted_minor: int
    refunds_minor: int


async def refunded_sums(tx: db.Tx, payment_ids: Collection[UUID]) -> list[RefundedSum]:
    """Return the sums of some payments, by id."""
    rows = await sql.refunded_sums.fetch(tx, payment_ids)
    return sorted((RefundedSum(**row) for row in rows), key=lambda each: each.payment_id)
