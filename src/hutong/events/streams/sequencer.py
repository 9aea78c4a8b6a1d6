"""The sequencer: gives every event its number in its stream."""

from __future__ import annotations

from hutong import db
from hutong.events.statements import sql

SEQUENCE_EVERY_S = 0.1
"""The pause between two looks for new events."""


async def sequence(database: db.Database, *, source: str = "hutong", zone: int = 0) -> int:
    """Number the events committed since the last round; any number of processes may do it.

    A stream is `{source}.{topic}.{zone}`, where the topic is the part of the event's type before its first dot; after a
    restore of the database, `{source}.{topic}.{zone}-{epoch}`, from 2 on. Its numbers run from 1 without a gap. An
    object's events keep their order; a transaction that commits late is neither skipped nor awaited.

    Args:
        database: Not a transaction: the round must see all that was committed before it began, and nothing else.

    Effects:
        None if nothing is new, or if another process is numbering.

    Returns:
        The number of events that got a number.
    """
    async with database.transaction() as tx:
        if not await sql.anything_new.fetchval(tx):
            return 0
    async with database.transaction() as tx:
        if await sql.lock_sequencer.fetchval(tx) is None:
            return 0
        return int(await sql.number_new.fetchval(tx, source, zone))
