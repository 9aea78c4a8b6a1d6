"""The supervisor of `hutong serve`: it starts the other processes and restarts those that die or fall silent."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http import HTTPStatus
from types import FrameType
from typing import Any

from hutong import config, db
from hutong.app.children import WATCH_EVERY_S, Child
from hutong.app.instance import Serving, fetch, name_listener, record_serving
from hutong.app.platform import configured_url
from hutong.config import Settings
from hutong.errors import ConfigurationError, HutongError
from hutong.telemetry import RareLine, configure_logging, get_logger

_READY_LIMIT_S = 60.0
_LOOK_AT_SERVER_EVERY_S = 2.0
_STOP_LIMIT_S = 15.0
_LOGINS = {f"HUTONG_{part}DATABASE_URL" for part in ("", "API_", "WORKER_", "CONSOLE_")}


class _Stop:
    """The end of the supervisor, asked for by a signal, or by the end of the process that it belongs to.

    While the platform starts, the work at hand is broken off by SystemExit; afterwards `asked` is set and nothing else.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._starting = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        if first and self._starting:
            sys.exit(0)

    def started(self) -> None:
        """From now on, nothing is broken off."""
        self._starting = False

    def follow_parent(self) -> None:
        """Stop when standard input, the line to the process that this one belongs to, ends."""

        def wait() -> None:
            while os.read(0, 1):
                pass
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, daemon=True).start()


def run_serve(*, sandbox: bool, supervised: bool = False) -> int:
    """Run all processes until SIGINT, SIGTERM or SIGHUP, and return the exit status.

    Args:
        supervised: Standard input is a line to the process that started this one; its end stops the platform too.
    """
    settings = config.load()
    configured_url(settings, None)  # it migrates with the owner's
    configure_logging(level=settings.log_level, output=settings.log_format)
    if sandbox:
        hold_sandbox(settings)
    listeners = {"api": listen(settings, settings.host, settings.port, "HUTONG_PORT")}
    chosen: dict[str, Any] = {"port": listeners["api"].getsockname()[1]}
    if sandbox:
        listeners["sandbox"] = listen(settings, settings.sandbox_host, settings.sandbox_port, "HUTONG_SANDBOX_PORT")
        chosen |= {"sandbox": True, "sandbox_port": listeners["sandbox"].getsockname()[1]}
    settings = settings.model_copy(update=chosen)
    sandbox_port = settings.sandbox_port if sandbox else None
    record_serving(settings, Serving(settings.host, settings.port, settings.sandbox_host, sandbox_port))
    children = _children(listeners, settings, config.environment(**chosen))
    embedded = (
        None if settings.database_url is not None else db.EmbeddedServer(settings.home, archive=settings.backup_folder)
    )
    stop = _Stop()
    try:
        if supervised:
            stop.follow_parent()
        for child in children:
            child.start()
        if embedded is not None:
            embedded.start()
        prepare_in_process(settings, sandbox_port=sandbox_port)
        stop.started()
        for child in children:
            child.release()
        threading.Thread(target=_announce, args=(settings, sandbox, stop.asked), daemon=True).start()
        _watch(children, embedded, stop.asked)
    finally:
        _end(children)
        if embedded is not None:
            embedded.leave()
    return 0


def _end(children: list[Child]) -> None:
    for child in children:
        child.stop()
    deadline = time.monotonic() + _STOP_LIMIT_S
    for child in children:
        child.wait(deadline)


def _watch(children: list[Child], embedded: db.EmbeddedServer | None, stopping: threading.Event) -> None:
    """Restart dead children, and the embedded database, until `stopping` is set."""
    refused = RareLine(get_logger(__name__), "error", "database_does_not_start")
    look_at = time.monotonic() + _LOOK_AT_SERVER_EVERY_S
    while not stopping.wait(WATCH_EVERY_S):
        if embedded is not None and time.monotonic() >= look_at:
            _bring_back(embedded, refused)
            look_at = time.monotonic() + _LOOK_AT_SERVER_EVERY_S
        for child in children:
            child.watch()


def _bring_back(embedded: db.EmbeddedServer, refused: RareLine) -> None:
    """Start the embedded database if it is gone; where it cannot start yet, as on a full disk, the next look does."""
    try:
        if embedded.pid() is None:
            embedded.start()
    except (HutongError, OSError) as error:
        refused.write(reason=str(error))


def hold_sandbox(settings: Settings) -> None:
    """Reserve the sandbox of a data folder for this process, until the process ends.

    Each channel has one sandbox account: a second sandbox would take it over and strand the payments of the first.
    """
    try:
        lock = config.home_folder(settings) / "sandbox.lock"
        fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"another process runs the sandbox of {settings.home}; stop it or use another folder", param="HUTONG_HOME"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"the data folder cannot be used: {error}", param="HUTONG_HOME") from error


def listen(settings: Settings, host: str, port: int, variable: str) -> socket.socket:
    """Listen in the supervisor, so that the address stays ours while a child is restarted.

    Errors:
        ConfigurationError: the address cannot be had; if it is taken, the message says by what.
    """
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"the port {port} of {host} is taken by {name_listener(settings, host, port)}"
            advice = "set HUTONG_PORT and HUTONG_SANDBOX_PORT to other ports, or to 0 for free ones"
            raise ConfigurationError(f"{reason}; {advice}", param=variable) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(
            f"the address {host}:{port} cannot be listened on: {reason}", param=variable
        ) from error
    return listener


def _children(listeners: dict[str, socket.socket], settings: Settings, environment: dict[str, str]) -> list[Child]:
    worker = _without_other_logins("worker", settings, environment)
    children = [Child("worker", [*_hutong(), "worker", "--supervised"], worker)]
    for name, listener in listeners.items():
        fd = listener.fileno()
        own = _without_other_logins(name, settings, environment)
        children.append(Child(name, [*_hutong(), name, "--fd", str(fd)], own, fds=(fd,), has_spare=name == "api"))
    return children


def _without_other_logins(part: str, settings: Settings, environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a part: one with a login of its own gets no other login to the database."""
    own = {"api": settings.api_database_url, "worker": settings.worker_database_url}.get(part)
    if own is None:
        return environment
    kept = f"HUTONG_{part.upper()}_DATABASE_URL"
    return {name: value for name, value in environment.items() if name not in _LOGINS or name == kept}


def _hutong() -> list[str]:
    return [sys.executable, "-m", "hutong"]


def _announce(settings: Settings, sandbox: bool, stopping: threading.Event) -> None:
    """Print the addresses once the platform is ready."""
    address = f"http://{settings.host}:{settings.port}"
    deadline = time.monotonic() + _READY_LIMIT_S
    while time.monotonic() < deadline and not stopping.is_set():
        try:
            if fetch(f"{address}/readyz")[0] == HTTPStatus.OK:
                break
        except OSError:
            pass
        time.sleep(0.02)
    else:
        return
    print(f"Hutong is ready: {address}  (API reference {address}/docs)", flush=True)
    if sandbox:
        print(f"The sandbox is at http://{settings.sandbox_host}:{settings.sandbox_port}", flush=True)


def prepare_in_process(settings: Settings, *, sandbox_port: int | None) -> None:
    """Run `hutong prepare` in a process of its own, so that its memory is freed before serving.

    Args:
        sandbox_port: Where the sandbox listens, to create channel accounts for it; None without a sandbox.

    Errors:
        SystemExit: the preparation failed, and has printed the reason.
    """
    command = [*_hutong(), "prepare"]
    if sandbox_port is not None:
        command += ["--sandbox-url", f"http://{settings.sandbox_host}:{sandbox_port}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    if status != 0:
        sys.exit(1)  # the process has printed the reason
