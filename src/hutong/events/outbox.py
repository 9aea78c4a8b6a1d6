"""The outbox: events recorded in the transactions that make them true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from hutong import db
from hutong.events.model import Event, RecordedEvent
from hutong.events.statements import sql

read_event = db.reader(RecordedEvent, sql["event"])
"""Reads a row of the outbox."""


async def record(tx: db.Tx, events: Sequence[Event], *, now: datetime) -> None:
    """Record events in the transaction that makes them true.

    Args:
        events: In the order in which they happened; several may concern one object.

    Effects:
        Numbers each object's events on from its last one, and locks the objects' counters until the transaction
        ends. Writes one delivery for each enabled endpoint of the merchant that subscribes to the type. One statement.

    Errors:
        asyncpg.DataError: a payload is not a JSON object; the transaction is lost.
    """
    if events:
        await sql.record_events.execute(tx, rows=events, data=[_text(event) for event in events], now=now)


async def object_versions(tx: db.Tx, object_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the number of each object's last event; an object without events is left out."""
    rows = await sql.object_versions.fetch(tx, object_ids)
    return {row["object_id"]: row["last_seq"] for row in rows}


def _text(event: Event) -> str:
    if isinstance(event.payload, str):
        return event.payload
    return (event.payload if isinstance(event.payload, bytes) else orjson.dumps(event.payload)).decode()
