"""Creating payments: the order, and the attempt that is made at once, written as intents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.idempotency import StoredAnswer
from hutong.payments.model import (
    DEFAULT_POLICY,
    Attempt,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentStatus,
    PollingPolicy,
)
from hutong.payments.store import Basket, baskets_of, find_by_order_no, insert_attempts, insert_baskets, insert_payments


@dataclass(frozen=True, slots=True)
class PlaceResult:
    """The outcome of placing an order.

    Attributes:
        payment: The payment under the order number; None if the key was answered before, and if the order number
            belongs to a payment with other content. Nothing was written then.
        is_new: Whether the payment is new; otherwise the order was placed before, with the same content.
        answer: The answer stored under the idempotency key, once there is one.
    """

    payment: Payment | None = None
    is_new: bool = False
    answer: StoredAnswer | None = None


async def create(
    tx: db.Tx, orders: Sequence[NewPayment], *, now: datetime, policy: PollingPolicy = DEFAULT_POLICY
) -> list[PlaceResult]:
    """Write merchants' orders, each with its first attempt.

    Repeat:
        One payment per merchant order number, permanently. The same content again yields that payment, other content
        none; neither writes anything. A payment that was adopted after a restore has the same content if amount and
        currency are the same.

    Returns:
        One result per order, in order.
    """
    created = {order.payment_id: _new(order, now, policy) for order in orders}
    inserted = await insert_payments(tx, orders, now=now)
    attempts = [attempt for owner, payment in created.items() if owner in inserted for attempt in payment.attempts]
    await insert_baskets(tx, [(o.payment_id, (o.items, o.discounts)) for o in orders if o.payment_id in inserted])
    await insert_attempts(tx, attempts, now=now)
    existing, baskets = dict[tuple[UUID, str], Payment](), dict[UUID, Basket]()
    if len(inserted) < len(orders):
        existing = await find_by_order_no(tx, [order for order in orders if order.payment_id not in inserted])
        baskets = await baskets_of(tx, [payment.payment_id for payment in existing.values()])
    results: list[PlaceResult] = []
    for order in orders:
        if order.payment_id in inserted:
            results.append(PlaceResult(created[order.payment_id], is_new=True))
        else:
            payment = existing[order.merchant_id, order.merchant_order_no]
            results.append(_compare(payment, baskets[payment.payment_id], order))
    return results


async def find_placed(tx: db.Tx, order: NewPayment) -> PlaceResult | None:
    """Return the result that placing an order would have if its number is taken; None if it is free."""
    existing = await find_by_order_no(tx, [order])
    baskets = await baskets_of(tx, [payment.payment_id for payment in existing.values()])
    for payment in existing.values():
        return _compare(payment, baskets[payment.payment_id], order)
    return None


def new_attempt(
    payment_id: UUID, new: NewAttempt, payment_expires_at: datetime, *, now: datetime, policy: PollingPolicy
) -> Attempt:
    """Return an attempt in its state before the channel is called."""
    expires_at = max(payment_expires_at, now + new.expiry_min)
    if expires_at - now > new.expiry_max:
        expires_at = now + new.expiry_max
    return Attempt(
        attempt_id=new.attempt_id,
        payment_id=payment_id,
        account_id=new.account_id,
        channel=new.channel,
        method=new.method,
        created_at=now,
        next_query_at=now + policy.cadence[0],
        payer_ip=new.payer_ip,
        notify_url=new.notify_url,
        return_url=new.return_url,
        payer_sealed=new.payer_sealed,
        expires_at=expires_at,
        authorization_kept=new.authorization_kept,
        decision=new.decision,
    )


def _new(order: NewPayment, now: datetime, policy: PollingPolicy) -> Payment:
    first = order.first_attempt
    attempts = [new_attempt(order.payment_id, first, order.expires_at, now=now, policy=policy)] if first else []
    return Payment(
        payment_id=order.payment_id,
        merchant_id=order.merchant_id,
        merchant_order_no=order.merchant_order_no,
        amount_minor=order.amount_minor,
        currency=order.currency,
        subject=order.subject,
        status=PaymentStatus.PROCESSING if first else PaymentStatus.REQUIRES_PAYMENT,
        fee_ppm=order.fee_ppm,
        checkout_token=order.checkout_token,
        return_url=order.return_url,
        metadata=dict(order.metadata),
        expires_at=order.expires_at,
        created_at=now,
        attempts=attempts,
        capture_method=order.capture_method,
        customer=order.customer,
        adopted=order.adopted,
        cancel_url=order.cancel_url,
    )


def _compare(payment: Payment, basket: Basket, order: NewPayment) -> PlaceResult:
    """Compare a repeated order with the first one. The expiry is left out, since it may be derived from the time.

    Of an adopted payment nothing but the amount and the currency is known, so nothing else is compared.
    """
    same = (payment.amount_minor, payment.currency) == (order.amount_minor, order.currency) and (
        payment.adopted or _same_details(payment, basket, order)
    )
    return PlaceResult(payment if same else None)


def _same_details(payment: Payment, basket: Basket, order: NewPayment) -> bool:
    return (
        payment.subject == order.subject
        and payment.return_url == order.return_url
        and payment.cancel_url == order.cancel_url
        and payment.metadata == order.metadata
        and payment.capture_method is order.capture_method
        and payment.customer == order.customer
        and basket == (order.items, order.discounts)
    )
