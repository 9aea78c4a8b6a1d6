"""Small partitions, made ahead: indexes that grow without end are what slows a journal down."""

from __future__ import annotations

from datetime import datetime, timedelta

from hutong import db
from hutong.ledger.statements import sql as _sql

PARTITION_ROWS = 2_000_000
"""About how many rows a partition should take; beyond it the indexes of the newest stop fitting in memory."""


async def make_partitions(
    tx: db.Tx, *, now: datetime, first_span: timedelta = timedelta(days=1), ahead: int = 2
) -> list[str]:
    """Make the partitions of the coming time, as long as the present rate fills one in.

    Args:
        first_span: How long the first one is, when no rate is known yet.
        ahead: How many must lie ready after the present one.

    Repeat:
        Makes only what is missing.

    Errors:
        asyncpg.LockNotAvailableError: writers were in the way for two seconds; try again later.
        asyncpg.CheckViolationError: ids of that time are there already, in the default partition.
    """
    spans = db.Spans(PARTITION_ROWS, first_span, shortest=timedelta(seconds=20), longest=timedelta(days=31))
    known = [db.Partition(p["low_ms"], p["high_ms"], p["inserted"]) for p in await _sql.partitions.fetch(tx)]
    planned = db.plan_partitions(known, spans, now=now, ahead=ahead)
    return [await _sql.add_partition.fetchval(tx, low, high) for low, high in planned]
