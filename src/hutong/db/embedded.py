"""The embedded PostgreSQL 18: a full server in the data folder, run from the binaries of a wheel.

Files below the home folder:

    postgres/data       the cluster (0700, SCRAM, checksums)
    postgres/run        its socket, unless the path is unsuitable for one
    postgres/log        the log of the server
    postgres.json       the paths of these three, and the password (0600)
    postgres.lock       locked while the server is started or stopped
    postgres.users      locked, shared, by each process that uses the server; the last one to leave stops it
    postgres.kept       exists while the server is to keep running without a user
    postgres.restoring  exists while a backup is restored; the server does not start

Started as root, the server runs as the system user `hutong`. If that user cannot reach the home folder or the
binaries (a home directory of mode 0700), they live under /var/lib/hutong instead; nobody's permissions are widened.
The home folder may be moved while the server is down.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from hutong.db import embedded_system as system
from hutong.db.embedded_archive import choose_archive, server_options
from hutong.db.embedded_files import (
    Place,
    is_private,
    open_private,
    read_place,
    store_place,
)
from hutong.db.pool import API_ROLE, WORKER_ROLE
from hutong.db.roles import provide_logins
from hutong.durable_files import sync_folder
from hutong.errors import ConfigurationError, Conflict, Unavailable

START_LIMIT_S = 600
_START_ATTEMPTS = 5
_ISREADY_LIMIT_S = "3"
_STOP = ("pg_ctl", "stop", "-D", "data", "-m", "fast", "-w", "-t", str(START_LIMIT_S))

_SOCKET_FOLDER = re.compile(r"[A-Za-z0-9/._+-]{1,88}")
"""A suitable path of a socket's folder: the kernel takes 108 bytes (macOS 104) including the socket's name, and the
path passes through a list of PostgreSQL's and a URL."""

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


LOGINS = (API_ROLE, WORKER_ROLE)
"""The parts that log in to the embedded server as themselves."""


def _password_of(place: Place, role: str) -> str:
    return hmac.digest(place.password.encode(), role.encode(), hashlib.sha256).hex()


class EmbeddedServer:
    """The server of one home folder. Any number of processes may use such an object at once.

    Args:
        home: The data folder; created with mode 0700 if absent (0711 as root, so that the server's user can pass).
        archive: The backup folder to which a server that this object starts archives its write-ahead log; "off" for
            none; by default the one that was last named for this home folder.
    """

    def __init__(self, home: Path, *, archive: Path | Literal["off"] | None = None) -> None:
        self.home = home.expanduser().absolute()
        self._archive = archive
        self._users: int | None = None  # a bare descriptor: a process that drops this object still uses the server

    def start(self, *, keep: bool = False) -> str:
        """Find the running server or start it, and return its URL.

        This is the only step needed after a crash of the server, of this process or of the machine.

        Args:
            keep: If this call starts the server, let it run until `stop`, regardless of its users.

        Errors:
            Unavailable: the server does not start; the message has the last lines of its log.
            ConfigurationError: the data folder cannot be used, or the system user cannot be created.
        """
        try:
            self._make_home()
            with self._locked():
                place = self._place()
                self._refuse_interrupted_restore()
                if not self._answers(place):
                    try:
                        place = self._bring_up(place, keep=keep)
                    except (KeyboardInterrupt, SystemExit):
                        # The signal does not reach the server, and this process, not yet a user, will not leave it.
                        self._stop(unless_used=True, unless_kept=False)
                        raise
                if self._users is None:
                    self._users = os.open(self.home / "postgres.users", os.O_RDWR | os.O_CREAT, 0o600)
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                return self._url(place)
        except OSError as error:
            raise ConfigurationError(f"the data folder cannot be used: {error}", param="HUTONG_HOME") from error

    def leave(self) -> None:
        """End the use of the server. The last user stops it, unless it is to keep running."""
        if self._users is not None:
            # The work on the server is done: a failure to stop the server is no failure of the work.
            with suppress(OSError, Unavailable):
                self._end(unless_used=True, unless_kept=True)

    def stop(self, *, unless_used: bool = True) -> bool:
        """Stop the server after a checkpoint.

        Args:
            unless_used: Leave it running while another process uses it.

        Returns:
            Whether the server is now down.
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
        with open_private(self.home / "postgres.users") as users:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if unless_used:
                    return False
            if unless_kept and self._kept.exists():
                return False
            self.run_checked(place, *_STOP)
        return True

    @contextmanager
    def offline(self) -> Iterator[Place]:
        """Keep the server down for a block, and yield the place of its files, which is recorded by then.

        Errors:
            Conflict: the server runs, or a process uses it.
        """
        self._make_home()
        with self._locked():
            place = self._place()
            with open_private(self.home / "postgres.users") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    used = bool(system.postgres_processes(place.data).server)
                except BlockingIOError:
                    used = True
            if used:
                raise Conflict(f"the server of {self.home} runs; stop Hutong, then `hutong db stop`")
            yield self._with_socket_folder(place)

    def running(self) -> bool:
        """Return whether the server of this home folder answers."""
        return self._known() and (place := self._place()).data.exists() and self._answers(place)

    def pid(self) -> int | None:
        """Return the process id of a living server; cheaper than `running`."""
        servers = system.postgres_processes(self._place().data).server if self._known() else []
        return servers[0].pid if servers else None

    def binary(self, name: str) -> Path:
        """Return the path of one of the server's programs, such as `pgbench` or `psql`."""
        return system.binaries() / name

    # The place

    @property
    def restoring(self) -> Path:
        """The file that exists while a backup is restored."""
        return self.home / "postgres.restoring"

    @property
    def _kept(self) -> Path:
        return self.home / "postgres.kept"

    def _mark_kept(self, keep: bool) -> None:
        if keep:
            self._kept.touch()
        else:
            self._kept.unlink(missing_ok=True)

    def _make_home(self) -> None:
        self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)

    def _known(self) -> bool:
        return (self.home / "postgres.json").exists()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Python opens files close-on-exec, so no server ever holds this lock; it ends with this process.
        with open_private(self.home / "postgres.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self) -> Place:
        if (place := read_place(self.home)) is not None:
            return place
        folder = self._make_folder()
        if (folder / "data").exists():
            file = self.home / "postgres.json"
            raise ConfigurationError(f"{file} is missing beside an existing database; restore it from a backup")
        return store_place(self.home, Place(folder, folder / "run", secrets.token_urlsafe(32)))

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
        system.remove_interrupted()
        folder = system.system_folder() / f"server-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        os.chown(folder, user.pw_uid, user.pw_gid)
        return folder

    def _with_socket_folder(self, place: Place) -> Place:
        """Return the place with a socket folder that exists, is suitable, and belongs to the server alone."""
        user = system.server_user()
        owner = os.geteuid() if user is None else user.pw_uid
        folder = place.socket_folder
        if _SOCKET_FOLDER.fullmatch(str(folder)):
            with suppress(OSError):  # the folder exists, or its parent is gone
                folder.mkdir(mode=0o700)
                os.chown(folder, owner, -1)
            if is_private(folder, owner):
                return place
        short = "/tmp" if user is None else system.system_folder()  # noqa: S108 - mkdtemp creates a private folder
        folder = Path(tempfile.mkdtemp(prefix="hutong-", dir=short))
        os.chown(folder, owner, -1)
        return store_place(self.home, replace(place, socket_folder=folder))

    @staticmethod
    def _url(place: Place, role: str = "postgres", password: str | None = None) -> str:
        query = urlencode({"host": str(place.socket_folder)})
        return f"postgresql://{role}:{quote(password or place.password)}@/hutong?{query}"

    def login_url(self, role: str) -> str:
        """Return the URL with which a part of the platform logs in as its role, once `provide_logins` has run."""
        place = self._place()
        return self._url(place, role, _password_of(place, role))

    def provide_logins(self) -> None:
        """Let the parts that serve log in as their roles on the running, migrated server.

        Such a connection cannot take the owner's rights, whatever it is made to execute.
        """
        place = self._place()
        provide_logins(self._url(place), {role: _password_of(place, role) for role in LOGINS})

    # The server

    def _answers(self, place: Place) -> bool:
        ready = self.run(place, "pg_isready", "-q", "-h", str(place.socket_folder), "-t", _ISREADY_LIMIT_S)
        return ready.returncode == 0

    def _refuse_interrupted_restore(self) -> None:
        if self.restoring.exists():
            raise ConfigurationError(
                f"a backup was being restored to {self.home}; run `hutong backup restore` again, or remove "
                f"{self.restoring} to use the database as it is"
            )

    def _bring_up(self, place: Place, *, keep: bool) -> Place:
        system.record_home(place.folder, self.home)
        place = choose_archive(self.home, place, self._archive)
        if not place.data.exists():
            self._initialize(place)
        output = ""
        for attempt in range(_START_ATTEMPTS):
            # Several attempts, since a program that a killed process started may still be running.
            time.sleep(attempt * 0.2)
            self._settle(place)
            if self._answers(place):
                return place
            place = self._with_socket_folder(place)
            system.rotate(place.log)
            self._mark_kept(keep)  # only here: a server that was merely slow to answer stays as it was
            started = self.run(
                place, "pg_ctl", "start", "-D", "data", "-l", "log", "-w", "-t", str(START_LIMIT_S),
                "-o", shlex.join(["-k", str(place.socket_folder), *server_options(place.archive)]),
            )  # fmt: skip
            if started.returncode == 0:
                return place
            output = started.stdout
        raise Unavailable(f"the embedded PostgreSQL does not start:\n{output}\n{system.tail(place.log)}")

    def _settle(self, place: Place) -> None:
        """Wait until a living server answers or ends; clean up after a dead one."""
        socket = place.socket_folder / ".s.PGSQL.5432"
        deadline = time.monotonic() + START_LIMIT_S
        while (processes := system.postgres_processes(place.data)).server:
            if self._answers(place):
                return
            if time.monotonic() > deadline:
                raise Unavailable("the embedded PostgreSQL runs but does not answer")
            if system.says_ready(place.data / "postmaster.pid") and not socket.exists():
                # A cleaner of temporary folders removed the socket; only a restart makes another.
                self.run_checked(place, *_STOP)
            time.sleep(0.1)
        system.end(processes.children)
        for file in (place.data / "postmaster.pid", socket.with_name(".s.PGSQL.5432.lock")):
            system.remove_stale(file)

    def _initialize(self, place: Place) -> None:
        # Each attempt has a folder of its own, since the initdb of a killed process may still write to its folder.
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
            self.run_checked(
                place, "initdb", "-D", fresh.name, "-A", "scram-sha-256", "-k", "-U", "postgres", "-E", "UTF8",
                "--no-locale", f"--pwfile={Path(password.name).name}", *settings,
            )  # fmt: skip
        # The database is created before the cluster is moved into place, so that no crash leaves one without the other.
        self.run_checked(
            place, "postgres", "--single", "-D", fresh.name, "-c", "exit_on_error=on", "postgres",
            typed="CREATE DATABASE hutong\n",
        )  # fmt: skip
        fresh.rename(place.data)
        sync_folder(place.folder)

    def run_checked(self, place: Place, program: str, *arguments: str, typed: str = "") -> None:
        """Run as `run`. Errors: Unavailable: the program fails."""
        done = self.run(place, program, *arguments, typed=typed)
        if done.returncode != 0:
            raise Unavailable(f"{program} failed: {done.stdout.strip()[-2000:]}")

    @staticmethod
    def run(place: Place, program: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's user, in the server's folder.

        Args:
            typed: The program's standard input.
        """
        # Paths are relative to the server's folder, since pg_ctl and initdb pass them to a shell unquoted.
        user = system.server_user()
        command = [str(system.reachable_binaries(user) / program), *arguments]
        # The server outlives this process and inherits its descriptors, so it gets files instead of our pipes.
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
