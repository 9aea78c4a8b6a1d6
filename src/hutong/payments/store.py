"""The rows of payments, attempts, refunds, items and timelines: found, locked and saved, whole lists at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson

from hutong import db, routing
from hutong.customers import Customer
from hutong.payments.items import Discount, LineItem, RefundLine
from hutong.payments.model import Attempt, NewPayment, Payment, PaymentStatus, Source
from hutong.payments.refunds.model import Refund
from hutong.payments.statements import sql
from hutong.payments.timeline import TimelineEntry

Basket = tuple[tuple[LineItem, ...], tuple[Discount, ...]]
"""The items and discounts of an order."""


async def find(tx: db.Tx, payment_ids: Collection[UUID], *, merchant_id: UUID | None = None) -> dict[UUID, Payment]:
    """Return payments with their attempts, as last committed; absent ones are left out.

    Args:
        merchant_id: Whose payments may be seen; another merchant's count as absent. None sees all.
    """
    rows = await sql.find_payments.fetch(tx, payment_ids, merchant_id)
    return {payment.payment_id: payment for payment in await with_attempts(tx, rows)}


async def find_each(database: db.Database, payment_ids: Sequence[UUID]) -> list[Payment | None]:
    """Return payments in the order of their ids, each None if there is none; equal ids get copies of their own."""
    async with database.transaction() as tx:
        payments: dict[UUID, Payment | None] = dict(await find(tx, payment_ids))
    if len(set(payment_ids)) == len(payment_ids):
        return [payments.get(payment_id) for payment_id in payment_ids]
    each = (payments.get(payment_id) for payment_id in payment_ids)
    return [None if payment is None else payment.copy() for payment in each]


async def lock(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, Payment]:
    """Return payments as `find` does, locked against every other change until the transaction ends."""
    rows = await sql.lock_payments.fetch(tx, payment_ids)
    return {payment.payment_id: payment for payment in await with_attempts(tx, rows)}


async def lock_attempts(tx: db.Tx, attempt_ids: Collection[UUID]) -> dict[UUID, tuple[Payment, Attempt]]:
    """Return attempts by id, each with its payment; the payments are locked in id order."""
    payments = await with_attempts(tx, await sql.lock_payments_of_attempts.fetch(tx, attempt_ids))
    return {attempt.attempt_id: (payment, attempt) for payment in payments for attempt in payment.attempts}


async def lock_refunds(tx: db.Tx, refund_ids: Collection[UUID]) -> dict[UUID, tuple[Payment, Refund]]:
    """Return refunds by id, each with its payment; the payments are locked in id order, and the refunds read then."""
    payments = await lock(tx, [row["payment_id"] for row in await sql.payments_of_refunds.fetch(tx, refund_ids)])
    for row in await sql.unbooked_portal_minor.fetch(tx, list(payments)) if payments else ():
        payments[row["payment_id"]].portal_minor = row["amount_minor"] or 0
    refunds = await find_refunds(tx, refund_ids)
    return {refund_id: (payments[refund.payment_id], refund) for refund_id, refund in refunds.items()}


async def find_by_order_no(tx: db.Tx, orders: Sequence[NewPayment]) -> dict[tuple[UUID, str], Payment]:
    """Return the payments that exist under the order numbers of these orders, by merchant and number."""
    rows = await sql.find_by_order_no.fetch(
        tx, [order.merchant_id for order in orders], [order.merchant_order_no for order in orders]
    )
    return {(p.merchant_id, p.merchant_order_no): p for p in await with_attempts(tx, rows)}


async def insert_payments(tx: db.Tx, orders: Sequence[NewPayment], *, now: datetime) -> set[UUID]:
    """Insert the payments of orders whose numbers are free; return the ids of those."""
    rows = await sql.insert_payments.fetch(
        tx,
        rows=orders,
        created_at=now,
        status=[
            PaymentStatus.PROCESSING if order.first_attempt else PaymentStatus.REQUIRES_PAYMENT for order in orders
        ],
        metadata=[json.dumps(dict(order.metadata), ensure_ascii=False, sort_keys=True) for order in orders],
        customer=[
            None if order.customer is None else json.dumps(asdict(order.customer), ensure_ascii=False)
            for order in orders
        ],
    )
    inserted = {row["id"] for row in rows}
    entries = [
        (order, name, value)
        for order in orders
        if order.payment_id in inserted
        for name, value in order.metadata.items()
    ]
    if entries:
        await sql.insert_metadata.execute(
            tx,
            merchant_id=[order.merchant_id for order, _, _ in entries],
            name=[name for _, name, _ in entries],
            value=[value for _, _, value in entries],
            payment_id=[order.payment_id for order, _, _ in entries],
        )
    return inserted


async def save(tx: db.Tx, payments: Sequence[Payment]) -> None:
    """Write the states of payments that the caller has locked and changed."""
    if payments:
        await sql.update_payments.execute(tx, rows=payments)


async def insert_attempts(tx: db.Tx, attempts: Sequence[Attempt], *, now: datetime) -> None:
    """Write the intents of attempts, and the routing decisions that chose their accounts."""
    if attempts:
        await sql.insert_attempts.execute(tx, rows=attempts, created_at=now)
        await routing.log_decisions(
            tx,
            [
                routing.LoggedDecision(each.attempt_id, each.payment_id, each.account_id, now, each.decision)
                for each in attempts
                if each.decision is not None
            ],
        )


async def save_attempts(tx: db.Tx, attempts: Sequence[tuple[Attempt, Source]]) -> None:
    """Write the states of attempts whose payments the caller has locked, each with the source of its state."""
    if attempts:
        await sql.update_attempts.execute(
            tx, rows=[attempt for attempt, _ in attempts], source=[source for _, source in attempts]
        )


async def claim_notifications(tx: db.Tx, keys: Sequence[tuple[UUID, bytes | None]], *, now: datetime) -> list[bool]:
    """Record notifications by account and replay key; tell for each whether it is taken for the first time.

    Those without a key always are. Of two equal ones in one list the first is.
    """
    distinct = sorted({(account_id, key) for account_id, key in keys if key is not None})
    if not distinct:
        return [True] * len(keys)
    rows = await sql.claim_notifications.fetch(
        tx, [account_id for account_id, _ in distinct], [k for _, k in distinct], now
    )
    claimed = {(row["account_id"], row["replay_key"]) for row in rows}
    fresh: list[bool] = []
    for identity in keys:
        fresh.append(identity[1] is None or identity in claimed)
        claimed.discard(identity)
    return fresh


async def find_refunds(
    tx: db.Tx, refund_ids: Collection[UUID], *, merchant_id: UUID | None = None
) -> dict[UUID, Refund]:
    """Return refunds as last committed; absent ones are left out, and so are another merchant's."""
    rows = await sql.find_refunds.fetch(tx, refund_ids, merchant_id)
    return {row["refund_id"]: read_refund(row) for row in rows}


async def find_refunds_by_no(tx: db.Tx, numbers: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], Refund]:
    """Return the refunds that exist under these refund numbers, by merchant and number."""
    rows = await sql.find_refunds_by_no.fetch(tx, [merchant for merchant, _ in numbers], [no for _, no in numbers])
    return {(row["merchant_id"], row["merchant_refund_no"]): read_refund(row) for row in rows}


async def refunds_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, list[Refund]]:
    """Return all refunds of some payments, first to last."""
    refunds: dict[UUID, list[Refund]] = {payment_id: [] for payment_id in payment_ids}
    for row in await sql.refunds_of_payments.fetch(tx, payment_ids):
        refunds[row["payment_id"]].append(read_refund(row))
    return refunds


async def insert_refunds(tx: db.Tx, refunds: Sequence[Refund], *, now: datetime) -> None:
    """Write the intents of refunds."""
    if not refunds:
        return
    lines = [
        orjson.dumps(
            [[li.item_id, li.quantity, li.payer_minor, li.platform_minor, li.channel_minor] for li in refund.lines]
        ).decode()
        for refund in refunds
    ]
    try:
        await sql.insert_refunds.execute(tx, rows=refunds, created_at=now, lines=lines)
    except asyncpg.UniqueViolationError as error:
        # Another transaction has taken the number since this one read it: run again from the start, this one sees it.
        raise asyncpg.SerializationError(str(error)) from error


async def find_portal_refund(tx: db.Tx, account_id: UUID, portal_no: str) -> UUID | None:
    """Return the refund that was made in a channel's portal under this number of the channel's; None if unknown."""
    refund_id: UUID | None = await sql.find_portal_refund.fetchval(tx, account_id, portal_no)
    return refund_id


async def find_order(
    tx: db.Tx, account_id: UUID, *, attempt_id: UUID | None, channel_order_no: str | None
) -> Attempt | None:
    """Return the attempt of an order at a channel account, by our id or, without one, by the channel's number."""
    rows = await sql.find_order.fetch(
        tx, account_id=account_id, attempt_id=attempt_id, channel_order_no=channel_order_no
    )
    return read_attempt(rows[0]) if len(rows) == 1 else None


async def save_refunds(tx: db.Tx, refunds: Sequence[tuple[Refund, str | None]]) -> None:
    """Write the states of refunds whose payments the caller has locked; a source of None keeps the recorded one."""
    if refunds:
        await sql.update_refunds.execute(
            tx, rows=[refund for refund, _ in refunds], source=[source for _, source in refunds]
        )


async def save_refund_sums(tx: db.Tx, payments: Mapping[UUID, Payment]) -> None:
    """Write how much is refunded and on its way back, of payments that the caller has locked and changed."""
    if payments:
        await sql.update_refund_sums.execute(
            tx,
            list(payments),
            [payment.amount_refunded_minor for payment in payments.values()],
            [payment.amount_refunding_minor for payment in payments.values()],
        )


async def insert_baskets(tx: db.Tx, baskets: Sequence[tuple[UUID, Basket]]) -> None:
    """Write the items and discounts of new payments."""
    items = [(owner, place, item) for owner, (items, _) in baskets for place, item in enumerate(items)]
    if items:
        await sql.insert_items.execute(
            tx,
            rows=[item for _, _, item in items],
            payment_id=[owner for owner, _, _ in items],
            position=[place for _, place, _ in items],
        )
    discounts = [(owner, place, off) for owner, (_, discounts) in baskets for place, off in enumerate(discounts)]
    if discounts:
        await sql.insert_discounts.execute(
            tx,
            rows=[discount for _, _, discount in discounts],
            payment_id=[owner for owner, _, _ in discounts],
            position=[place for _, place, _ in discounts],
        )


async def baskets_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, Basket]:
    """Return the items and discounts of payments."""
    if not payment_ids:
        return {}
    items, discounts = await items_of(tx, payment_ids), dict[UUID, list[Discount]]()
    for row in await sql.discounts_of_payments.fetch(tx, payment_ids):
        discounts.setdefault(row["payment_id"], []).append(_read_discount(row))
    return {owner: (items.get(owner, ()), tuple(discounts.get(owner, ()))) for owner in payment_ids}


async def items_of(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, tuple[LineItem, ...]]:
    """Return the items of those payments that have any."""
    items: dict[UUID, list[LineItem]] = {}
    for row in await sql.items_of_payments.fetch(tx, payment_ids):
        items.setdefault(row["payment_id"], []).append(_read_item(row))
    return {payment_id: tuple(entries) for payment_id, entries in items.items()}


async def write_timeline(tx: db.Tx, entries: Sequence[TimelineEntry], *, now: datetime) -> None:
    """Append to the timelines of payments that the caller has locked."""
    if entries:
        await sql.write_timeline.execute(tx, rows=entries, at=now)


async def read_timeline(tx: db.Tx, payment_ids: Collection[UUID]) -> list[tuple[datetime, TimelineEntry]]:
    """Return the recorded entries of these payments, first to last."""
    return [(row["at"], _read_entry(row)) for row in await sql.read_timeline.fetch(tx, payment_ids)]


def _read_customer(text: str | None) -> Customer | None:
    return None if text is None else Customer(**json.loads(text))


def _read_lines(text: str) -> tuple[RefundLine, ...]:
    return tuple(RefundLine(*line) for line in orjson.loads(text))


_read_payment = db.reader(
    Payment,
    sql["payment"],
    without=("attempts", "portal_minor"),
    metadata=json.loads,
    changed_metadata=lambda text: None if text is None else json.loads(text),
    customer=_read_customer,
)
read_refund = db.reader(Refund, (*sql["refund"], "merchant_order_no"), lines=_read_lines)
_read_item = db.reader(LineItem, sql["item"])
_read_discount = db.reader(Discount, sql["discount"])
_read_entry = db.reader(TimelineEntry, sql["timeline_entry"])
read_attempt = db.reader(Attempt, sql["attempt"], without=("decision",))


async def with_attempts(tx: db.Tx, rows: Sequence[asyncpg.Record]) -> list[Payment]:
    """Return the payments of rows, each with its attempts, in the order of the rows."""
    payments = {row["payment_id"]: _read_payment(row) for row in rows}
    if payments:
        for row in await sql.find_attempts.fetch(tx, list(payments)):
            payments[row["payment_id"]].attempts.append(read_attempt(row))
    return list(payments.values())
