"""`hutong bench ledger`: the speed of the ledger, beside the same server's TPC-B and the classical hot row."""

from __future__ import annotations

import asyncio
import importlib.resources
import json
import random
import re
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil
from rich.console import Console

from hutong import app, db, ledger
from hutong.clock import SystemClock
from hutong.errors import InvariantBroken
from hutong.ids import Ids

_DATABASE = "hutong_bench"
_FIRST_ACCOUNT = 1 << 64
_SCRIPTS = importlib.resources.files("hutong.bench") / "pgbench"
_Report = Callable[[str], None]


@dataclass(slots=True)
class LedgerFigures:
    """The figures of one run; the ratios compare rates of the same server and the same minutes."""

    transfers_per_s: float = 0.0
    tpcb_tps: float = 0.0
    hotrow_tps: float = 0.0
    ratio_tpcb: float = 0.0
    ratio_hotrow: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    cpu_us_python: float = 0.0
    cpu_us_postgres: float = 0.0
    invariants: bool = False
    transfers: int = 0
    first_rate: float = 0.0
    last_rate: float = 0.0
    least_rate: float = 0.0
    memory_mb: float = 0.0
    without_upkeep_per_s: float = 0.0
    upkeep_costs: float = 0.0

    def as_dict(self) -> dict[str, float | int | bool]:
        """Return the figures by name."""
        return asdict(self)


@dataclass(slots=True)
class _Run:
    deadline: float
    most: int | None
    booked: int = 0
    latencies: list[float] = field(default_factory=list)
    finished: list[tuple[float, int]] = field(default_factory=list)

    def over(self) -> bool:
        return time.monotonic() >= self.deadline if self.most is None else self.booked >= self.most


def run_bench_ledger(
    *,
    accounts: int,
    hot: bool,
    batch: int,
    clients: int,
    seconds: float,
    transfers: int | None,
    compare_upkeep: bool,
    as_json: bool,
) -> int:
    """Run the benchmark on the installation's server, in a database that is dropped afterwards.

    Returns:
        The exit status: 1 if the books do not hold.
    """
    console = Console(stderr=as_json)
    settings = app.load_settings()
    pgbench = db.EmbeddedServer(settings.home).binary("pgbench")
    with app.using_database(settings) as url:
        figures = asyncio.run(
            measure(
                url, pgbench, accounts=accounts, hot=hot, batch=batch, clients=clients, seconds=seconds,
                transfers=transfers, compare_upkeep=compare_upkeep, report=console.print,
            )
        )  # fmt: skip
    if as_json:
        print(json.dumps(figures.as_dict()))
    else:
        for name, value in figures.as_dict().items():
            console.print(f"{name:<18} {value:,.1f}" if isinstance(value, float) else f"{name:<18} {value}")
    return 0 if figures.invariants else 1


async def measure(
    dsn: str,
    pgbench: Path,
    *,
    accounts: int = 100_000,
    hot: bool = False,
    batch: int = 2_048,
    clients: int = 2,
    seconds: float = 15,
    transfers: int | None = None,
    compare_upkeep: bool = False,
    report: _Report = lambda _: None,
) -> LedgerFigures:
    """Measure in a database of its own on this server, which is dropped afterwards.

    Args:
        dsn: The owner's URL of any database on the server.
        pgbench: The program.
        accounts: The number of accounts that take part.
        hot: Let one account take part in every transfer.
        batch: Transfers in one call and one commit.
        clients: Connections that book at the same time.
        seconds: The length of each measurement.
        transfers: Book this many instead, however long it takes.
        compare_upkeep: Measure four times, without the worker's upkeep of the books and with it in turn. What it costs
            is the part of the rate that is lost.
        report: Receives lines about the progress.
    """
    figures = LedgerFigures()
    async with database_of_its_own(dsn) as url:
        figures.tpcb_tps, figures.hotrow_tps = await _baselines(url, pgbench, seconds, report)
        report(f"{batch} transfers a batch, {clients} connections, {'one hot account' if hot else 'random accounts'}")
        async with db.Database.open(url, size=clients + 2) as database:
            await _open_accounts(database, accounts)
            plan = _Plan(accounts, hot, batch, clients, seconds, transfers)
            if compare_upkeep:
                await _compare_upkeep(database, figures, plan, report)
            else:
                await _measure(database, figures, plan, report)
            report("verifying")
            async with database.transaction() as tx:
                figures.invariants = (await ledger.verify(tx)).holds
    figures.ratio_tpcb = figures.transfers_per_s / figures.tpcb_tps
    figures.ratio_hotrow = figures.transfers_per_s / figures.hotrow_tps
    figures.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


@dataclass(frozen=True, slots=True)
class _Plan:
    accounts: int
    hot: bool
    batch: int
    clients: int
    seconds: float
    transfers: int | None


async def _compare_upkeep(database: db.Database, figures: LedgerFigures, plan: _Plan, report: _Report) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for upkeep in (False, True, False, True):
        while await database.run(lambda tx: ledger.seal(tx, now=datetime.now(UTC))):
            pass  # what the measurement before has left
        await _measure(database, figures, plan, report, upkeep=upkeep)
        rates[upkeep].append(figures.transfers_per_s)
        report(f"{'with' if upkeep else 'without'} upkeep: {figures.transfers_per_s:,.0f} transfers/s")
    figures.without_upkeep_per_s, figures.transfers_per_s = (sum(rates[upkeep]) / 2 for upkeep in (False, True))
    figures.upkeep_costs = 1 - figures.transfers_per_s / figures.without_upkeep_per_s


async def _measure(
    database: db.Database, figures: LedgerFigures, plan: _Plan, report: _Report, *, upkeep: bool = True
) -> None:
    keeper = asyncio.create_task(_keep_books(database, upkeep=upkeep))
    await asyncio.sleep(0.5)
    run = _Run(time.monotonic() + plan.seconds, plan.transfers)
    server = await server_process(database)
    python_before, server_before, start = time.process_time(), server_cpu(server), time.monotonic()
    await asyncio.gather(*(_client(database, plan, run, seed, report) for seed in range(plan.clients)))
    took = time.monotonic() - start
    figures.transfers = run.booked
    figures.transfers_per_s = run.booked / took
    figures.cpu_us_python = (time.process_time() - python_before) / run.booked * 1e6
    figures.cpu_us_postgres = (server_cpu(server) - server_before) / run.booked * 1e6
    ordered = sorted(run.latencies)
    figures.p50_ms, figures.p99_ms = (ordered[int(len(ordered) * part)] * 1e3 for part in (0.5, 0.99))
    rates = _rates(run.finished, start, took / 12)
    figures.first_rate, figures.last_rate, figures.least_rate = rates[0], rates[-1], min(rates)
    keeper.cancel()
    with suppress(asyncio.CancelledError):
        await keeper


async def _client(database: db.Database, plan: _Plan, run: _Run, seed: int, report: _Report) -> None:
    rnd = random.Random(seed)  # noqa: S311 - a spread, not a secret
    created = ledger.CreateTransferStatus.CREATED
    while not run.over():
        events = _events(rnd, plan)
        before = time.perf_counter()
        results = await database.run(partial(_create_transfers, events))
        run.latencies.append(time.perf_counter() - before)
        if any(result.status is not created for result in results):
            raise InvariantBroken("a transfer of the benchmark was not created")
        run.booked += plan.batch
        run.finished.append((time.monotonic(), plan.batch))
        if len(run.finished) % 500 == 0:
            report(f"{run.booked:,} transfers")


async def _create_transfers(events: Sequence[ledger.Transfer], tx: db.Tx) -> Sequence[Any]:
    return await ledger.Ledger(tx, clock=time.time_ns).create_transfers(events)


def _events(rnd: random.Random, plan: _Plan) -> list[ledger.Transfer]:
    events = []
    count = plan.accounts
    for number in range(plan.batch):
        debit = 0 if plan.hot else int(rnd.random() * count)
        credit = (debit + 1 + int(rnd.random() * (count - 1))) % count
        if number & 1:
            debit, credit = credit, debit
        events.append(
            ledger.Transfer(ledger.id(), _FIRST_ACCOUNT + debit, _FIRST_ACCOUNT + credit, 1, ledger=1, code=1)
        )
    return events


def _rates(finished: Sequence[tuple[float, int]], start: float, width: float) -> list[float]:
    """Return the transfers per second in twelve windows of equal length."""
    sums = [0] * 12
    for moment, count in finished:
        sums[min(int((moment - start) / width), 11)] += count
    return [total / width for total in sums]


async def _open_accounts(database: db.Database, accounts: int) -> None:
    for low in range(0, accounts, 8_000):
        numbers = range(low, min(low + 8_000, accounts))
        batch = [ledger.Account(_FIRST_ACCOUNT + n, ledger=1, code=1) for n in numbers]
        await database.run(partial(_create_accounts, batch))


async def _create_accounts(batch: Sequence[ledger.Account], tx: db.Tx) -> None:
    await ledger.Ledger(tx, clock=time.time_ns).create_accounts(batch)


async def _keep_books(database: db.Database, *, upkeep: bool) -> None:
    """Do what the worker of an installation does, as often: partitions, expiry, seals, days; or partitions alone."""
    made = Ids(SystemClock())
    while True:
        with suppress(asyncpg.LockNotAvailableError, asyncpg.CheckViolationError):
            async with database.transaction() as tx:
                await ledger.make_partitions(tx, now=datetime.now(UTC), first_span=timedelta(seconds=30))
        if upkeep:
            await ledger.maintain(database, now=datetime.now(UTC), new_id=made.new)
        await asyncio.sleep(5)


async def _baselines(url: str, pgbench: Path, seconds: float, report: _Report) -> tuple[float, float]:
    report("pgbench: filling TPC-B at scale 50")
    await _pgbench(pgbench, "-i", "-q", "-s", "50", url)
    rates = []
    for clients in (8, 32):
        rates.append(await _pgbench(pgbench, "-c", str(clients), "-j", "2", "-T", f"{seconds:.0f}", url))
        report(f"pgbench: TPC-B with {clients} clients: {rates[-1]:,.0f} transactions/s")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((_SCRIPTS / "hotrow-setup.sql").read_text())
    finally:
        await connection.close()
    script = ("-n", "-f", str(_SCRIPTS / "hotrow.sql"))
    hot = await _pgbench(pgbench, "-c", "32", "-j", "2", "-T", f"{seconds:.0f}", *script, url)
    report(f"pgbench: one hot row with 32 clients: {hot:,.0f} transactions/s")
    return max(rates), hot


async def _pgbench(program: Path, *arguments: str) -> float:
    done = await asyncio.to_thread(
        subprocess.run, [str(program), *arguments], capture_output=True, text=True, check=True
    )
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    return float(rate.group(1)) if rate else 0.0


@asynccontextmanager
async def database_of_its_own(dsn: str) -> AsyncIterator[str]:
    owner = await asyncpg.connect(dsn)
    try:
        await owner.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        await owner.execute(f"CREATE DATABASE {_DATABASE}")
        url = urlunsplit(urlsplit(dsn)._replace(path=f"/{_DATABASE}"))
        await asyncio.to_thread(db.migrate, url)
        yield url
        await owner.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
    finally:
        await owner.close()


async def server_process(database: db.Database) -> Any:
    """Return the server's first process, if the server runs on this machine."""
    async with database.pool.acquire() as connection:
        try:
            return psutil.Process(connection.get_server_pid()).parent()
        except psutil.Error:
            return None


def server_cpu(server: Any) -> float:
    """Return the seconds of processor time that the server's processes have used."""
    total = 0.0
    for process in [server, *server.children()] if server is not None else []:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total
