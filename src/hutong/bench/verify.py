"""`hutong bench verify`: how long the proof of the books takes, over all rows and over those of the last day."""

from __future__ import annotations

import asyncio
import json
import resource
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psutil
from rich.console import Console

from hutong import app, db, ledger
from hutong.bench.ledger import database_of_its_own, server_cpu, server_process
from hutong.bench.statements import sql

_FIRST_MS = 1_767_225_600_000  # 2026-01-01
_PER_MS = 10
_PARTITION_MS = 200_000
_SLICE = 500_000
_Report = Callable[[str], None]


@dataclass(slots=True)
class VerifyFigures:
    """The figures of one run.

    Attributes:
        memory_mb: The most that this process had.
        server_memory_mb: The most that the server's processes had for themselves, without the buffers that they share.
    """

    rows: int = 0
    accounts: int = 0
    whole_s: float = 0.0
    whole_cpu_s: float = 0.0
    day_rows: int = 0
    day_s: float = 0.0
    day_cpu_s: float = 0.0
    sealing_s: float = 0.0
    memory_mb: float = 0.0
    server_memory_mb: float = 0.0
    holds: bool = False


def run_bench_verify(*, rows: int, accounts: int, day_rows: int, as_json: bool) -> int:
    """Run the benchmark on the installation's server, in a database that is dropped afterwards.

    Returns:
        The exit status: 1 if the books do not hold.
    """
    console = Console(stderr=as_json)
    with app.using_database(app.load_settings()) as url:
        figures = asyncio.run(
            measure_verify(url, rows=rows, accounts=accounts, day_rows=day_rows, report=console.print)
        )
    if as_json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            console.print(f"{name:<18} {value:,.1f}" if isinstance(value, float) else f"{name:<18} {value}")
    return 0 if figures.holds else 1


async def measure_verify(
    dsn: str, *, rows: int, accounts: int, day_rows: int, report: _Report = lambda _: None
) -> VerifyFigures:
    """Fill books, seal them, and verify all of them and then what came after the head of the day before.

    Args:
        rows: How many rows the books have in the end.
        day_rows: How many of them are of the last day; the days before have as many.
    """
    figures = VerifyFigures(rows, accounts, day_rows=day_rows)
    async with database_of_its_own(dsn) as url, db.Database.open(url, size=2, role=None) as owner:
        await _fill(owner, 1, rows - day_rows, accounts, day_rows, report)
        figures.sealing_s = await _seal(owner)
        head = await owner.run(ledger.chain_head)
        assert head is not None
        await _fill(owner, rows - day_rows + 1, rows, accounts, day_rows, report)
        figures.sealing_s += await _seal(owner)
        async with owner.pool.acquire() as connection:
            await sql.analyze_books.execute(connection)
        async with db.Database.open(url, size=2) as database:
            report("verifying the last day")
            figures.day_s, figures.day_cpu_s, day = await _timed(database, figures, since=head.hash)
            report("verifying everything")
            figures.whole_s, figures.whole_cpu_s, whole = await _timed(database, figures, since=None)
    figures.holds = whole.holds and day.holds and (whole.rows, day.rows) == (rows, day_rows)
    for problem in [*whole.problems, *day.problems][:10]:
        report(str(problem))
    figures.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


async def _fill(owner: db.Database, first: int, last: int, accounts: int, day_rows: int, report: _Report) -> None:
    if first == 1:
        await owner.run(lambda tx: sql.fill_accounts.execute(tx, accounts))
    for low in range(_FIRST_MS, _FIRST_MS + last // _PER_MS + 1, _PARTITION_MS):
        if low + _PARTITION_MS > _FIRST_MS + first // _PER_MS and (first == 1 or low > _FIRST_MS + first // _PER_MS):
            await owner.run(partial(_add_partition, low))
    for low in range(first, last + 1, _SLICE):
        high = min(low + _SLICE - 1, last)

        async def book(tx: db.Tx, low: int = low, high: int = high) -> None:
            xact = await sql.this_xact.fetchval(tx)
            await sql.fill_transfers.execute(tx, low, high, accounts, _FIRST_MS, day_rows, xact)
            await sql.fill_holds.execute(tx, xact)
            await sql.carry_balances.execute(tx, xact)

        await owner.run(book)
        report(f"{high:,} rows")


async def _add_partition(low: int, tx: db.Tx) -> None:
    await sql.add_books_partition.execute(tx, low, low + _PARTITION_MS)


async def _seal(owner: db.Database) -> float:
    start = time.monotonic()
    while await owner.run(lambda tx: ledger.seal(tx, now=datetime.now(UTC))):
        pass
    return time.monotonic() - start


async def _timed(
    database: db.Database, figures: VerifyFigures, *, since: str | None
) -> tuple[float, float, ledger.ChainVerdict]:
    server = await server_process(database)
    with _Memory(server) as memory:
        before, start = time.process_time() + server_cpu(server), time.monotonic()
        verdict = await ledger.seal_and_verify(database, now=datetime.now(UTC), since=since)
        took = time.monotonic() - start
        cpu = time.process_time() + server_cpu(server) - before
    figures.server_memory_mb = max(figures.server_memory_mb, memory.most / 2**20)
    return took, cpu, verdict


class _Memory:
    """Watches what the server's processes have for themselves, without the buffers that they share."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most = 0

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            total = 0
            for process in self._server.children() if self._server is not None else []:
                with suppress(psutil.Error):
                    info = process.memory_info()
                    total += info.rss - info.shared
            self.most = max(self.most, total)
