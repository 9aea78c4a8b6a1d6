"""The part of `hutong bench events` about payment records: the rate of the projection, the time of a rebuild."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import uvloop

from hutong import app, db, events, search
from hutong.bench.installation import temporary_settings
from hutong.bench.statements import sql
from hutong.clock import SystemClock
from hutong.errors import InvariantBroken

_SEARCHES = {
    "newest": search.RecordQuery(),
    "text": search.RecordQuery(text="牛肉面 77"),
    "order": search.RecordQuery(merchant_order_no="paid-77"),
    "counterparty": search.RecordQuery(counterparty="顾客777"),
    "amount": search.RecordQuery(amount_min=90_990, amount_max=90_995),
}


def measure_query(*, payments: int = 100_000, from_tables: bool = True) -> dict[str, Any]:
    """Fill a new database with paid payments and their events, project the events, and rebuild the records.

    Args:
        payments: The number of payments. Every tenth has a refund, so that there are a tenth more events.
        from_tables: Rebuild from the tables as well.

    Returns:
        `query_events_per_s`; the seconds of each rebuild; the milliseconds of some searches.

    Errors:
        InvariantBroken: the rebuilt records are not equal byte for byte to the live ones.
    """
    with temporary_settings() as settings, app.using_database(settings) as url:
        db.migrate(url)
        return uvloop.run(measure_query_at(url, payments, from_tables=from_tables))


async def measure_query_at(url: str, payments: int, *, from_tables: bool) -> dict[str, Any]:
    """Measure in an existing database, migrated and empty. Arguments and results as for `measure_query`."""
    clock = SystemClock()
    async with (
        db.Database.open(url, size=4) as database,
        db.Database.open(url, size=4, role=None) as owner,
    ):
        await _fill(owner, payments)
        number = partial(events.sequence, database)
        numbered = await number()
        started = time.perf_counter()
        projected = await search.project_events(database, database, now=clock.now())
        projected_s = time.perf_counter() - started
        if projected != numbered:
            raise InvariantBroken(f"{projected} events of {numbered} were applied")
        async with owner.transaction() as tx:
            await sql.analyze_records.execute(tx)
        result: dict[str, Any] = {
            "query_events": projected,
            "query_events_per_s": round(projected / projected_s, 1),
            "query_search_ms": await _searches(database),
        }
        for name, from_events in (("events", True), *((("tables", False),) if from_tables else ())):
            started = time.perf_counter()
            done = await search.rebuild_records(
                database, owner, from_events=from_events, number_events=number, now=clock.now(), swap=False
            )
            if not done.equal or done.rebuilt.records != payments:
                raise InvariantBroken(f"the records rebuilt from {name} differ from the live ones: {done}")
            result[f"query_rebuild_from_{name}_s"] = round(time.perf_counter() - started, 1)
    return result


async def _fill(owner: db.Database, payments: int) -> None:
    async with owner.transaction() as tx:
        await sql.fill_paid_payments.execute(tx, payments)
        await sql.fill_paid_attempts.execute(tx)
        await sql.fill_refunds.execute(tx)
        await sql.fill_object_counters.execute(tx)
        await sql.fill_payment_events.execute(tx)
        await sql.fill_refund_events.execute(tx)
        await sql.analyze_payments.execute(tx)


async def _searches(database: db.Database) -> dict[str, float]:
    """Return the milliseconds of some searches, each measured on its second run."""
    durations: dict[str, float] = {}
    for name, query in _SEARCHES.items():
        for _ in range(2):
            started = time.perf_counter()
            async with database.transaction() as tx:
                await search.search_records(tx, query, limit=20)
            durations[name] = round((time.perf_counter() - started) * 1_000, 1)
    return durations
