"""Judges events by their published JSON Schemas, but lets nothing pass that these do not name."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson

from hutong import api, db, ids
from hutong.clock import instant


def _closed(node: Any) -> Any:
    """The same schema, which allows no field beside those it names."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(one) for name, one in node.items()}
    return {**closed, "additionalProperties": False} if "properties" in node else closed


class EventForms:
    """A validator for every type and version."""

    def __init__(self) -> None:
        schemas = api.json_schemas()
        self._validators = {
            (one.name, one.version): jsonschema_rs.validator_for(_closed(schemas[one.file]), validate_formats=True)
            for one in (*api.EVENT_TYPES, *api.PLATFORM_EVENT_TYPES)
        }

    def faults(self, event: dict[str, Any]) -> list[str]:
        """What is wrong with an event as it is sent."""
        validator = self._validators[event["type"], event["version"]]
        return [
            f"{event['type']}: {'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(event)
        ]

    async def recorded(self, database: db.Database) -> tuple[set[str], list[str]]:
        """Which types of ours a database holds, and what is wrong with their events."""
        async with database.transaction() as tx:
            rows = await tx.fetch("SELECT public_id, type, version, object_seq, data, created_at FROM events.outbox")
        known = {name for name, _ in self._validators}
        found: set[str] = set()
        faults: list[str] = []
        for row in rows:
            if row["type"] in known:
                found.add(row["type"])
                faults += self.faults(
                    {
                        "id": ids.encode("evt", row["public_id"]),
                        "type": row["type"],
                        "version": row["version"],
                        "created_at": instant(row["created_at"]),
                        "object_seq": row["object_seq"],
                        "data": orjson.loads(row["data"]),
                    }
                )
        return found, faults
