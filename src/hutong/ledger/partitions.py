"""Small partitions of the journal, made ahead, because indexes that grow without end slow it down."""

from __future__ import annotations

from datetime import datetime, timedelta

from hutong import db
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
        Makes only missing partitions.

    Errors:
        asyncpg.LockNotAvailableError: writers were in the way for two seconds; try again later.
        asyncpg.CheckViolationError: ids of that time are there already, in the default partition.
    """
    spans = db.Spans(PARTITION_ROWS, first_span, shortest=timedelta(seconds=20), longest=timedelta(days=31))
    existing = [db.Partition(p["low_ms"], p["high_ms"], p["inserted"]) for p in await _sql.partitions.fetch(tx)]
    planned = db.plan_partitions(existing, spans, now=now, ahead=ahead)
    return [await _sql.add_partition.fetchval(tx, low, high) for low, high in planned]
