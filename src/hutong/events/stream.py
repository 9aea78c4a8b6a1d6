"""Reading what was numbered, for those who follow the streams inside."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hutong import db
from hutong.events.model import RecordedEvent

_sql = db.statements(__package__)


async def list_streams(tx: db.Tx) -> list[tuple[str, int]]:
    """The streams there are, in order of their names, and the last number of each."""
    return [(row["stream"], row["last_no"]) for row in await _sql.list_streams.fetch(tx)]


async def read_stream(tx: db.Tx, stream: str, *, after: int, limit: int) -> list[tuple[int, RecordedEvent]]:
    """The next events of a stream, in order of their numbers."""
    rows = await _sql.read_stream.fetch(tx, stream, after, limit)
    return [(row["no"], RecordedEvent(*list(row.values())[1:])) for row in rows]


async def object_versions(tx: db.Tx, object_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The number of each object's last event; an object without events is left out."""
    rows = await _sql.object_versions.fetch(tx, object_ids)
    return {row["object_id"]: row["last_seq"] for row in rows}
