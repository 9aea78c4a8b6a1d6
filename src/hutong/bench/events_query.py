"""The part of `hutong bench events` about bills: how fast they follow the events, and what building them anew takes."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from hutong import app, db, events
from hutong import search as query
from hutong.bench.statements import sql
from hutong.clock import SystemClock
from hutong.errors import InvariantBroken

_SEARCHES = {
    "newest": query.RecordQuery(),
    "text": query.RecordQuery(text="牛肉面 77"),
    "order": query.RecordQuery(merchant_order_no="paid-77"),
    "counterparty": query.RecordQuery(counterparty="顾客777"),
    "amount": query.RecordQuery(amount_min=90_990, amount_max=90_995),
}


def measure_query(*, payments: int = 100_000, from_tables: bool = True) -> dict[str, Any]:
    """Fill a database of its own with paid payments and their events, have bills follow, and build them anew.

    Args:
        payments: How many; every tenth has a refund, so that there are a tenth more events.
        from_tables: Whether to build them from the tables too.

    Returns:
        `query_events_per_s`; the seconds of each rebuild; the milliseconds of some searches.

    Errors:
        InvariantBroken: what was built anew is not equal byte for byte to the bills in use.
    """
    with tempfile.TemporaryDirectory(prefix="hutong-bench-") as folder:
        Path(folder).chmod(0o711)  # as root, the database runs as a user of its own, who must walk through
        settings = app.load_settings().model_copy(update={"log_level": "warning", "home": Path(folder) / "home"})
        with app.using_database(settings) as url:
            db.migrate(url)
            return uvloop.run(measure_query_at(url, payments, from_tables=from_tables))


async def measure_query_at(url: str, payments: int, *, from_tables: bool) -> dict[str, Any]:
    """The same in a database that is there, migrated and empty."""
    clock = SystemClock()
    async with (
        db.Database.open(url, size=4) as database,
        db.Database.open(url, size=4, role=None) as owner,
    ):
        await _fill(owner, payments)
        number = partial(events.sequence, database)
        numbered = await number()
        started = time.perf_counter()
        followed = await query.follow(database, database, now=clock.now())
        followed_s = time.perf_counter() - started
        if followed != numbered:
            raise InvariantBroken(f"{followed} events of {numbered} were applied")
        async with owner.transaction() as tx:
            await sql.gather_query_statistics.execute(tx)
        result: dict[str, Any] = {
            "query_events": followed,
            "query_events_per_s": round(followed / followed_s, 1),
            "query_search_ms": await _searches(database),
        }
        for name, from_events in (("events", True), *((("tables", False),) if from_tables else ())):
            started = time.perf_counter()
            done = await query.rebuild(
                database, owner, from_events=from_events, number_events=number, now=clock.now(), swap=False
            )
            if not done.equal or done.built.bills != payments:
                raise InvariantBroken(f"bills built from {name} are not those in use: {done}")
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
        await sql.gather_bill_statistics.execute(tx)


async def _searches(database: db.Database) -> dict[str, float]:
    """The milliseconds that some searches take, the second time."""
    found: dict[str, float] = {}
    for name, wanted in _SEARCHES.items():
        for _ in range(2):
            started = time.perf_counter()
            async with database.transaction() as tx:
                await query.search(tx, wanted, limit=20)
            found[name] = round((time.perf_counter() - started) * 1_000, 1)
    return found
