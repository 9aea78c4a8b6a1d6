"""A running platform for the demonstration: the one that already runs, or a new one."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

from hutong import app
from hutong.errors import ConfigurationError, Unavailable

_READY_LIMIT_S = 90.0


class RunningPlatform:
    """`hutong serve --sandbox` as a child process, or the platform that already listens.

    Args:
        own: Start a new one on free ports even if the configured ports answer; a configured port 0 does the same.
    """

    def __init__(self, settings: app.Settings, *, own: bool = False) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        own = own or 0 in (settings.port, settings.sandbox_port)
        if own or not _answers(self.address, self.sandbox_address):
            self._start(free_ports=own)

    @property
    def address(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    @property
    def sandbox_address(self) -> str:
        return f"http://{self.settings.sandbox_host}:{self.settings.sandbox_port}"

    @property
    def pid(self) -> int | None:
        """The supervisor's process id, if this object started it."""
        return None if self._process is None else self._process.pid

    def processes(self) -> dict[str, list[int]]:
        """Return the living processes below the supervisor, if this object started it, by role.

        Those that only wait to replace one are left out.
        """
        pids: dict[str, list[int]] = {}
        for child in [] if self._process is None else psutil.Process(self._process.pid).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                for name in ("api", "worker", "sandbox"):
                    if app.is_working(child, name):
                        pids.setdefault(name, []).append(child.pid)
        return pids

    def wait(self) -> int:
        """Wait until the platform ends, if this object started it."""
        return 0 if self._process is None else self._process.wait()

    def stop(self) -> None:
        """Stop the platform if this object started it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)

    def _start(self, *, free_ports: bool) -> None:
        if free_ports:
            chosen = {"port": free_port(), "sandbox_port": free_port()}
            self.settings = self.settings.model_copy(update=chosen)
        environment = app.environment(
            home=self.settings.home,
            port=self.settings.port,
            sandbox_port=self.settings.sandbox_port,
            log_level=self.settings.log_level,
        )
        try:
            log = app.home_folder(self.settings) / "serve.log"
            output = log.open("ab")
        except OSError as error:
            raise ConfigurationError(f"the data folder cannot be used: {error}", param="HUTONG_HOME") from error
        with output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hutong", "serve", "--sandbox"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
            )  # fmt: skip
        self._wait_until_ready(log)

    def _wait_until_ready(self, log: Path) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _READY_LIMIT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if _answers(self.address, self.sandbox_address):
                return
            time.sleep(0.05)
        self.stop()
        raise Unavailable(f"the platform did not start; the end of {log}:\n{log.read_text()[-2000:]}")


def _answers(address: str, sandbox_address: str) -> bool:
    try:
        for url in (f"{address}/readyz", f"{sandbox_address}/control"):
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own addresses
                pass
    except (OSError, urllib.error.URLError):
        return False
    return True


def free_port() -> int:
    """Return a port without a listener, below the range of outgoing connections.

    A port of that range could be taken by an outgoing connection before the server listens.
    """
    for port in random.sample(range(20_000, 32_000), 50):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise Unavailable("no free port between 20000 and 32000")
