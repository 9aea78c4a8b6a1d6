"""Giving every event its number in its stream."""

from __future__ import annotations

from hutong import db
from hutong.events.statements import sql as _sql

SEQUENCE_EVERY_S = 0.1
"""How often to look for new events."""


async def sequence(database: db.Database, *, source: str = "hutong", zone: int = 0) -> int:
    """Number what has been committed since the last round; as many processes as one likes may do it.

    A stream is `{source}.{topic}.{zone}`, the topic being what stands before the first dot of the event's type. Its
    numbers run from 1 without a gap. An object's events keep their order; a transaction that commits late is neither
    skipped nor waited for.

    Args:
        database: Not a transaction: the round must see all that was committed before it began, and nothing else.

    Effects:
        None if nothing is new, or if another process is at it.

    Returns:
        How many events were given a number.
    """
    async with database.transaction() as tx:
        if not await _sql.anything_new.fetchval(tx):
            return 0
    async with database.transaction() as tx:
        if await _sql.lock_sequencer.fetchval(tx) is None:
            return 0
        return int(await _sql.number_new.fetchval(tx, source, zone))
