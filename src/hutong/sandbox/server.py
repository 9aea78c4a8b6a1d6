"""Puts the simulators behind one address."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from hutong.clock import Clock, SystemClock
from hutong.sandbox import control, payer
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.registry import SIMULATORS
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Book


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How the sandbox runs.

    Attributes:
        folder: Where the key material is kept; made when it is missing.
        speed: Divides the waits between notification tries.
        clock: What the simulated channels take for the time.
    """

    folder: Path
    speed: float = 1.0
    clock: Clock = field(default_factory=SystemClock)


def create_app(settings: SandboxSettings) -> web.Application:
    """The sandbox as an application: the channels' own interfaces, /control and /payer."""
    simulators: dict[str, Simulator] = {}
    notifiers: list[Notifier] = []
    app = web.Application()
    for kind in SIMULATORS:
        notifier = Notifier(kind.schedule_s, kind.accepted, speed=settings.speed)
        notifiers.append(notifier)
        made = kind(settings.folder / kind.channel, Book(kind.channel, settings.clock), notifier)
        simulators[kind.channel] = made
        app.add_routes(made.routes())
    app.add_routes([*control.routes(simulators), *payer.routes(simulators)])

    async def give_up(_app: web.Application) -> None:
        for notifier in notifiers:
            await notifier.close()

    app.on_cleanup.append(give_up)
    return app


@asynccontextmanager
async def serve(
    settings: SandboxSettings, *, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None
) -> AsyncIterator[str]:
    """Run the sandbox until the block ends.

    Args:
        port: 0 takes a free one.
        sock: A listening socket to use instead.

    Returns:
        The address it listens on, such as "http://127.0.0.1:8090".
    """
    runner = web.AppRunner(create_app(settings), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port) if sock is None else web.SockSite(runner, sock)
        await site.start()
        host, bound = runner.addresses[0][:2]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()
