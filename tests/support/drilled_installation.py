"""An installation run by its commands, and the world around it that goes on when its database is restored.

The channels, a receiver of webhooks and a consumer of the events live in the test's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from hutong import db
from hutong.consumer import Consumer, Message, Policy, Taken, rabbit
from hutong.consumer import install as install_consumer
from hutong.demo.platform import free_port
from hutong.demo.receiver import Receiver
from hutong.sandbox import SandboxSettings
from hutong.sandbox.server import create_app

_LIMIT_S = 90.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """A request that a channel received and that changes something there: its path and its body."""

    path: str
    body: str


class Listener(Consumer):
    """A consumer that also records every message as it arrived."""

    arrived: list[dict[str, Any]]

    async def take(self, messages: Sequence[bytes]) -> Taken:
        self.arrived += [orjson.loads(message) for message in messages]
        return await super().take(messages)


class World:
    """Everything but the database.

    Attributes:
        calls: What the channels were asked to do, in order; queries are not among them.
        promises: The documents that the merchant was answered with 2xx to what changes something, in order.
        seconds: How long each of these answers took.
        handled: How often the consumer handled each event.
    """

    def __init__(self, folder: Path, broker_url: str, session: aiohttp.ClientSession) -> None:
        self.home, self.backup, self.port = folder / "home", folder / "backup", free_port()
        self.session = session
        self.source = f"d{secrets.token_hex(4)}"
        self.receiver = Receiver()
        self.calls: list[Call] = []
        self.promises: list[dict[str, Any]] = []
        self.seconds: list[float] = []
        self.handled: Counter[str] = Counter()
        self.sandbox_url = self.key = self.operator_key = self.merchant_id = ""
        self.home.mkdir(mode=0o711)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
        self.environment = kept | {
            "HUTONG_HOME": str(self.home),
            "HUTONG_BACKUP_FOLDER": str(self.backup),
            "HUTONG_PORT": str(self.port),
            "HUTONG_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "HUTONG_SANDBOX": "true",
            "HUTONG_QUERY_CADENCE": "1,1,2",
            "HUTONG_BROKER_URL": broker_url,
            "HUTONG_EVENT_SOURCE": self.source,
            "HUTONG_LOG_LEVEL": "warning",
        }

    async def command(self, *arguments: str) -> str:
        """Run `hutong …` and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hutong", *arguments, env=self.environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, reason = await process.communicate()
        assert process.returncode == 0, f"{arguments}: {printed.decode()}{reason.decode()}"
        return printed.decode()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Run `hutong serve`; the block gets the mode in /readyz."""
        with (self.home / "serve.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hutong", "serve", env=self.environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            await until(lambda: self._mode(process))
            yield await self._mode(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0, (self.home / "serve.log").read_text()[-4000:]

    async def _mode(self, process: asyncio.subprocess.Process) -> str:
        assert process.returncode is None, (self.home / "serve.log").read_text()[-4000:]
        try:
            status, document = await self.call("GET", "/readyz")
        except aiohttp.ClientError:
            return ""
        return str(document["mode"]) if status == 200 else ""

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the API as the merchant."""
        url, headers = f"http://127.0.0.1:{self.port}{path}", {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def ask(self, path: str, body: Any = None) -> Any:
        """Call the API as the merchant, and have it done."""
        began = time.monotonic()
        status, document = await self.call("GET" if body is None else "POST", path, body)
        assert status in (200, 201, 202), document
        if body is not None:
            self.seconds.append(time.monotonic() - began)
            self.promises.append(document)
        return document

    async def catch_up(self) -> Any:
        """See the catch-up as an operator."""
        url, headers = (
            f"http://127.0.0.1:{self.port}/v1/operator/restore",
            {"Authorization": f"Bearer {self.operator_key}"},
        )
        async with self.session.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def control(self, channel: str, verb: str, **fields: Any) -> Any:
        """Act as a payer or a bank, or read a channel's log."""
        url = f"{self.sandbox_url}/control/{channel}/{verb}"
        async with self.session.request("POST" if fields else "GET", url, json=fields or None) as response:
            return await response.json()

    async def truth(self, channel: str) -> list[dict[str, Any]]:
        """Return a channel's own log."""
        log: list[dict[str, Any]] = (await self.control(channel, "truth"))["truth"]
        return log

    @contextlib.asynccontextmanager
    async def channels(self) -> AsyncIterator[None]:
        """Run the channels."""

        @web.middleware
        async def record(request: web.Request, handler: Any) -> Any:
            if request.method == "POST" and not request.path.startswith(("/control", "/payer")):
                self.calls.append(Call(request.path, await request.text()))
            return await handler(request)

        app = create_app(SandboxSettings(self.home / "sandbox", speed=100))
        app.middlewares.append(record)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.sandbox_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await runner.cleanup()

    @contextlib.asynccontextmanager
    async def listening(self, database_url: str) -> AsyncIterator[Listener]:
        """Run a consumer on the broker, with a database of its own."""
        async with db.Database.open(database_url, size=2, role=None) as database:
            await database.run(install_consumer)
            listener = Listener("warehouse", self._handle, database, policy=Policy())
            listener.arrived = []
            url = self.environment["HUTONG_BROKER_URL"]
            running = asyncio.create_task(rabbit(listener, url, queue=f"{self.source}.warehouse", source=self.source))
            try:
                yield listener
            finally:
                assert not running.done(), running.exception()
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def _handle(self, _tx: db.Tx, message: Message) -> None:
        self.handled[message.event_id] += 1


async def until(reached: Any) -> None:
    """Wait until an asynchronous function returns something true."""
    for _ in range(int(_LIMIT_S / _LOOK_EVERY_S)):
        if await reached():
            return
        await asyncio.sleep(_LOOK_EVERY_S)
    raise AssertionError("not reached in time")
