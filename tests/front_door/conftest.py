"""Small servers behind the front door, one per kind of server, and a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from aiohttp import web

from hutong import front_door

Serve = Callable[[front_door.Bounds], AbstractAsyncContextManager[int]]


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def echo_asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the method, the fields and the body that the application sees."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    seen = b"\n".join([scope["method"].encode(), scope["raw_path"], *(b": ".join(f) for f in scope["headers"]), body])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(seen))]})
    await send({"type": "http.response.body", "body": seen})


async def echo_aiohttp(request: web.Request) -> web.Response:
    fields = [name.lower() + b": " + value for name, value in request.raw_headers]
    body = await request.read()
    return web.Response(body=b"\n".join([request.method.encode(), request.raw_path.encode(), *fields, body]))


@asynccontextmanager
async def serve_uvicorn(bounds: front_door.Bounds) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    options = front_door.uvicorn_options(bounds)
    server = _Server(uvicorn.Config(echo_asgi, lifespan="off", log_config=None, access_log=False, **options))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        await running


@asynccontextmanager
async def serve_aiohttp(bounds: front_door.Bounds) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    application = web.Application()
    application.add_routes([web.route("*", "/{path:.*}", echo_aiohttp)])
    async with front_door.serve(application, listener, bounds):
        yield listener.getsockname()[1]


@pytest.fixture(params=[serve_uvicorn, serve_aiohttp], ids=["uvicorn", "aiohttp"])
def serve(request: pytest.FixtureRequest) -> Serve:
    served: Serve = request.param
    return served


async def exchange(port: int, sent: bytes, *, wait_s: float = 3.0) -> bytes:
    """Send bytes and return all that is answered until the server closes, or a short silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(sent)
        await writer.drain()
        while piece := await asyncio.wait_for(reader.read(65536), wait_s):
            received += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return received
