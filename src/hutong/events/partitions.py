"""Partitions of the outbox by time: made ahead, and detached when they are past their retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import asyncpg

from hutong import db
from hutong.clock import to_ns
from hutong.events.statements import sql
from hutong.telemetry import get_logger

KEEP_MIN = timedelta(days=2)
"""The least age of an archived event, whatever the setting: a delivery takes a day to become dead."""

# Each partition costs the webhook worker a tenth of a millisecond per pass, so there should be few.
_SPANS = db.Spans(rows=50_000_000, first=timedelta(days=7), shortest=timedelta(days=1), longest=timedelta(days=7))
_IN_THE_WAY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_TAKEN = (asyncpg.CheckViolationError, asyncpg.UniqueViolationError)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DetachResult:
    """The partitions that one call detached, and those past their retention that stay, each with the reason."""

    names: list[str]
    held: dict[str, str]


async def make_partitions(database: db.Database, *, now: datetime) -> list[str]:
    """Make the partitions of the coming weeks; the first time, close the one that has taken everything so far.

    Effects:
        One table after the other, each in a transaction of its own, so that nobody waits for two.

    Repeat:
        Makes only missing partitions. One that cannot be made now is made by a later call; events are recorded
        meanwhile.
    """
    names: list[str] = []
    for parent in await _tables(database):
        try:
            names += await database.run(partial(_make, parent, now))
        except _IN_THE_WAY:
            pass  # partitions lie ready for weeks
        except _TAKEN as error:
            _log.warning("event_partition_not_made", table=parent, reason=type(error).__name__)
    return names


async def detach_partitions(
    database: db.Database, *, now: datetime, keep: timedelta, published: bool = False
) -> DetachResult:
    """Detach the partitions whose events are all older than `keep`, unless something still refers to them.

    Args:
        published: A broker is configured, so that only published events may go.

    Effects:
        Their tables move to the schema `events_archive`. Writers wait for a second at most; otherwise a later call
        detaches the partition.
    """
    result = DetachResult([], {})
    before_ms = to_ns(now - max(keep, KEEP_MIN)) // 1_000_000
    for parent in await _tables(database):
        for partition in await database.run(partial(_partitions, parent)):
            if partition["detached_at"] is not None or partition["high_ms"] > before_ms:
                continue
            try:
                held_by = await database.run(partial(_detach, parent, partition["name"], published, now))
            except asyncpg.NoDataFoundError:
                continue  # another worker has detached it since the list was read
            except _IN_THE_WAY:
                held_by = "in_use"
            if held_by is None:
                result.names.append(partition["name"])
            else:
                result.held[partition["name"]] = held_by
    return result


async def _tables(database: db.Database) -> list[str]:
    return [row["name"] for row in await database.run(sql.partitioned_tables.fetch)]


async def _partitions(parent: str, tx: db.Tx) -> list[asyncpg.Record]:
    return await sql.partitions_of.fetch(tx, parent)


async def _make(parent: str, now: datetime, tx: db.Tx) -> list[str]:
    await sql.lock_partitions.execute(tx)
    rows = await _partitions(parent, tx)
    if not rows:
        await sql.begin_partitions.fetchval(tx, parent, to_ns(now) // 1_000_000)
        rows = await _partitions(parent, tx)
    partitions = [db.Partition(row["low_ms"], row["high_ms"], row["inserted"]) for row in rows]
    ranges = db.plan_partitions(partitions, _SPANS, now=now)
    return [await sql.add_partition.fetchval(tx, parent, low, high) for low, high in ranges]


async def _detach(parent: str, name: str, published: bool, now: datetime, tx: db.Tx) -> str | None:
    if not await sql.try_lock_partitions.fetchval(tx):
        return "in_use"
    held_by: str | None = await sql.held_by_streams.fetchval(tx, name, published)
    held_by = held_by or await sql.held_by_references.fetchval(tx, name)
    held_by = held_by or await sql.detach_partition.fetchval(tx, name, now)
    if held_by is None and parent == "outbox" and not published:
        await sql.skip_publishing.execute(tx, name)
    return held_by
