"""The embedded PostgreSQL 18: a real server in the data folder, from the binaries of a wheel.

Files below the home folder:

    postgres/data       the cluster (0700, SCRAM, checksums)
    postgres/run        its socket, unless the path does not suit one
    postgres/log        what the server says
    postgres.json       where the three are, and the password (0600)
    postgres.lock       held while the server is started or stopped
    postgres.users      held, shared, by every process that uses the server; the last one to leave stops it
    postgres.kept       there while the server keeps running without a user

Started as root, the server runs as the system user `hutong`. If that user cannot reach the home folder or the
binaries (a home directory of mode 0700), they live under /var/lib/hutong instead; nobody's permissions are widened.
The home folder may be moved while the server is down.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlencode

from hutong.db import embedded_system as system
from hutong.errors import ConfigurationError, Unavailable

START_LIMIT_S = 600
_START_TRIES = 5
_ISREADY_LIMIT_S = "3"
_STOP = ("pg_ctl", "stop", "-D", "data", "-m", "fast", "-w", "-t", str(START_LIMIT_S))

_SOCKET_FOLDER = re.compile(r"[A-Za-z0-9/._+-]{1,88}")
"""What a socket's folder may look like: the kernel takes 108 bytes (macOS 104) with the socket's own name, and the
path passes through a list of PostgreSQL's own and a URL."""

_SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one embedded server lives."""

    folder: Path
    socket_folder: Path
    password: str

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"


class EmbeddedServer:
    """The server of one home folder. Any number of processes may hold one of these at once.

    Args:
        home: The data folder; made with mode 0700 if absent (0711 as root, for the server's own user to pass).
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().absolute()
        self._users: int | None = None  # a bare descriptor: whoever drops this object still uses the server

    def start(self, *, keep: bool = False) -> str:
        """Find the running server or start it, and return its URL.

        A crash of the server, of this process or of the machine needs no other step than this one.

        Args:
            keep: If it is not running yet, let it run until `stop`, whoever else uses and leaves it.

        Errors:
            Unavailable: it does not start; the last lines of its log are in the message.
            ConfigurationError: the data folder cannot be used, or the system user cannot be made.
        """
        try:
            self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            with self._locked():
                place = self._place()
                if not self._answers(place):
                    try:
                        place = self._bring_up(place)
                    except (KeyboardInterrupt, SystemExit):
                        # The signal does not reach the server, and who has not begun to use it will not leave it.
                        self._stop(unless_used=True, unless_kept=False)
                        raise
                    self._mark_kept(keep)
                if self._users is None:
                    self._users = os.open(self.home / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                return self._url(place)
        except OSError as error:
            raise ConfigurationError(f"the data folder cannot be used: {error}", param="HUTONG_HOME") from error

    def leave(self) -> None:
        """Give up the use of the server. The last to leave it stops it, unless it is to be kept running."""
        if self._users is not None:
            # What was done with the server is done: that it cannot be stopped is no failure of that.
            with suppress(OSError, Unavailable):
                self._end(unless_used=True, unless_kept=True)

    def stop(self, *, unless_used: bool = True) -> bool:
        """Stop the server after a checkpoint.

        Args:
            unless_used: Leave it running while another process uses it.

        Returns:
            Whether the server is down now.
        """
        return self._end(unless_used=unless_used, unless_kept=False)

    def _end(self, *, unless_used: bool, unless_kept: bool) -> bool:
        if self._users is not None:
            os.close(self._users)
            self._users = None
        if not self._known():
            return True
        with self._locked():
            return self._stop(unless_used=unless_used, unless_kept=unless_kept)

    def _stop(self, *, unless_used: bool, unless_kept: bool) -> bool:
        place = self._place()
        if not place.data.exists():
            return True
        if not system.postgres_processes(place.data).server and not self._answers(place):
            return True
        with _open_private(self.home / "postgres.users") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if unless_used:
                    return False
            if unless_kept and self._kept.exists():
                return False
            self._must(place, *_STOP)
        return True

    def running(self) -> bool:
        """Whether the server of this home folder answers."""
        return self._known() and (place := self._place()).data.exists() and self._answers(place)

    def pid(self) -> int | None:
        """The process id of the server while it lives; a cheaper question than `running`."""
        servers = system.postgres_processes(self._place().data).server if self._known() else []
        return servers[0].pid if servers else None

    def binary(self, name: str) -> Path:
        """The path of one of the server's programs, such as `pgbench` or `psql`."""
        return system.binaries() / name

    # The place

    @property
    def _kept(self) -> Path:
        return self.home / "postgres.kept"

    def _mark_kept(self, keep: bool) -> None:
        if keep:
            self._kept.touch()
        else:
            self._kept.unlink(missing_ok=True)

    def _known(self) -> bool:
        return (self.home / "postgres.json").exists()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Python opens files close-on-exec, so no server ever holds this lock; it ends with this process.
        with _open_private(self.home / "postgres.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self) -> _Place:
        file = self.home / "postgres.json"
        if file.exists():
            try:
                kept = json.loads(file.read_text())
                return _Place(self.home / kept["folder"], self.home / kept["socket_folder"], kept["password"])
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(f"{file} cannot be read; restore it from a backup") from error
        folder = self._make_folder()
        if (folder / "data").exists():
            raise ConfigurationError(f"{file} is missing beside an existing database; restore it from a backup")
        return self._keep(_Place(folder, folder / "run", secrets.token_urlsafe(32)))

    def _keep(self, place: _Place) -> _Place:
        def portable(path: Path) -> str:
            return str(path.relative_to(self.home) if path.is_relative_to(self.home) else path)

        kept = {
            "folder": portable(place.folder),
            "socket_folder": portable(place.socket_folder),
            "password": place.password,
        }
        _write_private(self.home / "postgres.json", json.dumps(kept, indent=2))
        return place

    def _make_folder(self) -> Path:
        folder = self.home / "postgres"
        folder.mkdir(mode=0o700, exist_ok=True)
        user = system.server_user()
        if user is None:
            return folder
        os.chown(folder, user.pw_uid, user.pw_gid)
        if system.reaches(user, folder):
            return folder
        folder.rmdir()
        folder = system.system_folder() / f"server-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        os.chown(folder, user.pw_uid, user.pw_gid)
        return folder

    def _with_socket_folder(self, place: _Place) -> _Place:
        """The same place, with a socket folder that exists, suits a socket, and belongs to the server alone."""
        user = system.server_user()
        owner = os.geteuid() if user is None else user.pw_uid
        folder = place.socket_folder
        if _SOCKET_FOLDER.fullmatch(str(folder)):
            with suppress(OSError):  # it exists, or its parent is gone
                folder.mkdir(mode=0o700)
                os.chown(folder, owner, -1)
            if _is_private(folder, owner):
                return place
        short = "/tmp" if user is None else system.system_folder()  # noqa: S108 - mkdtemp makes it ours alone
        folder = Path(tempfile.mkdtemp(prefix="hutong-", dir=short))
        os.chown(folder, owner, -1)
        return self._keep(replace(place, socket_folder=folder))

    @staticmethod
    def _url(place: _Place) -> str:
        query = urlencode({"host": str(place.socket_folder)})
        return f"postgresql://postgres:{quote(place.password)}@/hutong?{query}"

    # The server

    def _answers(self, place: _Place) -> bool:
        ready = self._run(place, "pg_isready", "-q", "-h", str(place.socket_folder), "-t", _ISREADY_LIMIT_S)
        return ready.returncode == 0

    def _bring_up(self, place: _Place) -> _Place:
        if not place.data.exists():
            self._initialize(place)
        output = ""
        for attempt in range(_START_TRIES):
            # More than one, because a program started by a process that was killed may still be at work.
            time.sleep(attempt * 0.2)
            self._settle(place)
            if self._answers(place):
                return place
            place = self._with_socket_folder(place)
            system.rotate(place.log)
            started = self._run(
                place, "pg_ctl", "start", "-D", "data", "-l", "log", "-w", "-t", str(START_LIMIT_S),
                "-o", f"-k {shlex.quote(str(place.socket_folder))}",
            )  # fmt: skip
            if started.returncode == 0:
                return place
            output = started.stdout
        raise Unavailable(f"the embedded PostgreSQL does not start:\n{output}\n{system.tail(place.log)}")

    def _settle(self, place: _Place) -> None:
        """Wait for a live server to answer or to end; clear away what outlived a dead one."""
        socket = place.socket_folder / ".s.PGSQL.5432"
        deadline = time.monotonic() + START_LIMIT_S
        while (processes := system.postgres_processes(place.data)).server:
            if self._answers(place):
                return
            if time.monotonic() > deadline:
                raise Unavailable("the embedded PostgreSQL is there but does not answer")
            if system.says_ready(place.data / "postmaster.pid") and not socket.exists():
                # A cleaner of temporary folders took the socket away; only a new start makes another.
                self._must(place, *_STOP)
            time.sleep(0.1)
        system.end(processes.children)
        for file in (place.data / "postmaster.pid", socket.with_name(".s.PGSQL.5432.lock")):
            system.remove_stale(file)

    def _initialize(self, place: _Place) -> None:
        # Each attempt has a folder of its own: the initdb of a starter that was killed may still write to its own.
        for leftover in place.folder.glob("data.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in place.folder.glob("initdb-*"):
            leftover.unlink(missing_ok=True)
        fresh = place.folder / f"data.{secrets.token_hex(4)}"
        settings = [f"--set={name}={value}" for name, value in _SERVER_SETTINGS.items()]
        with tempfile.NamedTemporaryFile("w", dir=place.folder, prefix="initdb-") as password:
            password.write(place.password)
            password.flush()
            if (user := system.server_user()) is not None:
                os.fchown(password.fileno(), user.pw_uid, user.pw_gid)
            self._must(
                place, "initdb", "-D", fresh.name, "-A", "scram-sha-256", "-k", "-U", "postgres", "-E", "UTF8",
                "--no-locale", f"--pwfile={Path(password.name).name}", *settings,
            )  # fmt: skip
        # The database is made before the cluster is in its place, so that no crash leaves one without the other.
        self._must(
            place, "postgres", "--single", "-D", fresh.name, "-c", "exit_on_error=on", "postgres",
            typed="CREATE DATABASE hutong\n",
        )  # fmt: skip
        fresh.rename(place.data)
        _sync_folder(place.folder)

    def _must(self, place: _Place, program: str, *arguments: str, typed: str = "") -> None:
        done = self._run(place, program, *arguments, typed=typed)
        if done.returncode != 0:
            raise Unavailable(f"{program} failed: {done.stdout.strip()[-2000:]}")

    @staticmethod
    def _run(place: _Place, program: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        # Paths are given relative to the server's folder: pg_ctl and initdb pass them to a shell unquoted.
        user = system.server_user()
        command = [str(system.reachable_binaries(user) / program), *arguments]
        # The server outlives us and inherits what it is given, so it gets files and not our pipes.
        with tempfile.TemporaryFile() as entry, tempfile.TemporaryFile() as output:
            entry.write(typed.encode())
            entry.seek(0)
            done = subprocess.run(
                command, stdin=entry, stdout=output, stderr=output, cwd=place.folder, check=False,
                start_new_session=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                **system.as_user(user),
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read().decode(errors="replace"))


def _open_private(path: Path) -> IO[bytes]:
    """Open a file to lock it; nobody else may, for a lock needs no more than a look."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def _write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is there whole or not at all, even after a power cut."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_private(folder: Path, owner: int) -> bool:
    """Whether this is a folder, not a link, that `owner` has for itself."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not status.st_mode & 0o077
