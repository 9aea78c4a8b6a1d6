"""Creating, finding, locking and saving payments."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db
from hutong.payments.items import Discount, LineItem, discounts_of, insert_baskets, items_of
from hutong.payments.model import (
    DEFAULT_POLICY,
    Attempt,
    AttemptState,
    CaptureMethod,
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
    inserted = {row["id"] for row in await sql.insert_payments.fetch(tx, *_payment_columns(commands, now))}
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
        await sql.insert_attempts.execute(
            tx,
            [attempt.attempt_id for attempt in attempts],
            [attempt.payment_id for attempt in attempts],
            [attempt.account_id for attempt in attempts],
            [attempt.channel for attempt in attempts],
            [attempt.method for attempt in attempts],
            [attempt.payer_ip for attempt in attempts],
            now,
            [attempt.next_query_at for attempt in attempts],
            [attempt.notify_url for attempt in attempts],
            [attempt.return_url for attempt in attempts],
            [attempt.payer_sealed for attempt in attempts],
            [attempt.expires_at for attempt in attempts],
            [attempt.authorization_kept for attempt in attempts],
            [attempt.decision for attempt in attempts],
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
    fitting = [row for row in rows if (not after or row["id"] < after) and (not status or row["status"] == status)]
    return await _with_attempts(tx, fitting)


async def save(tx: db.Tx, changed: Sequence[Payment]) -> None:
    """Write the states of payments that the caller has locked and changed."""
    if changed:
        await sql.update_payments.execute(
            tx,
            [p.payment_id for p in changed],
            [p.status for p in changed],
            [p.succeeded_at for p in changed],
            [p.closed_at for p in changed],
            [p.close_reason for p in changed],
            [p.close_requested_at for p in changed],
            [p.amount_captured_minor for p in changed],
            [p.authorized_at for p in changed],
            [p.capture_before for p in changed],
            [p.capture_minor for p in changed],
            [p.capture_requested_at for p in changed],
        )


def _payment_columns(commands: Sequence[NewPayment], now: datetime) -> list[object]:
    processing, waiting = PaymentStatus.PROCESSING, PaymentStatus.REQUIRES_PAYMENT
    rows = [
        (
            c.payment_id, c.merchant_id, c.merchant_order_no, c.amount_minor, c.currency, c.subject,
            processing if c.first_attempt else waiting, c.fee_ppm, c.checkout_token, c.return_url,
            json.dumps(dict(c.metadata), ensure_ascii=False, sort_keys=True), c.expires_at,
            c.capture_method,
        )
        for c in commands
    ]  # fmt: skip
    columns: list[object] = [list(column) for column in zip(*rows, strict=True)]
    return [*columns, now, [_customer_text(c.customer) for c in commands]]


def _customer_text(customer: Customer | None) -> str | None:
    return None if customer is None else json.dumps(asdict(customer), ensure_ascii=False)


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
    payments = {row["id"]: _payment_of(row) for row in rows}
    if payments:
        for row in await sql.find_attempts.fetch(tx, list(payments)):
            payments[row["payment_id"]].attempts.append(attempt_of(row))
    return list(payments.values())


def _payment_of(row: asyncpg.Record) -> Payment:
    return Payment(
        row["id"], row["merchant_id"], row["merchant_order_no"], row["amount_minor"], row["currency"], row["subject"],
        PaymentStatus(row["status"]), row["amount_refunded_minor"], row["fee_ppm"], row["checkout_token"],
        row["return_url"], json.loads(row["metadata"]), row["expires_at"], row["created_at"], row["succeeded_at"],
        row["closed_at"], row["close_reason"], row["close_requested_at"], row["amount_refunding_minor"], [],
        CaptureMethod(row["capture_method"]), row["amount_captured_minor"], row["authorized_at"], row["capture_before"],
        row["capture_minor"], row["capture_requested_at"],
        None if row["customer"] is None else Customer(**json.loads(row["customer"])),
    )  # fmt: skip


def attempt_of(row: asyncpg.Record) -> Attempt:
    """An attempt as one row of the statements above."""
    return Attempt(
        row["id"], row["payment_id"], row["account_id"], row["channel"], row["method"], AttemptState(row["state"]),
        row["surplus"], row["action_kind"], row["action_content"], row["channel_order_no"], row["channel_code"],
        row["channel_message"], row["queries"], row["created_at"], row["finished_at"], row["next_query_at"],
        row["payer_ip"], row["notify_url"], row["return_url"], row["payer_sealed"], row["expires_at"],
        row["authorization_kept"], row["amount_captured_minor"], row["close_requested_at"], row["doubt_since"],
        row["verify_at"], row["code"], row["retryable"],
    )  # fmt: skip
