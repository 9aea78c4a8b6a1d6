"""`hutong bench sweep`: the rate at which due payments among very many open ones are found and claimed.

It fills a new database with open payments, each with an open attempt, lets some of them become due, and has two workers
expire them, as the platform's worker does, while new payments are placed and paid.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from hutong import app, channels, db, payments
from hutong.bench.installation import temporary_settings
from hutong.bench.statements import sql

_WORKERS = 2
_CALLERS = 8
_ALONE_S = 3.0
_AMOUNT_MINOR = 1999


def run_bench_sweep(*, open_payments: int, due: int, as_json: bool) -> int:
    """Run the bench.

    Args:
        open_payments: How many open payments there are.
        due: How many of them have expired.

    Returns:
        The exit status: 1 if a due payment was not claimed, or if a claim reads a whole table.
    """
    console = Console(stderr=as_json)
    with temporary_settings() as settings, app.using_database(settings) as url:
        db.migrate(url)
        result = uvloop.run(_measure(settings, url, open_payments, due, console))
    if as_json:
        print(json.dumps(result))
    else:
        _show(console, result)
    return 1 if result["claimed"] != due or result["sequential_scans"] else 0


async def _measure(settings: app.Settings, url: str, open_payments: int, due: int, console: Console) -> dict[str, Any]:
    async with app.open_platform(settings) as platform, db.Database.open(url, size=2, role=None) as admin:
        clock = platform.clock
        console.print(f"placing {open_payments:,} open payments …")
        started = time.perf_counter()
        async with admin.transaction() as tx:
            await sql.fill_payments.execute(tx, open_payments, clock.now() + timedelta(days=7), due, clock.now())
            await sql.fill_attempts.execute(tx, open_payments, clock.now() + timedelta(days=1), clock.now())
        async with admin.transaction() as tx:
            await sql.gather_statistics.execute(tx)
        filled_s = time.perf_counter() - started
        async with admin.transaction() as tx:
            plans = await payments.sweep_plans(tx, now=clock.now())
        load = _Load(platform)
        console.print("payments alone …")
        alone = await load.run(asyncio.create_task(asyncio.sleep(_ALONE_S)))
        console.print(f"expiring {due:,} of them, while payments flow …")
        sweeping = asyncio.create_task(_sweep(platform))
        beside = await load.run(sweeping)
        swept = sweeping.result()
        async with admin.transaction() as tx:
            sizes = await sql.index_sizes.fetch(tx, ["payment_due_idx", "attempt_due_idx"])
    return {
        "payments": open_payments,
        "due": due,
        "fill_s": round(filled_s, 1),
        **swept,
        "payments_per_s_alone": alone["per_s"],
        "payments_per_s_beside": beside["per_s"],
        "payment_p99_ms_alone": alone["p99_ms"],
        "payment_p99_ms_beside": beside["p99_ms"],
        "index_mib": {row["name"]: round(row["bytes"] / 2**20, 1) for row in sizes},
        "sequential_scans": sum("Seq Scan" in str(plan) for plan in plans.values()),
        "plans": plans,
    }


async def _sweep(platform: app.Platform) -> dict[str, Any]:
    """Expire the due payments, then claim the attempts to poll because of it; each as fast as possible."""
    expired = claimed = 0
    started = time.perf_counter()

    async def expire() -> None:
        nonlocal expired
        while count := await platform.transactions.expire():
            expired += count

    async def claim() -> None:
        nonlocal claimed
        while batch := await platform.transactions.claim_due():
            claimed += len(batch)

    await asyncio.gather(*(expire() for _ in range(_WORKERS)))
    expired_s = time.perf_counter() - started
    started = time.perf_counter()
    await asyncio.gather(*(claim() for _ in range(_WORKERS)))
    claimed_s = time.perf_counter() - started
    return {
        "claimed": expired,
        "claims_per_s": round(expired / expired_s),
        "attempts_claimed": claimed,
        "attempt_claims_per_s": round(claimed / claimed_s),
    }


class _Load:
    """Payments that are placed and paid without HTTP and without a channel, through the platform's transactions."""

    def __init__(self, platform: app.Platform) -> None:
        transactions = platform.transactions
        self._clock, self._ids = platform.clock, platform.ids
        self._merchant_id, self._account_id = self._ids.new(), self._ids.new()
        self._places: db.Coalescer[payments.PlaceOrder, Any] = db.Coalescer(transactions.place, name="bench_place")
        self._reports: db.Coalescer[payments.RecordReport, Any] = db.Coalescer(
            transactions.reports.record, name="bench_report"
        )
        self._numbers = count(1)

    async def run(self, during: asyncio.Task[Any]) -> dict[str, Any]:
        """Keep payments in flight until another task is done."""
        latencies_s: list[float] = []

        async def caller() -> None:
            while not during.done():
                started = time.perf_counter()
                await self._pay()
                latencies_s.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(during, *(caller() for _ in range(_CALLERS)))
        elapsed = time.perf_counter() - started
        p99 = statistics.quantiles(latencies_s, n=100)[98] if len(latencies_s) >= 100 else max(latencies_s, default=0.0)
        return {"per_s": round(len(latencies_s) / elapsed), "p99_ms": round(1000 * p99, 1)}

    async def _pay(self) -> None:
        attempt_id: UUID = self._ids.new()
        new = payments.NewPayment(
            payment_id=self._ids.new(),
            merchant_id=self._merchant_id,
            merchant_order_no=f"flow-{next(self._numbers)}",
            amount_minor=_AMOUNT_MINOR,
            currency="CNY",
            subject="Example Store",
            expires_at=self._clock.now() + timedelta(days=15),
            checkout_token="x",  # noqa: S106 - nobody opens a link
            first_attempt=payments.NewAttempt(attempt_id, self._account_id, "bench", "bench_qr"),
        )
        await self._places.submit(payments.PlaceOrder(new))
        answer = channels.ChannelAnswer(channels.ChannelState.SUCCEEDED, _AMOUNT_MINOR, "CNY", "1")
        report = payments.ChannelReport(attempt_id, self._account_id, answer, payments.Source.NOTIFICATION)
        await self._reports.submit(payments.RecordReport(report))


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table(title="Expiring due payments", show_header=False)
    for name, value in result.items():
        shown = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if name == "plans" else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
