"""Helpers of the ledger's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hutong.clock import ManualClock
from hutong.db import Database


async def ledger_clock(database: Database) -> ManualClock:
    """A clock that starts where the database stands, because the ledger's own never goes back."""
    async with database.transaction() as connection:
        last = await connection.fetchval("SELECT last_value FROM ledger.clock")
    start = datetime.fromtimestamp(last // 1_000_000_000 + 1, UTC)
    return ManualClock(max(start, datetime(2026, 1, 1, tzinfo=UTC)) + timedelta(seconds=1))
