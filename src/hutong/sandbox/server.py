"""The sandbox server: all simulators at one address."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from hutong import front_door
from hutong.clock import Clock, SystemClock
from hutong.sandbox import control, payer
from hutong.sandbox.bank import routes as bank_routes
from hutong.sandbox.bank.entries import Bank
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.registry import SIMULATORS
from hutong.sandbox.simulator import Simulator
from hutong.sandbox.store import Store


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The settings of the sandbox.

    Attributes:
        folder: The folder of the key material; created if missing.
        speed: Divides the waits between deliveries of a notification.
        clock: The clock of the simulated channels.
    """

    folder: Path
    speed: float = 1.0
    clock: Clock = field(default_factory=SystemClock)


def create_app(settings: SandboxSettings) -> web.Application:
    """Build the sandbox as an application: the channels' own interfaces, /bank, /control and /payer."""
    simulators: dict[str, Simulator] = {}
    notifiers: list[Notifier] = []
    app = web.Application()
    for kind in SIMULATORS:
        notifier = Notifier(kind.schedule_s, kind.accepted, speed=settings.speed)
        notifiers.append(notifier)
        simulator = kind(settings.folder / kind.channel, Store(kind.channel, settings.clock), notifier)
        simulators[kind.channel] = simulator
        app.add_routes(simulator.routes())
    # The bank first: its control has an address of the form of the channels' own.
    app.add_routes(bank_routes.routes(Bank(simulators)))
    app.add_routes([*control.routes(simulators), *payer.routes(simulators)])

    async def close_notifiers(_app: web.Application) -> None:
        for notifier in notifiers:
            await notifier.close()

    app.on_cleanup.append(close_notifiers)
    return app


@asynccontextmanager
async def serve(
    settings: SandboxSettings, *, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None
) -> AsyncIterator[str]:
    """Run the sandbox until the block ends.

    Args:
        port: 0 takes a free one.
        sock: A listening socket to use instead of `host` and `port`.

    Returns:
        The address of the server, such as "http://127.0.0.1:8090".
    """
    listener = sock or socket.create_server((host, port), backlog=512)
    host, bound = listener.getsockname()[:2]
    async with front_door.serve(create_app(settings), listener, front_door.Bounds()):
        yield f"http://{host}:{bound}"
