"""The processes below the supervisor: how each starts, and how it stops with the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hutong import config, db, front_door
from hutong.app.platform import bounds, open_platform
from hutong.app.worker import work

if TYPE_CHECKING:
    import psutil

_SIGN_EVERY_S = 1.0


def run_api(fd: int) -> None:
    """Serve HTTP on an inherited socket."""
    import uvicorn

    from hutong.app.web import build, server_options

    await_release("api")
    settings = config.load()
    options = server_options(settings, build(settings))
    server = uvicorn.Server(options)

    async def serve() -> None:
        _stop_with_parent(asyncio.get_running_loop(), lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[socket.socket(fileno=fd)])

    run(serve())


def run_worker(*, supervised: bool) -> None:
    """Run the worker until SIGINT, SIGTERM or the end of the supervisor.

    Args:
        supervised: Started by `serve`; standard input is its pipe.
    """
    settings = config.load()
    if supervised:
        await_release("worker")

    async def serve() -> None:
        stop = stop_event(supervised=supervised)
        async with _metrics(settings), open_platform(settings, role=db.WORKER_ROLE) as platform:
            await work(platform, stop)

    run(serve())


@asynccontextmanager
async def _metrics(settings: config.Settings) -> AsyncIterator[None]:
    """Serve the metrics of this process, if it has a port for them."""
    import prometheus_client
    from aiohttp import web

    if settings.worker_port is None:
        yield
        return

    async def metrics(_request: web.Request) -> web.Response:
        headers = {"Content-Type": prometheus_client.CONTENT_TYPE_LATEST}
        return web.Response(body=prometheus_client.generate_latest(), headers=headers)

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/", metrics)])
    listener = socket.create_server((settings.host, settings.worker_port))
    async with front_door.serve(application, listener, bounds(settings)):
        yield


def stop_event(*, supervised: bool) -> asyncio.Event:
    """Return an event that is set by SIGINT, SIGTERM, SIGHUP and, under a supervisor, by its end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            loop.add_signal_handler(number, stop.set)
    if supervised:
        _stop_with_parent(loop, stop.set)
    return stop


def await_release(name: str) -> None:
    """Wait until the supervisor releases this process; exit if the supervisor ends first.

    Effects:
        Until then the process is called "hutong-spare" in the lists of the operating system, where it has such names.
        A terminal that closes is left to the supervisor, which ends this process in order.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _name_process("hutong-spare")
    if not os.read(0, 1):
        sys.exit(0)
    _name_process(f"hutong-{name}")


def is_working(process: psutil.Process, name: str) -> bool:
    """Return whether a process is a part of the platform that has been released. Errors of psutil as they are."""
    if Path("/proc/self/comm").exists():
        return bool(process.name() == f"hutong-{name}")
    return bool(name in process.cmdline())  # where processes have no names of their own, a spare looks the same


def _name_process(name: str) -> None:
    with suppress(OSError):  # Linux alone
        Path("/proc/self/comm").write_text(name)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stop: Any) -> None:
    """Call `stop` when standard input, the line to `serve`, ends; until then give signs of life there."""

    def wait() -> None:
        with suppress(ConnectionResetError):  # the supervisor was killed before it read the latest signs
            while os.read(0, 1):
                pass
        loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, daemon=True).start()
    if stat.S_ISSOCK(os.fstat(0).st_mode):
        _give_signs(loop, socket.socket(fileno=os.dup(0)))


def _give_signs(loop: asyncio.AbstractEventLoop, line: socket.socket) -> None:
    """Give the supervisor a sign of life each second."""
    with suppress(OSError):  # the supervisor is gone, or does not read
        line.send(b".", socket.MSG_DONTWAIT)
    loop.call_later(_SIGN_EVERY_S, _give_signs, loop, line)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a process to its end, on the faster event loop."""
    import uvloop

    uvloop.run(main)
