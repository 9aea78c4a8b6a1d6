"""Outbox to webhooks: events are recorded, the worker signs and sends them, a merchant's server verifies each."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any
from uuid import UUID

import aiohttp
import uvloop
from aiohttp import web
from standardwebhooks import Webhook

from hutong import app, db
from hutong.bench.baseline import tpcb_tps
from hutong.bench.cpu import CpuMeter
from hutong.bench.event_data import record_payments
from hutong.bench.installation import database_processes, temporary_settings
from hutong.demo import Client, RunningPlatform, register_merchant

_SHOPS = 4
_STALLED_S = 30.0


def measure_webhooks(*, count: int, yardstick_s: int) -> dict[str, Any]:
    """Deliver events on a platform of its own, with the processes that users run.

    Returns:
        `webhooks_per_s`, from the first arrival to the last; the processor time of each; and pgbench's TPC-B on the
        same server, unless `yardstick_s` is 0.
    """
    with temporary_settings() as settings:
        platform = RunningPlatform(settings, own=True)
        try:
            with app.using_database(settings) as url:
                result = uvloop.run(_measure(platform, url, count))
                if yardstick_s:
                    result["tpcb_tps"] = round(tpcb_tps(settings, url, scale=10, clients=8, seconds=yardstick_s), 1)
        finally:
            platform.stop()
    return result


async def _measure(platform: RunningPlatform, url: str, count: int) -> dict[str, Any]:
    server = _Server()
    async with db.Database.open(url, size=2) as database, aiohttp.ClientSession() as session:
        address = await server.start()
        try:
            client = Client(session, platform.address, platform.sandbox_address)
            shops = [await _shop(client, database, server, f"{address}/{name}") for name in range(_SHOPS)]
            await record_payments(database, shops, _SHOPS)  # connections are opened, statements prepared
            await server.wait_for(_SHOPS)
            server.begin()
            groups = {"receiver": [os.getpid()], "postgresql": database_processes(platform.settings)}
            meter = CpuMeter(platform.processes() | groups, families=["postgresql"])
            recording = asyncio.create_task(record_payments(database, shops, count))
            await server.wait_for(count)
            await recording
            cpu = meter.seconds()
        finally:
            await server.stop()
    elapsed = server.last_at - server.first_at
    return {
        "webhooks_per_s": round((count - 1) / elapsed, 1),
        "webhooks_duplicates": server.calls - count,
        "webhooks_cpu_ms": {name: round(1000 * used / count, 3) for name, used in cpu.items()},
    }


class _Server:
    """A merchant's server, which verifies and counts requests."""

    def __init__(self) -> None:
        self._trusted: dict[str, Webhook] = {}
        self._arrived = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Start to count from zero."""
        self.seen: set[str] = set()
        self.calls = 0
        self.first_at = self.last_at = 0.0

    def trust(self, path: str, secret: str) -> None:
        self._trusted[path] = Webhook(secret)

    async def start(self) -> str:
        application = web.Application()
        application.router.add_post("/{shop}", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def wait_for(self, count: int) -> None:
        """Wait for this many different events; raise TimeoutError when no more arrive."""
        while len(self.seen) < count:
            self._arrived.clear()
            async with asyncio.timeout(_STALLED_S):
                await self._arrived.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self._trusted[request.path].verify(await request.text(), dict(request.headers))
        self.last_at = time.perf_counter()
        self.first_at = self.first_at or self.last_at
        self.calls += 1
        self.seen.add(request.headers["webhook-id"])
        self._arrived.set()
        return web.Response(status=204)


async def _shop(client: Client, database: db.Database, server: _Server, target: str) -> UUID:
    """Create a merchant with an endpoint."""
    key = await register_merchant(database, "Example Store", 6_000)
    server.trust(target[target.rindex("/") :], await client.add_endpoint(key.secret, target))
    return key.merchant_id
