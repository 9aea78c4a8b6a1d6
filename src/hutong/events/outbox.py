"""Writing down what happened, and reading it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson

from hutong import db
from hutong.events.model import Delivery, DeliveryState, Event, RecordedEvent
from hutong.events.statements import sql as _sql


async def record(tx: db.Tx, events: Sequence[Event], *, now: datetime) -> None:
    """Write events in the transaction that makes them true.

    Args:
        events: In the order they happened; several may concern one object.

    Effects:
        Numbers each object's events on from its last one, and holds the objects' counters until the transaction
        ends. Writes one delivery for each enabled endpoint of the merchant that wants the type. One statement.

    Errors:
        asyncpg.DataError: a payload is not a JSON object; the transaction is lost.
    """
    if not events:
        return
    await _sql.record_events.execute(
        tx,
        [event.event_id for event in events],
        [event.type for event in events],
        [event.merchant_id for event in events],
        [event.object_id for event in events],
        [_text(event) for event in events],
        now,
        [event.version for event in events],
    )


async def list_events(
    tx: db.Tx, merchant_id: UUID, *, after: UUID | None = None, limit: int = 100
) -> list[RecordedEvent]:
    """A merchant's events in order of their ids, oldest first.

    Args:
        after: The last event id already seen. An event whose transaction took long may appear behind it later, so
            whoever must miss nothing goes by `object_seq`.
    """
    return [RecordedEvent(**row) for row in await _sql.list_events.fetch(tx, merchant_id, after, limit)]


async def deliveries_of(tx: db.Tx, merchant_id: UUID, event_id: UUID) -> list[Delivery]:
    """The delivery log of one event, one entry per endpoint; empty for another merchant's event."""
    rows = await _sql.deliveries_of_event.fetch(tx, merchant_id, event_id)
    return [Delivery(**{**row, "state": DeliveryState(row["state"])}) for row in rows]


def _text(event: Event) -> str:
    if isinstance(event.payload, str):
        return event.payload
    return (event.payload if isinstance(event.payload, bytes) else orjson.dumps(event.payload)).decode()
