"""`hutong bench payments`: payments end to end, with all parts on this machine.

For each payment the merchant creates it over HTTP, the platform places it at the channel over HTTP, the simulated payer
pays at once, the channel notifies over HTTP, the books are written, and the merchant's server gets a signed webhook.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from hutong import app, db
from hutong.bench.baseline import tpcb_tps
from hutong.bench.cpu import CpuMeter
from hutong.bench.installation import database_processes, temporary_settings
from hutong.demo import Client, Receiver, RunningPlatform, register_merchant

_WARM_UP_S = 3.0
_DRAIN_S = 30.0


@dataclass(slots=True)
class _Run:
    """The results of one timed run; times in seconds."""

    finished: int = 0
    failed: int = 0
    create_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)


def run_bench_payments(*, seconds: int, callers: int, as_json: bool, rate: int | None) -> int:
    """Run the bench on a new platform.

    Args:
        seconds: How long to measure.
        callers: How many payments are in flight at once.
        rate: Payments to start per second, independent of the answers; None starts them as fast as possible.

    Returns:
        The exit status: 1 if a payment did not succeed.
    """
    console = Console(stderr=as_json)
    with temporary_settings() as settings:
        console.print("starting the platform …")
        platform = RunningPlatform(settings, own=True)
        try:
            with app.using_database(settings) as url:
                result = uvloop.run(_measure(platform, url, seconds, callers, rate))
                console.print("pgbench TPC-B on the same server …")
                result["tpcb_tps"] = round(tpcb_tps(settings, url, scale=10, clients=8, seconds=10), 1)
                result["ratio_tpcb"] = round(result["payments_per_s"] / result["tpcb_tps"], 3)
        finally:
            platform.stop()
    if as_json:
        print(json.dumps(result))
    else:
        _show(console, result)
    return 1 if result["failed"] else 0


async def _measure(platform: RunningPlatform, url: str, seconds: int, callers: int, rate: int | None) -> dict[str, Any]:
    receiver = Receiver()
    async with (
        receiver.serve() as hooks,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        async with db.Database.open(url, size=2) as database:
            key = (await register_merchant(database, "Example Store", 6_000)).secret
        client = Client(session, platform.address, platform.sandbox_address)
        receiver.trust("shop", await client.add_endpoint(key, f"{hooks}/hooks/shop"))
        await session.post(f"{platform.sandbox_address}/control/wechat/faults", json={"auto_pay_ms": 0})
        driver = _Driver(platform.address, key, session, receiver)
        await driver.run(_WARM_UP_S, callers, rate)
        before = await _count_batches(session, platform.address)
        groups = {"load generator": [os.getpid()], "postgresql": database_processes(platform.settings)}
        meter = CpuMeter(platform.processes() | groups, families=["postgresql"])
        started = time.perf_counter()
        timed = await driver.run(seconds, callers, rate)
        elapsed = time.perf_counter() - started
        cpu = meter.seconds()
        after = await _count_batches(session, platform.address)
    per_payment = {name: round(1000 * used / max(timed.finished, 1), 3) for name, used in cpu.items()}
    commands, batches = after[0] - before[0], after[1] - before[1]
    return {
        "payments": timed.finished,
        "failed": timed.failed,
        "payments_per_s": round(timed.finished / elapsed, 1),
        "p50_ms": _quantile(timed.whole_s, 50),
        "p99_ms": _quantile(timed.whole_s, 99),
        "create_p50_ms": _quantile(timed.create_s, 50),
        "create_p99_ms": _quantile(timed.create_s, 99),
        "cpu_ms_per_payment": round(sum(per_payment.values()), 3),
        "cpu_ms_by_process": per_payment,
        "mean_batch": round(commands / max(batches, 1), 2),
    }


class _Driver:
    """A source of load that keeps payments in flight and waits for the webhook of each."""

    def __init__(self, address: str, key: str, session: aiohttp.ClientSession, receiver: Receiver) -> None:
        self._url = f"{address}/v1/payments"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._session = session
        self._receiver = receiver
        self._run = secrets.token_hex(4)
        self._number = 0

    async def run(self, seconds: float, callers: int, rate: int | None) -> _Run:
        """Start payments for this many seconds, then wait for the last ones."""
        timed = _Run()
        deadline = time.perf_counter() + seconds
        if rate is not None:
            await self._run_scheduled(timed, deadline, rate)
        else:
            await asyncio.gather(*(self._call_repeatedly(timed, deadline) for _ in range(callers)))
        return timed

    async def _call_repeatedly(self, timed: _Run, deadline: float) -> None:
        while time.perf_counter() < deadline:
            await self._pay(timed, time.perf_counter())

    async def _run_scheduled(self, timed: _Run, deadline: float, rate: int) -> None:
        """Start payments by the clock, so that a slow answer delays no later start and its wait counts in full."""
        due = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        while due < deadline:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._pay(timed, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / rate
        await asyncio.gather(*tasks)

    async def _pay(self, timed: _Run, started: float) -> None:
        self._number += 1
        order = {
            "merchant_order_no": f"{self._run}-{self._number}",
            "amount_minor": 100 + self._number % 10_000,
            "currency": "CNY",
            "subject": "Example Store",
            "method": "wechat_native",
        }
        try:
            async with self._session.post(self._url, json=order, headers=self._headers) as response:
                payment = await response.json()
            timed.create_s.append(time.perf_counter() - started)
            await self._receiver.arrival(payment["id"], "payment.succeeded", within_s=_DRAIN_S)
        except (aiohttp.ClientError, TimeoutError, KeyError):
            timed.failed += 1
            return
        timed.whole_s.append(time.perf_counter() - started)
        timed.finished += 1


async def _count_batches(session: aiohttp.ClientSession, address: str) -> tuple[float, float]:
    """Return the numbers of commands and batches so far, over all queues."""
    async with session.get(f"{address}/metrics") as response:
        text = await response.text()
    commands = sum(float(value) for value in re.findall(r"^hutong_batch_size_sum\S* (\S+)$", text, re.MULTILINE))
    batches = sum(float(value) for value in re.findall(r"^hutong_batch_size_count\S* (\S+)$", text, re.MULTILINE))
    return commands, batches


def _quantile(values: list[float], percent: int) -> float:
    if len(values) < 100:
        return round(1000 * max(values, default=0.0), 2)
    return round(1000 * statistics.quantiles(values, n=100)[percent - 1], 2)


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table(title="Payments, create to webhook", show_header=False)
    for name, value in result.items():
        if name == "cpu_ms_by_process":
            for process, used in value.items():
                table.add_row(f"  {process}, CPU-ms", f"{used}")
        else:
            table.add_row(name.replace("_", " "), str(value))
    console.print(table)
