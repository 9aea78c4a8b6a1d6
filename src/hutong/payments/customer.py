"""What merchants tell of their customers outside of orders: a new name, a new picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, events
from hutong.clock import instant
from hutong.payments.model import Customer
from hutong.payments.statements import sql as _sql

CUSTOMER_UPDATED = "customer.updated"
"""The event."""


@dataclass(frozen=True, slots=True)
class PutCustomer:
    """What a merchant's customer is called from now on, and which picture is theirs."""

    merchant_id: UUID
    customer: Customer


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """What is known of a customer, and since when."""

    customer: Customer
    updated_at: datetime


async def put_customers(
    tx: db.Tx, commands: Sequence[PutCustomer], *, new_id: Callable[[], UUID], now: datetime
) -> list[CustomerProfile]:
    """Write down what merchants tell of their customers.

    Args:
        commands: Each customer once.

    Effects:
        Tells of each change by `customer.updated`.

    Repeat:
        What is known already changes nothing and is not told.

    Returns:
        One profile per command, in order.
    """
    merchants, customers = [c.merchant_id for c in commands], [c.customer.id for c in commands]
    changed = await _sql.put_customers.fetch(
        tx,
        merchants,
        customers,
        [new_id() for _ in commands],
        [c.customer.name for c in commands],
        [c.customer.avatar for c in commands],
        [new_id() for _ in commands],
        now,
    )
    told = [
        events.Event(row["event_id"], CUSTOMER_UPDATED, row["merchant_id"], row["object_id"], _document_of(row))
        for row in changed
    ]
    await events.record(tx, told, now=now)
    rows = await _sql.find_customers.fetch(tx, merchants, customers)
    known = {(row["merchant_id"], row["customer_id"]): row for row in rows}
    return [_profile(known[command.merchant_id, command.customer.id]) for command in commands]


def customer_document(profile: CustomerProfile) -> dict[str, Any]:
    """The one public form of a customer, in answers and events."""
    one = profile.customer
    head = {"id": one.id, "object": "customer", "name": one.name, "avatar": one.avatar}
    return head | {"updated_at": instant(profile.updated_at)}


def _profile(row: Any) -> CustomerProfile:
    return CustomerProfile(Customer(row["customer_id"], row["name"], row["avatar"]), row["updated_at"])


def _document_of(row: Any) -> dict[str, Any]:
    return customer_document(_profile(row))
