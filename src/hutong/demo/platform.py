"""A running platform for the demonstration: the one that already runs, or a new one."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path

import psutil

from hutong import app
from hutong.errors import ConfigurationError, HutongError, Unavailable

_READY_LIMIT_S = 90.0
_STOP_LIMIT_S = 60.0


class RunningPlatform:
    """`hutong serve --sandbox` as a child process, or the platform of the same data folder that already runs.

    The child process ends with this one, however this one ends.

    Args:
        own: Start a new one on free ports even if one runs; a configured port 0 takes free ports too.

    Attributes:
        was_running: Whether this object found the platform and did not start it.

    Errors:
        ConfigurationError, Unavailable: the platform does not start; the detail is the reason that it printed.
    """

    def __init__(self, settings: app.Settings, *, own: bool = False) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        running = None if own else app.find_serving(settings)
        self.was_running = running is not None
        if running is None:
            self._start(free_ports=own or 0 in (settings.port, settings.sandbox_port))
            return
        if running.sandbox_port is None:
            raise ConfigurationError(
                f"Hutong runs in {settings.home} without simulated channels; stop it first", param="HUTONG_HOME"
            )
        self.settings = settings.model_copy(update=asdict(running))
        self._wait_until_ready()

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
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()  # which ends it too
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its children notice, and end
                self._process.wait()

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
            start_of_log = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hutong", "serve", "--sandbox", "--supervised"],
                stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment,
            )  # fmt: skip
        try:
            is_ready = self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        if not is_ready:
            self.stop()
            with log.open("rb") as file:
                file.seek(start_of_log)
                raise _reason(file.read().decode(errors="replace"), log)

    def _wait_until_ready(self) -> bool:
        """Wait until the platform answers; return False if the process that was started ends before.

        Errors:
            Unavailable: it does not answer for too long.
        """
        deadline = time.monotonic() + _READY_LIMIT_S
        identifier = str(app.machine_id(app.home_folder(self.settings)))
        while not _answers(self.address, self.sandbox_address, identifier):
            if self._process is not None and self._process.poll() is not None:
                return False
            if time.monotonic() > deadline:
                raise Unavailable(f"the platform does not answer at {self.address}")
            time.sleep(0.05)
        return True


def _reason(log: str, path: Path) -> HutongError:
    """Return why the platform did not start, from what it wrote into its log."""
    problems = re.findall(r"^hutong: (\w+): (.*)$", log, re.MULTILINE)
    if not problems:
        return Unavailable(f"the platform did not start; the end of {path}:\n{log[-2000:]}")
    code, detail = problems[-1]
    return ConfigurationError(detail) if code == ConfigurationError.code else Unavailable(detail)


def _answers(address: str, sandbox_address: str, identifier: str) -> bool:
    """Return whether the platform of this installation is ready, and its sandbox."""
    try:
        status, body = app.fetch(f"{address}/readyz")
        if status != HTTPStatus.OK or json.loads(body).get("installation") != identifier:
            return False
        return app.fetch(f"{sandbox_address}/control")[0] == HTTPStatus.OK
    except (OSError, ValueError, AttributeError):
        return False


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
