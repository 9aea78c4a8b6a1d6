"""Profiles that merchants set outside of orders: a new name, a new picture."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from hutong import db, events
from hutong.clock import instant
from hutong.customers.model import Customer, CustomerProfile, PutCustomer
from hutong.customers.statements import sql

CUSTOMER_UPDATED = "customer.updated"
"""The type of the event."""


async def put_customers(
    tx: db.Tx, commands: Sequence[PutCustomer], *, new_id: Callable[[], UUID], now: datetime
) -> list[CustomerProfile]:
    """Record the profiles that merchants give their customers.

    Args:
        commands: Each customer once.

    Effects:
        Emits `customer.updated` for each profile that changes.

    Repeat:
        An unchanged profile writes and emits nothing.

    Returns:
        One profile per command, in order.
    """
    merchants, customers = [c.merchant_id for c in commands], [c.customer.id for c in commands]
    changed = await sql.put_customers.fetch(
        tx,
        merchant_id=merchants,
        customer_id=customers,
        object_id=[new_id() for _ in commands],
        name=[c.customer.name for c in commands],
        avatar=[c.customer.avatar for c in commands],
        event_id=[new_id() for _ in commands],
        now=now,
    )
    updates = [
        events.Event(
            row["event_id"], CUSTOMER_UPDATED, row["merchant_id"], row["object_id"], customer_document(_profile(row))
        )
        for row in changed
    ]
    await events.record(tx, updates, now=now)
    rows = await sql.find_customers.fetch(tx, merchants, customers)
    by_key = {(row["merchant_id"], row["customer_id"]): row for row in rows}
    return [_profile(by_key[command.merchant_id, command.customer.id]) for command in commands]


async def find_customer(tx: db.Tx, merchant_id: UUID, customer_id: str) -> CustomerProfile | None:
    """Return the profile that a merchant has given one customer outside of orders; None if it has given none."""
    row = await sql.find_customer.fetchrow(tx, merchant_id, customer_id)
    return None if row is None else _profile(row)


def stream_customers(tx: db.Tx) -> AsyncIterator[asyncpg.Record]:
    """Yield every customer with a profile, in order of the key."""
    return sql.stream_customers.cursor(tx)


def customer_document(profile: CustomerProfile) -> dict[str, Any]:
    """Return the public form of a customer, in answers and events."""
    customer = profile.customer
    return {
        "id": customer.id,
        "object": "customer",
        "name": customer.name,
        "avatar": customer.avatar,
        "updated_at": instant(profile.updated_at),
    }


def _profile(row: asyncpg.Record) -> CustomerProfile:
    return CustomerProfile(Customer(row["customer_id"], row["name"], row["avatar"]), row["updated_at"])
