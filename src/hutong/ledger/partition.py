"""Small partitions, made ahead: indexes that grow without end are what slows a journal down."""

from __future__ import annotations

from datetime import datetime, timedelta

from hutong import db
from hutong.clock import to_ns

PARTITION_ROWS = 2_000_000
"""About how many rows a partition should take; beyond it the indexes of the newest stop fitting in memory."""

_LONGEST = timedelta(days=31)
_SHORTEST = timedelta(seconds=20)
_sql = db.statements(__package__)


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
    now_ms = to_ns(now) // 1_000_000
    known = await _sql.partitions.fetch(tx)
    ready = sum(1 for p in known if p["low_ms"] > now_ms)
    current = next((p for p in known if p["low_ms"] <= now_ms < p["high_ms"]), None)
    span_ms = first_span // timedelta(milliseconds=1)
    if current is not None:
        rate = current["inserted"] / max(now_ms - current["low_ms"], 1)
        if rate:
            bounds = (_SHORTEST // timedelta(milliseconds=1), _LONGEST // timedelta(milliseconds=1))
            span_ms = int(min(max(PARTITION_ROWS / rate, bounds[0]), bounds[1]))
    low = max([now_ms, *(p["high_ms"] for p in known)])
    made = []
    # The one that holds the present moment counts too, when it is still to be made.
    for _ in range(ahead - ready + (1 if low == now_ms else 0)):
        made.append(await _sql.add_partition.fetchval(tx, low, low + span_ms))
        low += span_ms
    return made
