"""Small partitions of the journal, made ahead, because indexes that grow without end slow it down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from hutong import db
from hutong.errors import Conflict, NotFound
from hutong.ledger.statements import sql as _sql

PARTITION_ROWS = 2_000_000
"""The approximate number of rows per partition; with more, the newest indexes do not fit in memory."""


async def make_partitions(
    tx: db.Tx, *, now: datetime, first_span: timedelta = timedelta(days=1), ahead: int = 2
) -> list[str]:
    """Make the coming partitions, each as long as the current rate takes to fill one.

    Args:
        first_span: The length of the first partition, when no rate is known yet.
        ahead: The number of partitions that must be ready after the current one.

    Repeat:
        Makes only missing partitions. Of processes that do so at once, one makes them and the others wait for it.

    Errors:
        asyncpg.LockNotAvailableError: writers were in the way for two seconds; try again later.
        asyncpg.CheckViolationError: ids of that time are there already, in the default partition.
    """
    spans = db.Spans(PARTITION_ROWS, first_span, shortest=timedelta(seconds=20), longest=timedelta(days=31))
    if not await _plan(tx, spans, now, ahead):
        return []
    await _sql.lock_partitions.execute(tx)
    return [await _sql.add_partition.fetchval(tx, low, high) for low, high in await _plan(tx, spans, now, ahead)]


async def _plan(tx: db.Tx, spans: db.Spans, now: datetime, ahead: int) -> list[tuple[int, int]]:
    existing = [db.Partition(p["low_ms"], p["high_ms"], p["inserted"]) for p in await _sql.partitions.fetch(tx)]
    return db.plan_partitions(existing, spans, now=now, ahead=ahead)


@dataclass(frozen=True, slots=True)
class ListedPartition:
    """A partition of the journal.

    Attributes:
        since, until: The time in which its ids were made, without the end.
        rows, checksum: Known once it is archived.
    """

    name: str
    since: datetime
    until: datetime
    archived_at: datetime | None
    rows: int | None
    checksum: str | None


async def list_partitions(tx: db.Tx) -> list[ListedPartition]:
    """Return the partitions, oldest first."""
    return [
        ListedPartition(
            row["name"],
            _instant(row["low_ms"]),
            _instant(row["high_ms"]),
            row["archived_at"],
            row["row_count"],
            None if row["checksum"] is None else row["checksum"].hex(),
        )
        for row in await _sql.list_partitions.fetch(tx)
    ]


async def archive_partition(tx: db.Tx, name: str, *, now: datetime) -> str:
    """Move a partition whose time is over into the archive; its ids stay taken.

    Args:
        tx: A transaction of the owner of the database; the application's role may not.

    Returns:
        The checksum of its rows, in hexadecimal.

    Errors:
        NotFound: there is no such partition, or it is archived already.
        Conflict: its time is not over, or it has open holds or rows that are not sealed.
    """
    known = {partition.name: partition for partition in await list_partitions(tx)}
    if name not in known or known[name].archived_at is not None:
        raise NotFound(f"no partition {name} is left to archive", param="name")
    if known[name].until > now:
        raise Conflict(f"the time of the partition {name} ends at {known[name].until}", param="name")
    try:
        checksum: bytes = await _sql.archive_partition.fetchval(tx, name, now)
    except asyncpg.ObjectInUseError as error:
        raise Conflict(str(error), param="name") from error
    return checksum.hex()


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)
