"""`hutong bench coalescer`: the gain from joining commands into shared transactions on this server."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from hutong import app
from hutong.bench.statements import sql
from hutong.db import Coalescer, Database, Tx
from hutong.errors import InvariantBroken

_POOL_SIZE = 16


def run_bench_coalescer(*, as_json: bool) -> None:
    """Measure and print. The database's user must be allowed to create a schema."""
    console = Console(stderr=as_json)
    console.print("two inserts per command, alternately one transaction each and joined …")
    with app.using_database(app.load_settings()) as url:
        result = asyncio.run(bench_coalescer(url))
    if as_json:
        print(json.dumps(result))
        return
    table = Table("callers", "single/s", "joined/s", "ratio", "mean batch")
    for point in result["points"]:
        table.add_row(*(str(point[name]) for name in
                        ("callers", "single_per_s", "coalesced_per_s", "ratio", "mean_batch")))  # fmt: skip
    console.print(table)


async def bench_coalescer(
    url: str,
    *,
    callers: Sequence[int] = (1, 8, 64, 256),
    seconds: float = 0.4,
    rounds: int = 9,
) -> dict[str, Any]:
    """Measure a transaction of two inserts, alone and through the coalescer, alternately within one run.

    Args:
        url: A database in which the user may create a schema; `hutong_bench` is created and dropped.
        callers: Numbers of concurrent callers. Each submits a command when it has the answer to its previous one.
        seconds: Length of one measurement.
        rounds: Measurements of each kind. The two kinds alternate, so that other load on the machine affects both.
            Medians count, for the ratio as well.

    Returns:
        `points`: for each number of callers `callers`, `single_per_s`, `coalesced_per_s`, `ratio`, `mean_batch`.

    Errors:
        InvariantBroken: an answered command is not in the tables.
    """
    async with Database.open(url, size=_POOL_SIZE, role=None) as database:
        async with database.transaction() as tx:
            await sql.drop_bench_schema.execute(tx)
            await sql.make_bench_schema.execute(tx)
            await sql.make_bench_order.execute(tx)
            await sql.make_bench_event.execute(tx)
        try:
            return {"points": [await _point(database, count, seconds, rounds) for count in callers]}
        finally:
            async with database.transaction() as tx:
                await sql.drop_bench_schema.execute(tx)


_numbers = itertools.count(1)


async def _point(database: Database, callers: int, seconds: float, rounds: int) -> dict[str, Any]:
    batches: list[int] = []

    async def handle(orders: Sequence[int]) -> list[int]:
        async def work(tx: Tx) -> list[int]:
            await sql.add_bench_orders.execute(tx, orders, [1999] * len(orders), ["CNY"] * len(orders))
            await sql.add_bench_events.execute(tx, orders, ["payment.succeeded"] * len(orders))
            return list(orders)

        batches.append(len(orders))
        return await database.run(work)

    async def single(order: int) -> int:
        return (await handle([order]))[0]

    single_rates, coalesced_rates = [], []
    for _ in range(rounds):
        single_rates.append(await _rate(database, single, callers, seconds))
        batches.clear()  # forget the single transactions
        coalescer: Coalescer[int, int] = Coalescer(handle, name="bench")
        coalesced_rates.append(await _rate(database, coalescer.submit, callers, seconds))
        await coalescer.close()
    return {
        "callers": callers,
        "single_per_s": round(median(single_rates), 1),
        "coalesced_per_s": round(median(coalesced_rates), 1),
        "ratio": round(median(c / s for c, s in zip(coalesced_rates, single_rates, strict=True)), 2),
        "mean_batch": round(sum(batches) / len(batches), 1),
    }


async def _rate(database: Database, submit: Callable[[int], Awaitable[int]], callers: int, seconds: float) -> float:
    """Measure the commands answered per second."""
    done = 0
    before = await _count_rows(database)
    started = time.perf_counter()

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            order = next(_numbers)
            if await submit(order) != order:
                raise InvariantBroken("a caller got the answer of another caller")
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    elapsed = time.perf_counter() - started
    if await _count_rows(database) - before != done:
        raise InvariantBroken("the tables do not hold the answered commands")
    return done / elapsed


async def _count_rows(database: Database) -> int:
    async with database.transaction() as tx:
        (row,) = await sql.count_bench_rows.fetch(tx)
    if row["orders"] != row["events"]:
        raise InvariantBroken("a transaction was committed in part")
    return int(row["orders"])
