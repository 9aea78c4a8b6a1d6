"""A running platform to trace: its own PostgreSQL in a temporary folder, the simulated channels, a merchant.

The database server, the simulated channels and the commands that prepare both are processes of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web
from trip_recorder import Call, Recorder
from trip_time import StillLoop

from hutong import app, db, events
from hutong.app.web import build
from hutong.app.worker import make_worker
from hutong.config import Settings

CHANNEL, METHOD = "wechat", "wechat_native"
WEBHOOK = "payment.succeeded"
_LIMIT_S = 30.0


class _Server(uvicorn.Server):
    """A server that handles no signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Front:
    """The web application, with a recording of each expected request from its arrival to the end of its answer."""

    def __init__(self, application: Any, recorder: Recorder) -> None:
        self._application, self._recorder = application, recorder
        self._awaited: tuple[str, asyncio.Future[list[Call]]] | None = None

    def expect(self, path_end: str) -> asyncio.Future[list[Call]]:
        """Return a future of the calls of the next POST to a path with this end."""
        future: asyncio.Future[list[Call]] = asyncio.get_running_loop().create_future()
        self._awaited = path_end, future
        return future

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        awaited = self._awaited
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if awaited is None or not is_post or not scope["path"].endswith(awaited[0]):
            await self._application(scope, receive, send)
            return
        self._awaited = None
        with self._recorder.recording() as calls:
            await self._application(scope, receive, send)
        awaited[1].set_result(calls)


@dataclass(slots=True)
class World:
    """The platform and its surroundings, with which trips are made.

    Attributes:
        delivered: The events that the merchant's server has received.
    """

    address: str
    sandbox_address: str
    merchant_key: str
    operator_key: str
    front: _Front
    recorder: Recorder
    session: aiohttp.ClientSession
    worker: events.WebhookWorker
    delivered: list[dict[str, Any]] = field(default_factory=list)
    endpoint_id: str = ""

    async def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send a request to the platform, as the merchant unless another key is passed."""
        return await self._send(method, self.address + path, body, f"Bearer {key or self.merchant_key}")

    async def control_channel(self, verb: str, body: Any) -> Any:
        """Control the simulated channel."""
        return await self._send("POST", f"{self.sandbox_address}/control/{CHANNEL}/{verb}", body, "")

    async def refunds_at_channel(self) -> list[Any]:
        """Return the refunds at the simulated channel, first to last."""
        answer = await self._send("GET", f"{self.sandbox_address}/control/{CHANNEL}/refunds", None, "")
        refunds: list[Any] = answer["refunds"]
        return refunds

    async def recorded(self, path_end: str, trigger: Any) -> tuple[Any, list[Call]]:
        """Await a request that causes a POST to a path with this end; return the answer and the calls of the POST."""
        calls = self.front.expect(path_end)
        answer = await trigger
        async with asyncio.timeout(_LIMIT_S):
            return answer, await calls

    async def _send(self, method: str, url: str, body: Any, authorization: str) -> Any:
        headers = {"Authorization": authorization} if authorization else {}
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {url}: {answer.status} {text}"
            return json.loads(text)


@contextlib.contextmanager
def installation() -> Iterator[tuple[Settings, socket.socket, dict[str, str]]]:
    """Start a database and simulated channels; yield the settings, the socket and the callers' keys of a platform."""
    for name in [name for name in os.environ if name.startswith("HUTONG_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="hutong-trips-"))
    folder.chmod(0o711)  # as root, the server runs as its own user, who must pass through
    os.environ |= {"HUTONG_HOME": str(folder), "HUTONG_SANDBOX": "true", "HUTONG_SANDBOX_PORT": "0"}
    server = db.EmbeddedServer(folder)
    try:
        server.start()
        with _sandbox() as port, socket.create_server(("127.0.0.1", 0)) as listener:
            settings = Settings(port=listener.getsockname()[1], sandbox_port=port, log_level="error")
            merchant = _command("merchant", "create", "Example Store", "--json")
            operator = _command("operator", "add", "Example Operator", "--role", "viewer", "--json")
            keys = {"merchant": merchant["api_key"], "operator": operator["key"]}
            yield settings, listener, keys
    finally:
        server.stop(unless_used=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sandbox() -> Iterator[int]:
    """Start the simulated channels; yield their port once the database has its tables and accounts."""
    command = [sys.executable, "-m", "hutong", "sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the simulated channels do not start"
            yield int(line.strip().rpartition(":")[2])
        finally:
            process.terminate()


def _command(*arguments: str) -> Any:
    done = subprocess.run([sys.executable, "-m", "hutong", *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


@contextlib.asynccontextmanager
async def world(settings: Settings, listener: socket.socket, keys: dict[str, str]) -> AsyncIterator[World]:
    """Run the platform in this process: the web application, the webhook worker, and a merchant's server."""
    recorder = Recorder()
    front = _Front(build(settings), recorder)
    server = _Server(uvicorn.Config(front, access_log=False, log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            assert not serving.done(), "the platform does not start"
            await asyncio.sleep(0.01)
        connector = aiohttp.TCPConnector(force_close=True)  # a server may close a connection that is kept for later
        async with aiohttp.ClientSession(connector=connector) as session, app.open_platform(settings) as platform:
            worker = make_worker(platform).webhooks
            here = World(
                f"http://{settings.host}:{settings.port}",
                f"http://{settings.sandbox_host}:{settings.sandbox_port}",
                keys["merchant"],
                keys["operator"],
                front,
                recorder,
                session,
                worker,
            )
            async with _merchant_server(here.delivered) as hook:
                wanted = {"url": hook, "types": [WEBHOOK]}
                here.endpoint_id = (await here.call("POST", "/v1/webhook-endpoints", wanted))["id"]
                await here.control_channel("faults", {"money_out_ms": None})  # refunds end on request
                loop = asyncio.get_running_loop()
                assert isinstance(loop, StillLoop)
                await loop.settle()
                yield here
    finally:
        server.should_exit = True
        await serving


@contextlib.asynccontextmanager
async def _merchant_server(delivered: list[dict[str, Any]]) -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        delivered.append(await request.json())
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()
