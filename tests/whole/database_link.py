"""When a running platform serves again after its database froze, fell silent, was killed, or failed over to a standby.

Run by `make database-link`. Orders come all the time; of those that were answered, none may be missing afterwards.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from hutong.db import EmbeddedServer, embedded_files, embedded_system
from support import let_through
from support.fakes.faulty_link import FaultyLink
from support.installation import Installation, make_merchant

FREEZE_S = 15.0
"""Longer than every limit of a process that serves."""
LIMIT_S = 10.0
CLIENTS = 4


class Orders:
    """Clients that order without a pause, each in a thread."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.answers: list[tuple[float, int, str]] = []
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._order, args=(name,)) for name in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _order(self, name: int) -> None:
        count = 0
        while not self._stopping.wait(0.02):
            number, count = f"{name}-{count}", count + 1
            status, _, _ = self._installation.order(number)
            self.answers.append((time.monotonic(), status, number))

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def first_success_after(self, at: float) -> float | None:
        """Return how long after that moment the first order succeeded; None if none has yet."""
        answers = list(self.answers)
        return next((answered - at for answered, status, _ in answers if answered > at and status == 201), None)


def processes(folder: Path) -> list[int]:
    found = embedded_system.postgres_processes(folder)
    return [process.pid for process in (*found.server, *found.children)]


def send(folder: Path, number: signal.Signals) -> None:
    for pid in processes(folder):
        os.kill(pid, number)


class Servers:
    """The server, and a standby of it on another port, which commits wait for."""

    def __init__(self, home: Path) -> None:
        self.server = EmbeddedServer(home)
        self.url = self.server.start(keep=True)
        place = embedded_files.read_place(home)
        assert place is not None
        self.place, self.data, self.standby = place, place.data, place.folder / "standby"

    def make_standby(self) -> None:
        source = self.url.replace("/hutong?", "/postgres?")
        copy = ("pg_basebackup", "-d", source, "-D", "standby", "-R", "-X", "stream", "-c", "fast")
        self.server.run_checked(self.place, *copy)
        options = f"-p 5433 -k {self.place.socket_folder}"
        begin = ("pg_ctl", "start", "-D", "standby", "-w", "-l", "standby.log", "-o", options)
        self.server.run_checked(self.place, *begin)
        with psycopg.connect(self.url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            admin.execute("SELECT pg_reload_conf()")

    def fail_over(self) -> str:
        send(self.data, signal.SIGKILL)
        self.server.run_checked(self.place, "pg_ctl", "promote", "-D", "standby", "-w")
        return f"{self.url}&port=5433"

    def stop(self) -> None:
        for name in ("data", "standby"):
            self.server.run(self.place, "pg_ctl", "stop", "-D", name, "-m", "immediate", "-w")


async def new_connections_work(url: str) -> float:
    """Wait until a new connection works; return when it did."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=2) as connection:
                await connection.execute("SELECT 1")
                return time.monotonic()
        except psycopg.Error:
            await asyncio.sleep(0.05)


async def measure(name: str, orders: Orders, link: FaultyLink, fault: Callable[[], Awaitable[None]]) -> bool:
    """Let a fault happen and pass; print and judge when orders succeed again."""
    await fault()
    works_at = await new_connections_work(link.url)
    while (again := orders.first_success_after(works_at)) is None:
        await asyncio.sleep(0.05)
        if time.monotonic() > works_at + 120:
            again = 120.0
            break
    print(f"{name:<48} serves {again:5.1f} s after new connections work", flush=True)
    await asyncio.sleep(3)
    return again <= LIMIT_S


async def drill(folder: Path) -> bool:
    """Run all faults on one platform; return whether it served again in time, and lost nothing."""
    servers = await asyncio.to_thread(Servers, folder / "server")
    try:
        async with FaultyLink(servers.url) as link:
            installation = Installation(folder / "home", folder / "serve.log", HUTONG_DATABASE_URL=link.url)
            try:
                await asyncio.to_thread(installation.wait_until_ready)
                installation.key = await make_merchant(servers.url)
                await asyncio.to_thread(servers.make_standby)
                return await run_faults(servers, link, installation)
            finally:
                await asyncio.to_thread(installation.stop)
    finally:
        await asyncio.to_thread(servers.stop)


async def run_faults(servers: Servers, link: FaultyLink, installation: Installation) -> bool:
    """Let one fault after another happen."""

    async def freeze() -> None:
        send(servers.data, signal.SIGSTOP)
        await asyncio.sleep(FREEZE_S)
        send(servers.data, signal.SIGCONT)

    async def freeze_and_kill() -> None:
        send(servers.data, signal.SIGSTOP)
        await asyncio.sleep(FREEZE_S)
        send(servers.data, signal.SIGKILL)
        await asyncio.to_thread(servers.server.start)

    async def fall_silent() -> None:
        link.swallow()
        await asyncio.sleep(FREEZE_S)
        link.heal()

    async def fail_over() -> None:
        link.move(await asyncio.to_thread(servers.fail_over))

    orders = Orders(installation)
    await asyncio.sleep(3)
    in_time = [
        await measure("frozen, and it goes on", orders, link, freeze),
        await measure("frozen, killed and started", orders, link, freeze_and_kill),
        await measure("a silent link, and new connections work", orders, link, fall_silent),
        await measure("killed, and its standby at the same address", orders, link, fail_over),
    ]
    await asyncio.to_thread(orders.stop)
    statuses = Counter(status for _, status, _ in orders.answers)
    succeeded = [number for _, status, number in orders.answers if status == 201]
    missing = [number for number in succeeded if (await asyncio.to_thread(installation.order, number))[0] != 200]
    print(f"{len(succeeded)} orders succeeded, {len(missing)} of them are missing; answers: {dict(statuses)}")
    return all(in_time) and not missing and set(statuses) <= {201, 503}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ht-") as name:
        let_through(Path(name))
        sys.exit(not asyncio.run(drill(Path(name))))
