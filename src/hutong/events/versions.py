"""How many events each object has had."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hutong import db
from hutong.events.statements import sql as _sql


async def object_versions(tx: db.Tx, object_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The number of each object's last event; an object without events is left out."""
    rows = await _sql.object_versions.fetch(tx, object_ids)
    return {row["object_id"]: row["last_seq"] for row in rows}
