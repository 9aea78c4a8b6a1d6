"""The journal by time: partitions made ahead, and taken out when their time is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import asyncpg

from hutong import db
from hutong.clock import to_ns
from hutong.events.statements import sql as _sql
from hutong.telemetry import get_logger

KEEP_MIN = timedelta(days=2)
"""What is younger is never archived, whatever is set: a delivery takes a day to be given up."""

# Each one costs the deliverer a tenth of a millisecond at every look, so there should be few.
_SPANS = db.Spans(rows=50_000_000, first=timedelta(days=7), shortest=timedelta(days=1), longest=timedelta(days=7))
_IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_TAKEN = (asyncpg.CheckViolationError, asyncpg.UniqueViolationError)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Detached:
    """What one call took out, and by name what stayed though its time is over, and why."""

    names: list[str]
    held: dict[str, str]


async def make_partitions(database: db.Database, *, now: datetime) -> list[str]:
    """Make the partitions of the coming weeks; the first time, close the one that has taken everything so far.

    Effects:
        One table after the other, each in a transaction of its own: nobody waits for two.

    Repeat:
        Makes only what is missing. What cannot be made now is made at a later call; events are recorded meanwhile.
    """
    made: list[str] = []
    for parent in await _tables(database):
        try:
            made += await database.run(partial(_make, parent, now))
        except _IN_THE_WAY:
            pass  # partitions lie ready for weeks
        except _TAKEN as error:
            _log.warning("event_partition_not_made", table=parent, reason=type(error).__name__)
    return made


async def detach_partitions(
    database: db.Database, *, now: datetime, keep: timedelta, published: bool = False
) -> Detached:
    """Take partitions out whose events are older than `keep`, all of them, unless something still hangs on them.

    Args:
        published: Somebody listens at a broker, so that only published events may go.

    Effects:
        Their tables go to the schema `events_archive`. Writers wait for a second at most, or it is tried again later.
    """
    done = Detached([], {})
    before_ms = to_ns(now - max(keep, KEEP_MIN)) // 1_000_000
    for parent in await _tables(database):
        for one in await database.run(partial(_partitions, parent)):
            if one["detached_at"] is not None or one["high_ms"] > before_ms:
                continue
            try:
                held_by = await database.run(partial(_detach, parent, one["name"], published, now))
            except _IN_THE_WAY:
                held_by = "in_use"
            if held_by is None:
                done.names.append(one["name"])
            else:
                done.held[one["name"]] = held_by
    return done


async def _tables(database: db.Database) -> list[str]:
    return [row["name"] for row in await database.run(_sql.partitioned_tables.fetch)]


async def _partitions(parent: str, tx: db.Tx) -> list[asyncpg.Record]:
    return await _sql.partitions_of.fetch(tx, parent)


async def _make(parent: str, now: datetime, tx: db.Tx) -> list[str]:
    if not await _sql.one_keeper.fetchval(tx):
        return []
    found = await _partitions(parent, tx)
    if not found:
        await _sql.begin_partitions.fetchval(tx, parent, to_ns(now) // 1_000_000)
        found = await _partitions(parent, tx)
    known = [db.Partition(row["low_ms"], row["high_ms"], row["inserted"]) for row in found]
    planned = db.plan_partitions(known, _SPANS, now=now)
    return [await _sql.add_partition.fetchval(tx, parent, low, high) for low, high in planned]


async def _detach(parent: str, name: str, published: bool, now: datetime, tx: db.Tx) -> str | None:
    if not await _sql.one_keeper.fetchval(tx):
        return "in_use"
    held_by: str | None = await _sql.told.fetchval(tx, name, published)
    held_by = held_by or await _sql.hangs_on.fetchval(tx, name)
    held_by = held_by or await _sql.detach_partition.fetchval(tx, name, now)
    if held_by is None and parent == "outbox" and not published:
        await _sql.skip_publishing.execute(tx, name)
    return held_by
