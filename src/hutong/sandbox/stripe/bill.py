"""Stripe's balance transactions, as the rows of a day's bill or as a list."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hutong.sandbox.bill import Entry, dispute_entry, payment_entry, refund_entry
from hutong.sandbox.records import SandboxDispute, SandboxOrder, SandboxRefund
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.validation import Form, expands, page

KIND = "balance"


def bill_entries(store: Store, day: date) -> list[Entry]:
    """Return the changes of the balance on a day in UTC, oldest first."""
    payments = [_payment(order) for order in store.orders.values() if order.paid_at and _day(order.paid_at) == day]
    refunds = [
        _refund(refund) for refund in store.refunds.values() if refund.succeeded_at and _day(refund.succeeded_at) == day
    ]
    returned = [
        _returned(refund, refund.returned_at)
        for refund in store.refunds.values()
        if refund.returned_at and _day(refund.returned_at) == day
    ]
    disputed = [entry for dispute in store.disputes.values() for entry in movements(dispute) if _day(entry.at) == day]
    return sorted([*payments, *refunds, *returned, *disputed], key=lambda entry: entry.at)


def balance_transactions(store: Store, query: Form) -> dict[str, Any]:
    """List the balance transactions, newest first, with differences planted in a day's bill."""
    created = query.get("created", {})
    start, end = int(created.get("gte", 0)), int(created.get("lt", 1 << 35))
    rows = [entry for entry in _all(store) if start <= entry.at.timestamp() < end]
    listed = page(rows[::-1], query, objects.transaction_id, "/v1/balance_transactions")
    return listed | {
        "data": [objects.transaction(entry, expand=expands(query, "data.source")) for entry in listed["data"]]
    }


def _all(store: Store) -> list[Entry]:
    instants = [order.paid_at for order in store.orders.values()]
    instants += [at for refund in store.refunds.values() for at in (refund.changed_at, refund.returned_at)]
    instants += [entry.at for dispute in store.disputes.values() for entry in movements(dispute)]
    days = sorted({_day(at) for at in instants if at is not None})
    rows = [entry for day in days for entry in store.planted.get((KIND, day.isoformat()), bill_entries(store, day))]
    return sorted(rows, key=lambda entry: entry.at)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _payment(order: SandboxOrder) -> Entry:
    fee_minor = order.captured_minor * 29 // 1000 + 30
    return payment_entry(
        order, fee_minor=fee_minor, state="charge", method="card", data={"charge": order.data["charge"]}
    )


def _refund(refund: SandboxRefund) -> Entry:
    return refund_entry(
        refund,
        fee_minor=0,  # Stripe does not return its fee
        state="refund",
        description="REFUND FOR CHARGE",
        method="card",
        data={"charge": refund.order.data["charge"], "metadata": refund.data["metadata"]},
    )


def movements(dispute: SandboxDispute) -> list[Entry]:
    """Make the rows of a dispute: its withdrawal with Stripe's fee, and what was given back, without that."""
    return [
        dispute_entry(dispute.order, number=dispute.dispute_no, data={"dispute": dispute}, method="card", **movement)
        for movement in dispute.data["movements"]
    ]


def _returned(refund: SandboxRefund, at: datetime) -> Entry:
    """Make the row of a refund that has failed: its `failure_balance_transaction`, which reverses the first one."""
    data = {"charge": refund.order.data["charge"], "metadata": refund.data["metadata"]}
    return refund_entry(
        refund, fee_minor=0, state="refund_failure", at=at, description="REFUND FAILURE", method="card", data=data
    )
