"""Recorded events to be read: one for operators, and those of one merchant, newest first, for the merchant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.clock import instant, to_ns
from hutong.errors import NotFound
from hutong.events.archive import find_event
from hutong.events.model import RecordedEvent
from hutong.events.outbox import read_event
from hutong.events.statements import sql

__all__ = ["find_event", "find_own_event", "kept_since", "list_events"]

_SLACK = timedelta(hours=1)
"""How far the time in an event's key may be from the instant of its transaction, which is recorded."""


async def list_events(
    tx: db.Tx,
    merchant_id: UUID,
    *,
    type: str | None = None,  # noqa: A002 - the public name
    object_id: UUID | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    after: RecordedEvent | None = None,
    limit: int = 20,
) -> list[RecordedEvent]:
    """Return a merchant's events that are still in the database, newest first, from after the given one.

    Args:
        object_id: The object that they concern.
        begin, end: Recorded at or after `begin` and before `end`.
    """
    if object_id is not None:
        rows = await sql.list_events_of_object.fetch(
            tx,
            object_id=object_id,
            merchant_id=merchant_id,
            before=None if after is None else after.object_seq,
            type=type,
            begin=begin,
            end=end,
            limit=limit,
        )
    else:
        # The list goes by ids, which begin with their time, so that a range of time is a range of the index.
        bounds = [] if after is None else [after.event_id]
        bounds += [] if end is None else [_first_id(end + _SLACK)]
        rows = await sql.list_events.fetch(
            tx,
            merchant_id=merchant_id,
            least=UUID(int=0) if begin is None else _first_id(begin - _SLACK),
            before=min(bounds, default=UUID(int=2**128 - 1)),
            type=type,
            begin=begin,
            end=end,
            limit=limit,
        )
    return [read_event(row) for row in rows]


async def find_own_event(tx: db.Tx, merchant_id: UUID, event_id: UUID) -> RecordedEvent:
    """Return the event that the merchant knows by this id.

    Errors:
        NotFound: the merchant has no such event, or it is in the archive; the detail is the same for both.
    """
    row = await sql.find_own_event.fetchrow(tx, event_id, merchant_id)
    if row is not None:
        return read_event(row)
    since = await kept_since(tx)
    archive = "" if since is None else f"; events from before {instant(since)} are in the archive"
    raise NotFound(f"no event has this id{archive}")


async def kept_since(tx: db.Tx) -> datetime | None:
    """Return the instant from which on events are in the database; None if none has been archived."""
    until_ms: int | None = await sql.archived_until.fetchval(tx)
    return None if until_ms is None else datetime.fromtimestamp(until_ms / 1000, tz=UTC)


def _first_id(at: datetime) -> UUID:
    """Return the least id of an instant's millisecond."""
    return UUID(int=max(to_ns(at) // 1_000_000, 0) << 80)
