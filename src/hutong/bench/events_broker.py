"""Outbox to broker: events are recorded, the worker numbers and publishes them, RabbitMQ confirms each."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psutil
import uvloop

from hutong import app, db, events
from hutong.bench.cpu import CpuMeter
from hutong.bench.event_data import record_payments
from hutong.bench.installation import database_processes, temporary_settings
from hutong.bench.rabbitmq import RabbitMQ
from hutong.clock import SystemClock

_STREAM = "hutong.payment.0"
_MERCHANT = UUID(int=1)
_RATE_PER_S = 500
_STEP_S = 0.02
_STALLED_S = 60.0


def measure_broker(*, count: int, seconds: float) -> dict[str, Any]:
    """Publish a backlog, then events as they are recorded, with a worker as users run it and a RabbitMQ of our own.

    Args:
        count: The events that wait when the worker starts.
        seconds: The time for which 500 events a second are recorded afterwards.

    Returns:
        `broker_events_per_s`, while the backlog is published; `lag_p99_ms`, from the record of an event until a
        listener has it, at 500 a second; `relay_rss_mb`, the peak of the worker; the processor time of an event.
        Without RabbitMQ, None and `broker_skipped`.
    """
    result: dict[str, Any] = dict.fromkeys(("broker_events_per_s", "lag_p99_ms", "relay_rss_mb"))
    if not RabbitMQ.available():
        return result | {"broker_skipped": "RabbitMQ is not installed"}
    with temporary_settings() as settings:
        folder = settings.home.parent / "broker"
        folder.mkdir()
        broker = RabbitMQ(folder)
        broker.start()
        try:
            with app.using_database(settings) as url:
                app.migrate(settings, url)
                return result | uvloop.run(_measure(settings, url, broker, count, seconds))
        finally:
            broker.close()


async def _measure(settings: app.Settings, url: str, broker: RabbitMQ, count: int, seconds: float) -> dict[str, Any]:
    async with db.Database.open(url, size=4) as database:
        await record_payments(database, [_MERCHANT], count)
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hutong", "worker"),
            stdin=subprocess.DEVNULL,
            env=app.environment(home=settings.home, broker_url=broker.url, log_level="warning"),
        )
        try:
            process = psutil.Process(worker.pid)
            per_s, cpu = await _drain(database, count, _groups(settings, worker.pid, broker))
            rss = process.memory_info().rss
            lags = await _listen(database, broker.url, seconds)
            rss = max(rss, process.memory_info().rss)
        finally:
            worker.terminate()
            await worker.wait()
    return {
        "broker_events_per_s": round(per_s, 1),
        "lag_p99_ms": round(1000 * sorted(lags)[int(len(lags) * 0.99)], 1),
        "relay_rss_mb": round(rss / 1e6, 1),
        "broker_cpu_ms": {name: round(1000 * used / count, 3) for name, used in cpu.items()},
    }


async def _drain(database: db.Database, count: int, groups: dict[str, list[int]]) -> tuple[float, dict[str, float]]:
    """Return the events per second from the first confirmed batch to the last, and the processor time."""
    first = first_at = 0.0
    meter = CpuMeter(groups, families=["postgresql", "rabbitmq"])
    deadline = time.monotonic() + _STALLED_S
    while time.monotonic() < deadline:
        published = await _published(database)
        now = time.perf_counter()
        if published and not first:
            first, first_at = published, now
            meter = CpuMeter(groups, families=["postgresql", "rabbitmq"])
        if published >= count:
            cpu = meter.seconds()
            share = count / max(1, count - first)
            return (count - first) / (now - first_at), {name: used * share for name, used in cpu.items()}
        await asyncio.sleep(0.01)
    raise TimeoutError("the backlog was not published")


async def _listen(database: db.Database, url: str, seconds: float) -> list[float]:
    """Return the seconds from the record of each event until a listener has it."""
    import aio_pika

    lags: list[float] = []
    clock = SystemClock()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        if message.type != events.DIGEST:
            recorded = datetime.fromisoformat(orjson.loads(message.body)["created_at"])
            lags.append((clock.now() - recorded).total_seconds())

    steps = round(seconds / _STEP_S)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("hutong.events", ensure=False)
        await queue.purge()
        await queue.consume(take, no_ack=True)
        begun = time.monotonic()
        for step in range(steps):
            await record_payments(database, [_MERCHANT], round(_RATE_PER_S * _STEP_S))
            await asyncio.sleep(max(0.0, begun + (step + 1) * _STEP_S - time.monotonic()))
        async with asyncio.timeout(_STALLED_S):
            while len(lags) < steps * round(_RATE_PER_S * _STEP_S):  # noqa: ASYNC110 - they come in another task
                await asyncio.sleep(0.05)
    return lags


async def _published(database: db.Database) -> int:
    async with database.transaction() as tx:
        return next((one.published_no for one in await events.list_streams(tx) if one.stream == _STREAM), 0)


def _groups(settings: app.Settings, worker: int, broker: RabbitMQ) -> dict[str, list[int]]:
    return {
        "worker": [worker],
        "rabbitmq": [] if broker.pid is None else [broker.pid],
        "postgresql": database_processes(settings),
    }
