"""A whole Hutong in processes of its own on loopback, with the simulated channels beside it, to be broken from outside.

The simulated channels are a process that no campaign kills: their logs are the truth that everything is compared with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from hutong.app import is_working
from hutong.bench.rabbitmq import RabbitMQ
from hutong.db import EmbeddedServer
from hutong.demo.platform import free_port
from support.fakes.faulty_link import FaultyLink
from support.small_disk import small_disk

BROKEN = Path(__file__).parent / "broken"
_READY_LIMIT_S = 240.0
SOURCE = "campaign"


@dataclass(frozen=True, slots=True)
class Layout:
    """What lies between the processes.

    Attributes:
        database_link: The processes reach the database by a link that can be made faulty. The campaign then runs the
            server; otherwise `hutong serve` does, and restarts it.
        channel_link: The processes reach the channels by such a link.
        broker: All events are published to a RabbitMQ, which is reached by such a link.
        disk_mb: The size of the disk that holds the data folder: database, log and all; None: as large as it is.
        own_clock: The clock of Hutong's processes, but not those of the database and the channels, can be set.
        settings: Further settings of the installation, by the names of their variables.
        broken: The rule that is broken on purpose, a name of `broken/sitecustomize.py`.
    """

    database_link: bool = False
    channel_link: bool = False
    broker: bool = False
    disk_mb: int | None = None
    own_clock: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    broken: str = ""


class Installation:
    """A running installation. Enter it to start everything, leave it to end everything.

    Attributes:
        server: The embedded PostgreSQL.
        links: The links that can be made faulty, by what is behind them.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.layout = layout
        self.home = folder / "home"
        self._folder = folder
        self.rabbitmq: RabbitMQ | None = None
        self.port, self.sandbox_port = free_port(), free_port()
        self.server = EmbeddedServer(self.home)
        self.links: dict[str, FaultyLink] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HUTONG_")}
        self.environment = kept | {
            "HUTONG_HOME": str(self.home),
            "HUTONG_PORT": str(self.port),
            "HUTONG_PUBLIC_URL": self.address,
            "HUTONG_SANDBOX": "true",
            "HUTONG_SANDBOX_PORT": str(self.sandbox_port),
            "HUTONG_QUERY_CADENCE": "1,1,2,3",
            "HUTONG_LOG_LEVEL": "warning",
        }
        self.environment |= layout.settings
        if layout.own_clock:
            self.set_clock("+0")
            self.environment |= {"HUTONG_TEST_CLOCK": str(self._clock_file), "PYTHONPATH": str(BROKEN)}
        if layout.broken:
            self.environment |= {"HUTONG_TEST_BREAK": layout.broken, "PYTHONPATH": str(BROKEN)}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sandbox_address(self) -> str:
        """The channels' address for payers and for the oracle, never by a link."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def _clock_file(self) -> Path:
        return self._folder / "clock"

    def set_clock(self, shown: str) -> None:
        """Set the clock of Hutong's processes: "+300" is five minutes fast."""
        fresh = self._clock_file.with_suffix(".new")
        fresh.write_text(shown)
        fresh.replace(self._clock_file)

    @property
    def log(self) -> Path:
        return self.home / "serve.log"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Installation]:
        """Run the installation for the length of a block."""
        async with contextlib.AsyncExitStack() as stack:
            if self.layout.disk_mb is None:
                self.home.mkdir(mode=0o711)
            else:
                stack.enter_context(small_disk(self.home, size_kb=self.layout.disk_mb * 1024))
            stack.callback(self._end)
            await self._start_channels(stack)
            if self.layout.broker:
                await self._start_broker(stack)
            if self.layout.database_link:
                url = await asyncio.to_thread(self.server.start, keep=True)
                self.links["database"] = await stack.enter_async_context(FaultyLink(url))
                self.environment["HUTONG_DATABASE_URL"] = self.links["database"].url
            channels = self.links["channels"].url if self.layout.channel_link else self.sandbox_address
            await self.command("prepare", "--sandbox-url", channels)
            await self.start_serve()
            yield self

    async def command(self, *arguments: str) -> str:
        """Run `hutong …` and return what it prints."""
        status, text = await self._run(arguments)
        if status:
            raise RuntimeError(f"hutong {' '.join(arguments)} exited with {status}: {text}")
        return text

    async def complaint(self, *arguments: str) -> str:
        """Run a command that checks something; return what it complains about, "" if it exits with 0."""
        status, text = await self._run(arguments)
        return text if status else ""

    async def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hutong", *arguments, env=self.environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        printed, reason = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode() + (reason.decode() if process.returncode else "")

    async def create_merchant(self) -> str:
        """Create a merchant; return its key."""
        printed = await self.command("merchant", "create", "Example Store", "--fee-ppm", "6000", "--json")
        return str(json.loads(printed)["api_key"])

    async def start_serve(self) -> None:
        """Start `hutong serve` and wait until it is ready."""
        self._processes["serve"] = await self._start("serve", self.log)
        await self._until_answers(f"{self.address}/readyz", self._processes["serve"], self.log)

    async def database_url(self) -> str:
        """Return the server's own address, past any link."""
        return await asyncio.to_thread(self.server.start)

    # The processes, and their ends

    def pids(self, role: str) -> list[int]:
        """Return the living processes below the supervisor with this role: "api" or "worker"."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._processes["serve"].pid).children():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if is_working(child, role):
                        found.append(child.pid)
        return found

    def backends(self) -> list[int]:
        """Return the server's processes that serve a connection."""
        postmaster = self.server.pid()
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(postmaster).children() if postmaster else []:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if "hutong" in " ".join(child.cmdline()).split():
                        found.append(child.pid)
        return found

    def kill(self, pids: Sequence[int], number: int = signal.SIGKILL) -> bool:
        """Send a signal to processes; return whether there was any."""
        reached = False
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                reached = True
        return reached

    async def kill_everything(self) -> None:
        """Kill the supervisor, its children and the server at one moment, as a power failure would."""
        serve, postmaster = self._processes["serve"], self.server.pid()
        with contextlib.suppress(psutil.NoSuchProcess):
            tree = [child.pid for child in psutil.Process(serve.pid).children(recursive=True)]
            self.kill([serve.pid, *tree, *([postmaster] if postmaster else [])])
        await serve.wait()

    def versions(self) -> dict[str, str]:
        """Return what was under test."""
        done = self.server.binary("postgres").parent
        return {"python": sys.version.split()[0], "postgresql": done.parent.parent.name, "rule": self.layout.broken}

    # Beginning and end

    async def _start_channels(self, stack: contextlib.AsyncExitStack) -> None:
        log = self.home / "sandbox.log"
        self._processes["sandbox"] = await self._start("sandbox", log, "--speed", "20")
        await self._until_answers(f"{self.sandbox_address}/control", self._processes["sandbox"], log)
        if self.layout.channel_link:
            self.links["channels"] = await stack.enter_async_context(FaultyLink(self.sandbox_address))

    async def _start_broker(self, stack: contextlib.AsyncExitStack) -> None:
        place = self._folder / "rabbitmq"
        place.mkdir()
        self.rabbitmq = RabbitMQ(place)
        stack.callback(self.rabbitmq.close)
        await asyncio.to_thread(self.rabbitmq.start)
        self.links["broker"] = await stack.enter_async_context(FaultyLink(self.rabbitmq.url))
        self.environment["HUTONG_BROKER_URL"] = self.links["broker"].url
        self.environment["HUTONG_EVENT_SOURCE"] = SOURCE

    async def _start(self, command: str, log: Path, *arguments: str) -> asyncio.subprocess.Process:
        environment = dict(self.environment)
        if command == "sandbox":
            environment.pop("HUTONG_TEST_CLOCK", None)  # the channels have a clock of their own
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hutong", command, *arguments, env=environment,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    async def _until_answers(self, url: str, process: asyncio.subprocess.Process, log: Path) -> None:
        async with asyncio.timeout(_READY_LIMIT_S):
            while not await asyncio.to_thread(answers, url):
                if process.returncode is not None:
                    end = await asyncio.to_thread(log.read_text)
                    raise RuntimeError(f"it did not start; the end of {log}:\n{end[-3000:]}")
                await asyncio.sleep(0.1)

    def _end(self) -> None:
        """Leave nothing behind, whatever has happened."""
        for process in self._processes.values():
            if process.returncode is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    tree = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
                    self.kill([process.pid, *tree])
        try:
            self.server.stop(unless_used=False)
        except Exception:  # noqa: BLE001 - it is in no state to be stopped in order
            self.kill([pid for pid in [self.server.pid()] if pid is not None])


def answers(url: str) -> bool:
    """Return whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def machine() -> dict[str, Any]:
    """Return what the figures of a report depend on."""
    return {"cores": psutil.cpu_count(), "load": [round(load, 2) for load in psutil.getloadavg()]}
