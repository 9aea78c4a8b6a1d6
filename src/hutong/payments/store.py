"""Creating, finding, locking and saving payments."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db, routing
from hutong.payments.items import Discount, LineItem, discounts_of, insert_baskets, items_of
from hutong.payments.model import (
    DEFAULT_POLICY,
    Attempt,
    AttemptState,
    Customer,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentStatus,
    PollingPolicy,
)
from hutong.payments.statements import sql


@dataclass(frozen=True, slots=True)
class Created:
    """The payment is new."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class Existing:
    """The order was placed before, with the same content; this is its payment."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class OtherContent:
    """The order number stands for a payment with other content."""

    payment: Payment


async def create(
    tx: db.Tx, commands: Sequence[NewPayment], *, now: datetime, policy: PollingPolicy = DEFAULT_POLICY
) -> list[Created | Existing | OtherContent]:
    """Write down merchants' orders, each with the try that is to be made at once.

    Repeat:
        One payment per merchant order number, for ever. The same content again yields EXISTING, other content
        OTHER_CONTENT; neither writes anything.

    Returns:
        One result per command, in order.
    """
    inserted = {row["id"] for row in await _insert_payments(tx, commands, now)}
    attempts = {
        c.payment_id: new_attempt(c.payment_id, c.first_attempt, c.expires_at, now=now, policy=policy)
        for c in commands
        if c.first_attempt and c.payment_id in inserted
    }
    await insert_attempts(tx, list(attempts.values()), now=now)
    await insert_baskets(tx, [(c.payment_id, c.items, c.discounts) for c in commands if c.payment_id in inserted])
    standing: dict[tuple[UUID, str], Payment] = {}
    if len(inserted) < len(commands):
        others = [c for c in commands if c.payment_id not in inserted]
        rows = await sql.find_by_order_no.fetch(
            tx, [c.merchant_id for c in others], [c.merchant_order_no for c in others]
        )
        found = await _with_attempts(tx, rows)
        standing = {(p.merchant_id, p.merchant_order_no): p for p in found}
    baskets = await _baskets(tx, list(standing.values()))
    results: list[Created | Existing | OtherContent] = []
    for command in commands:
        if command.payment_id in inserted:
            results.append(Created(_new(command, attempts.get(command.payment_id), now)))
        else:
            payment = standing[command.merchant_id, command.merchant_order_no]
            same = _same(payment, command) and baskets[payment.payment_id] == (command.items, command.discounts)
            results.append(Existing(payment) if same else OtherContent(payment))
    return results


async def _baskets(
    tx: db.Tx, payments: Sequence[Payment]
) -> dict[UUID, tuple[tuple[LineItem, ...], tuple[Discount, ...]]]:
    """What was bought with some payments."""
    if not payments:
        return {}
    payment_ids = [payment.payment_id for payment in payments]
    items, discounts = await items_of(tx, payment_ids), await discounts_of(tx, payment_ids)
    return {payment_id: (items.get(payment_id, ()), discounts.get(payment_id, ())) for payment_id in payment_ids}


def new_attempt(
    payment_id: UUID, new: NewAttempt, payment_end: datetime, *, now: datetime, policy: PollingPolicy
) -> Attempt:
    """A try as it is before the channel is called."""
    end = max(payment_end, now + new.expiry_min)
    if end - now > new.expiry_max:
        end = now + new.expiry_max
    return Attempt(
        new.attempt_id, payment_id, new.account_id, new.channel, new.method, AttemptState.CREATED,
        False, None, None, None, None, None, 0, now, None, now + policy.cadence[0], new.payer_ip,
        notify_url=new.notify_url, return_url=new.return_url, payer_sealed=new.payer_sealed, expires_at=end,
        authorization_kept=new.authorization_kept, decision=new.decision,
    )  # fmt: skip


async def insert_attempts(tx: db.Tx, attempts: Sequence[Attempt], *, now: datetime) -> None:
    """Write the intents of tries down."""
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


async def find_placed(tx: db.Tx, order: NewPayment) -> Existing | OtherContent | None:
    """What stands under this order's number, if anything does."""
    rows = await sql.find_by_order_no.fetch(tx, [order.merchant_id], [order.merchant_order_no])
    for payment in await _with_attempts(tx, rows):
        basket = (await _baskets(tx, [payment]))[payment.payment_id]
        same = _same(payment, order) and basket == (order.items, order.discounts)
        return Existing(payment) if same else OtherContent(payment)
    return None


async def find(tx: db.Tx, payment_ids: Collection[UUID], *, merchant_id: UUID | None = None) -> dict[UUID, Payment]:
    """Payments with their attempts, as last committed; absent ones are left out.

    Args:
        merchant_id: Whose payments may be seen; another's are absent. None sees all.
    """
    rows = await sql.find_payments.fetch(tx, payment_ids, merchant_id)
    return {payment.payment_id: payment for payment in await _with_attempts(tx, rows)}


async def lock(tx: db.Tx, payment_ids: Collection[UUID]) -> dict[UUID, Payment]:
    """The same, locked against every other change until the transaction ends."""
    rows = await sql.lock_payments.fetch(tx, payment_ids)
    return {payment.payment_id: payment for payment in await _with_attempts(tx, rows)}


async def lock_by_attempt(tx: db.Tx, attempt_ids: Collection[UUID]) -> list[Payment]:
    """The payments that these attempts belong to, locked in id order."""
    return await _with_attempts(tx, await sql.lock_payments_of_attempts.fetch(tx, attempt_ids))


async def list_payments(
    tx: db.Tx,
    merchant_id: UUID,
    *,
    after: UUID | None = None,
    status: PaymentStatus | None = None,
    merchant_order_no: str | None = None,
    limit: int = 20,
) -> list[Payment]:
    """A merchant's payments, newest first, from after the one given."""
    if merchant_order_no is None:
        return await _with_attempts(tx, await sql.list_payments.fetch(tx, merchant_id, after, status, limit))
    # At most one: found by its own index, however many payments the merchant has.
    rows = await sql.find_by_order_no.fetch(tx, [merchant_id], [merchant_order_no])
    fitting = [
        row for row in rows if (not after or row["payment_id"] < after) and (not status or row["status"] == status)
    ]
    return await _with_attempts(tx, fitting)


async def save(tx: db.Tx, changed: Sequence[Payment]) -> None:
    """Write the states of payments that the caller has locked and changed."""
    if changed:
        await sql.update_payments.execute(tx, rows=changed)


async def _insert_payments(tx: db.Tx, commands: Sequence[NewPayment], now: datetime) -> list[asyncpg.Record]:
    processing, waiting = PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_PAYMENT
    return await sql.insert_payments.fetch(
        tx,
        rows=commands,
        created_at=now,
        status=[processing if c.first_attempt else waiting for c in commands],
        metadata=[json.dumps(dict(c.metadata), ensure_ascii=False, sort_keys=True) for c in commands],
        customer=[_customer_text(c.customer) for c in commands],
    )


def _customer_text(customer: Customer | None) -> str | None:
    return None if customer is None else json.dumps(asdict(customer), ensure_ascii=False)


def _read_customer(text: str | None) -> Customer | None:
    return None if text is None else Customer(**json.loads(text))


_read_payment = db.reader(Payment, sql["payment"], without=("attempts",), metadata=json.loads, customer=_read_customer)
read_attempt = db.reader(Attempt, sql["attempt"], without=("decision",))


def _new(command: NewPayment, attempt: Attempt | None, now: datetime) -> Payment:
    return Payment(
        command.payment_id, command.merchant_id, command.merchant_order_no, command.amount_minor, command.currency,
        command.subject, PaymentStatus.PROCESSING if attempt else PaymentStatus.REQUIRES_PAYMENT, 0, command.fee_ppm,
        command.checkout_token, command.return_url, dict(command.metadata), command.expires_at, now, None, None,
        None, None, attempts=[attempt] if attempt else [], capture_method=command.capture_method,
        customer=command.customer,
    )  # fmt: skip


def _same(payment: Payment, command: NewPayment) -> bool:
    """Whether the repeated order asks for what the first one did. The end is left out: it may be derived from now."""
    return (
        payment.amount_minor == command.amount_minor
        and payment.currency == command.currency
        and payment.subject == command.subject
        and payment.return_url == command.return_url
        and payment.metadata == command.metadata
        and payment.capture_method is command.capture_method
        and payment.customer == command.customer
    )


async def _with_attempts(tx: db.Tx, rows: Sequence[asyncpg.Record]) -> list[Payment]:
    payments = {row["payment_id"]: _read_payment(row) for row in rows}
    if payments:
        for row in await sql.find_attempts.fetch(tx, list(payments)):
            payments[row["payment_id"]].attempts.append(read_attempt(row))
    return list(payments.values())
