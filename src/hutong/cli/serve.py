"""Running the platform: a small supervisor and the processes below it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hutong import config, db
from hutong.config import Settings
from hutong.errors import ConfigurationError, Unavailable

_READY_LIMIT_S = 60.0
_WATCH_EVERY_S = 0.2
_LOOK_AT_SERVER_EVERY_S = 2.0
_STOP_LIMIT_S = 15.0
_RESTART_PAUSE_MAX_S = 5.0


@dataclass(slots=True)
class _Child:
    """One process of ours. Its standard input is a pipe from us: it waits there until it may begin, and when we die
    it reads the end and stops."""

    name: str
    command: list[str]
    environment: dict[str, str]
    fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    not_before: float = 0.0
    started_at: float = field(default=0.0)

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, pass_fds=self.fds, env=self.environment)

    def release(self) -> None:
        """Let it begin: it has loaded its program while the database was made ready."""
        assert self.process is not None
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()

    def watch(self) -> None:
        """Start again what has died: at once the first time, later the more often it happens."""
        if self.process is not None and self.process.poll() is None:
            return
        now = time.monotonic()
        if self.process is not None:
            self._bury(now)
        if now >= self.not_before:
            self.start()
            self.release()

    def _bury(self, now: float) -> None:
        assert self.process is not None
        print(f"hutong: {self.name} ended with status {self.process.returncode}; starting it again", file=sys.stderr)
        self.failures = 0 if now - self.started_at > 10 else self.failures + 1
        pause = 0.0 if self.failures == 0 else min(0.1 * 2**self.failures, _RESTART_PAUSE_MAX_S)
        self.not_before = now + pause
        self._close()
        self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


def run_serve(*, sandbox: bool) -> int:
    """Run everything until SIGINT or SIGTERM; returns the exit status."""
    settings = config.load()
    if sandbox:
        _hold_sandbox(settings)
    listeners = {"api": _listen(settings.host, settings.port, "HUTONG_PORT")}
    chosen: dict[str, Any] = {"port": listeners["api"].getsockname()[1]}
    if sandbox:
        listeners["sandbox"] = _listen(settings.sandbox_host, settings.sandbox_port, "HUTONG_SANDBOX_PORT")
        chosen |= {"sandbox": True, "sandbox_port": listeners["sandbox"].getsockname()[1]}
    settings = settings.model_copy(update=chosen)
    environment = config.environment(**chosen)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    children = _children(listeners, environment)
    for child in children:
        child.start()
    embedded = None if settings.database_url is not None else db.EmbeddedServer(settings.home)
    try:
        if embedded is not None:
            embedded.start()
        prepare(settings, sandbox_port=settings.sandbox_port if sandbox else None)
        for child in children:
            child.release()
        threading.Thread(target=_announce, args=(settings, sandbox, stopping), daemon=True).start()
        _watch(children, embedded, stopping)
    finally:
        for child in children:
            child.stop()
        deadline = time.monotonic() + _STOP_LIMIT_S
        for child in children:
            child.wait(deadline)
        if embedded is not None:
            embedded.leave()
    return 0


def _watch(children: list[_Child], embedded: db.EmbeddedServer | None, stopping: threading.Event) -> None:
    """Start again what has died, the database too, until told to stop."""
    look_at = time.monotonic() + _LOOK_AT_SERVER_EVERY_S
    while not stopping.wait(_WATCH_EVERY_S):
        if embedded is not None and time.monotonic() >= look_at:
            look_at = time.monotonic() + _LOOK_AT_SERVER_EVERY_S
            if embedded.pid() is None:
                embedded.start()
        for child in children:
            child.watch()


def _hold_sandbox(settings: Settings) -> None:
    """Keep the sandbox of a data folder to this process until it ends.

    There is one account for it: a second sandbox would take it over and leave the payments of the first without theirs.
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


def _listen(host: str, port: int, variable: str) -> socket.socket:
    """Listen here, so that the address stays ours while a process below is started again."""
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}", param=variable) from error
    return listener


def _children(listeners: dict[str, socket.socket], environment: dict[str, str]) -> list[_Child]:
    children = [_Child("worker", [*_hutong(), "worker", "--supervised"], environment)]
    for name, listener in listeners.items():
        fd = listener.fileno()
        children.append(_Child(name, [*_hutong(), name, "--fd", str(fd)], environment, fds=(fd,)))
    return children


def _hutong() -> list[str]:
    return [sys.executable, "-m", "hutong"]


def _announce(settings: Settings, sandbox: bool, stopping: threading.Event) -> None:
    """Say that the platform is ready, once it is."""
    address = f"http://{settings.host}:{settings.port}"
    deadline = time.monotonic() + _READY_LIMIT_S
    while time.monotonic() < deadline and not stopping.is_set():
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=2):  # noqa: S310 - our own address
                break
        except OSError:
            time.sleep(0.02)
    else:
        return
    print(f"Hutong is ready: {address}  (API reference {address}/docs)", flush=True)
    if sandbox:
        print(f"The sandbox is at http://{settings.sandbox_host}:{settings.sandbox_port}", flush=True)


# The processes


def run_api(fd: int) -> None:
    """Serve HTTP on an inherited socket."""
    import uvicorn

    from hutong.cli.web import build

    _await_release()
    options = uvicorn.Config(
        build(config.load()),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=10,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(options)

    async def serve() -> None:
        _stop_with_parent(asyncio.get_running_loop(), lambda: setattr(server, "should_exit", True))
        await server.serve(sockets=[socket.socket(fileno=fd)])

    _run(serve())


def run_worker(*, supervised: bool) -> None:
    """Work until told to stop.

    Args:
        supervised: Started by `serve`; standard input is its pipe.
    """
    import prometheus_client

    from hutong import app

    settings = config.load()
    if supervised:
        _await_release()

    async def serve() -> None:
        stop = _stop_event(supervised=supervised)
        if settings.worker_port is not None:
            prometheus_client.start_http_server(settings.worker_port, addr=settings.host)
        async with app.open_platform(settings) as platform:
            await app.work(platform, stop)

    _run(serve())


def run_sandbox(speed: float, fd: int | None) -> None:
    """Simulate channels until told to stop.

    Args:
        speed: Divides the waits between notification tries.
        fd: A listening socket inherited from `serve`; without one the configured port is taken.
    """
    from hutong import sandbox

    settings = config.load()
    if fd is None:
        _hold_sandbox(settings)
        listener = _listen(settings.sandbox_host, settings.sandbox_port, "HUTONG_SANDBOX_PORT")
        prepare(settings, sandbox_port=listener.getsockname()[1])
        print(f"The sandbox is at http://{settings.sandbox_host}:{listener.getsockname()[1]}", flush=True)
    else:
        listener = socket.socket(fileno=fd)
        _await_release()

    async def serve() -> None:
        stop = _stop_event(supervised=fd is not None)
        running = sandbox.SandboxSettings(settings.home / "sandbox", speed=speed)
        async with sandbox.serve(running, sock=listener):
            await stop.wait()

    _run(serve())


def prepare(settings: Settings, *, sandbox_port: int | None) -> None:
    """Migrate and, for the sandbox, have channel accounts that point at it.

    In a process of its own: what this needs in memory is not needed afterwards.
    """
    command = [*_hutong(), "prepare"]
    if sandbox_port is not None:
        command += ["--sandbox-url", f"http://{settings.sandbox_host}:{sandbox_port}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def run_prepare(sandbox_url: str | None) -> None:
    """The process that `prepare` starts."""
    from hutong import app, db, events, sandbox

    settings = config.load()

    async def get_ready() -> None:
        async with app.open_platform(settings) as platform:
            await app.keep_books(platform)  # partitions must lie ready before the first transfer
            await events.make_partitions(platform.database, now=platform.clock.now())
            await platform.accounts.refresh()  # loads the code maps that ship with this version
            if sandbox_url is not None:
                accounts = sandbox.accounts(settings.home / "sandbox", sandbox_url)
                await app.ensure_sandbox_accounts(platform, accounts)

    with app.using_database(settings) as url:
        db.migrate(url)
        own = app.query_database_url(settings)
        if own is not None:
            try:
                db.migrate(own, rooms=app.QUERY_ROOMS)
            except Unavailable as error:  # payments do not wait for bills; the worker does it once it can
                print(f"hutong: bills' database is away: {error.detail}", file=sys.stderr)
        _run(get_ready())


def _stop_event(*, supervised: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if supervised:
        _stop_with_parent(loop, stop.set)
    return stop


def _await_release() -> None:
    """Wait until the supervisor lets us begin; end if it ends before."""
    if not os.read(0, 1):
        sys.exit(0)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stop: Any) -> None:
    """Stop when standard input, the pipe that `serve` gave us, comes to its end."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        loop.call_soon_threadsafe(stop)

    threading.Thread(target=wait, daemon=True).start()


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)
