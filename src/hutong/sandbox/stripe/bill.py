"""Stripe's balance transactions: what the book comes to, a day at a time or listed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hutong.sandbox.bill import Entry
from hutong.sandbox.store import Book, MoneyOut, Order, Refund
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.validation import Form, expands, page

KIND = "balance"


def entries(book: Book, day: date) -> list[Entry]:
    """What the balance did on a day of UTC, oldest first."""
    paid = [_paid(order) for order in book.orders.values() if order.paid_at and _day(order.paid_at) == day]
    given = [
        _given(refund, refund.changed_at)
        for refund in book.refunds.values()
        if refund.state is MoneyOut.SUCCEEDED and refund.changed_at and _day(refund.changed_at) == day
    ]
    return sorted([*paid, *given], key=lambda entry: entry.at)


def balance_transactions(book: Book, query: Form) -> dict[str, Any]:
    """The list, newest first. What was planted in a day's bill shows here too."""
    created = query.get("created", {})
    start, end = 0, 1 << 35
    if isinstance(created, dict):
        start, end = int(created.get("gte", start)), int(created.get("lt", end))
    found = [entry for entry in _all(book) if start <= entry.at.timestamp() < end]
    cut = page(found[::-1], query, objects.transaction_id, "/v1/balance_transactions")
    return cut | {"data": [objects.transaction(entry, expand=expands(query, "data.source")) for entry in cut["data"]]}


def _all(book: Book) -> list[Entry]:
    moments = [order.paid_at for order in book.orders.values()] + [r.changed_at for r in book.refunds.values()]
    days = sorted({_day(at) for at in moments if at is not None})
    found = [entry for day in days for entry in book.planted.get((KIND, day.isoformat()), entries(book, day))]
    return sorted(found, key=lambda entry: entry.at)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _paid(order: Order) -> Entry:
    assert order.paid_at is not None
    return Entry(
        kind="payment",
        number=order.order_no,
        channel_no=order.channel_order_no,
        order_no=order.order_no,
        channel_order_no=order.channel_order_no,
        amount_minor=order.captured_minor,
        order_amount_minor=order.amount_minor,
        currency=order.currency,
        fee_minor=order.captured_minor * 29 // 1000 + 30,
        state="charge",
        at=order.paid_at,
        description=order.description,
        method="card",
        data={"charge": order.data["charge"]},
    )


def _given(refund: Refund, at: datetime) -> Entry:
    return Entry(
        kind="refund",
        number=refund.refund_no,
        channel_no=refund.channel_refund_no,
        order_no=refund.order.order_no,
        channel_order_no=refund.order.channel_order_no,
        amount_minor=refund.amount_minor,
        order_amount_minor=refund.order.amount_minor,
        currency=refund.currency,
        fee_minor=0,  # Stripe does not give its fee back
        state="refund",
        at=at,
        description="REFUND FOR CHARGE",
        method="card",
        data={"charge": refund.order.data["charge"]},
    )
