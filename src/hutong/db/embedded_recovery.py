"""Recovery of the embedded server's cluster from a base backup and the archived write-ahead log.

The new cluster is made and recovered beside the old one, which is then renamed and never deleted. While the file
`postgres.restoring` exists the server does not start, so that a killed restore leaves no half-restored or empty
database in use; another restore begins from the start.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hutong.db import embedded_system as system
from hutong.db.embedded import EmbeddedServer
from hutong.db.embedded_archive import check_readable, restore_command
from hutong.db.embedded_files import Place
from hutong.durable_files import sync_folder, write_private
from hutong.errors import Conflict, Unavailable

_RECOVERY_LIMIT_S = 7 * 86_400
_TIMELINE = re.compile(r"^Latest checkpoint's TimeLineID: +(\d+)$", re.MULTILINE)
_LOOK_EVERY_S = 0.1
_FRESH = "restoring-"
_PORT = "5433"
"""Names the socket of a recovery, which nobody takes for the database, also if what began the recovery was killed."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery to be made.

    Attributes:
        base: The folder with the files of the base backup.
        archive: The backup folder whose `wal` has the write-ahead log.
        newer: Further files of the write-ahead log, which are not in the archive.
        target: PostgreSQL's settings of the recovery target; without one, the end of the log.
        replace: Whether an existing cluster is renamed.
    """

    base: Path
    archive: Path
    newer: Sequence[Path]
    target: Mapping[str, str]
    replace: bool


@dataclass(frozen=True, slots=True)
class Recovered:
    """A recovered cluster.

    Attributes:
        timeline: The timeline that begins with the recovery.
        replaced: The folder with the previous cluster, if there was one.
    """

    timeline: int
    replaced: Path | None


def recover(server: EmbeddedServer, recovery: Recovery, *, announce: Callable[[Recovered], None]) -> Recovered:
    """Make the recovered cluster the server's own, and leave the server down.

    Args:
        announce: Called once the cluster is in place, before the server may start.

    Repeat:
        After a failure nothing has changed. After a kill, the server does not start until another call succeeds.

    Errors:
        Conflict: the server runs, or there is a cluster and `replace` is not set.
        Unavailable: PostgreSQL cannot recover; the message has the last lines of its log.
    """
    check_readable(recovery.archive)
    with server.offline() as place:
        _refuse_cluster(server, place, replace=recovery.replace)
        interrupted = server.restoring.exists()
        if not interrupted:
            write_private(server.restoring, json.dumps({"cluster": _has_cluster(place)}))
        _discard_leftovers(server, place)
        fresh = place.folder / f"{_FRESH}{secrets.token_hex(4)}"
        try:
            _copy(recovery, fresh)
            timeline = _run_recovery(server, place, fresh, recovery)
        except BaseException:
            _discard_leftovers(server, place)
            if not interrupted:
                server.restoring.unlink()
            raise
        recovered = Recovered(timeline, _swap(place, fresh))
        announce(recovered)
        server.restoring.unlink()
        sync_folder(server.home)
    return recovered


def check_restorable(server: EmbeddedServer, *, replace: bool) -> Path:
    """Make sure that `recover` would begin, and return the folder of the cluster. Errors: Conflict, as that."""
    with server.offline() as place:
        _refuse_cluster(server, place, replace=replace)
        return place.data


def _refuse_cluster(server: EmbeddedServer, place: Place, *, replace: bool) -> None:
    if _has_cluster(place) and not replace and not (server.restoring.exists() and _began_without_cluster(server)):
        raise Conflict(f"there is a database in {place.data}; --replace renames it and restores the backup")


def _has_cluster(place: Place) -> bool:
    """Return whether there is a cluster, or anything else in its folder."""
    return place.data.exists() and any(place.data.iterdir())


def _began_without_cluster(server: EmbeddedServer) -> bool:
    with suppress(ValueError, KeyError, TypeError):
        return json.loads(server.restoring.read_text())["cluster"] is False
    return False


def _discard_leftovers(server: EmbeddedServer, place: Place) -> None:
    """End what an interrupted recovery left running, and remove its files."""
    for folder in place.folder.glob(f"{_FRESH}*"):
        if system.postgres_processes(folder).server:
            server.run(place, "pg_ctl", "stop", "-D", folder.name, "-m", "immediate", "-w")
        system.end([process for group in system.postgres_processes(folder) for process in group])
        shutil.rmtree(folder)


def _copy(recovery: Recovery, fresh: Path) -> None:
    shutil.copytree(recovery.base, fresh)
    for path in recovery.newer:
        shutil.copyfile(path, fresh / "pg_wal" / path.name)
    (fresh / "recovery.signal").touch()
    user = system.server_user()
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)


def _run_recovery(server: EmbeddedServer, place: Place, fresh: Path, recovery: Recovery) -> int:
    """Let the server recover until it is ready, stop it, set our password, and return the timeline.

    Archiving is on without a command: the new timeline's first files wait until the server starts with its own.
    """
    settings = {
        "restore_command": restore_command(recovery.archive / "wal"),
        **recovery.target,
        "recovery_target_action": "promote",
        "hot_standby": "off",  # no connections before the recovery has ended
        "archive_mode": "on",
        "archive_command": "",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = fresh / "recovery.log"
    started = server.run(
        place, "pg_ctl", "start", "-D", fresh.name, "-l", f"{fresh.name}/{log.name}", "-w", "-t",
        str(_RECOVERY_LIMIT_S), "-o", shlex.join(["-k", str(place.socket_folder), "-p", _PORT, *options]),
    )  # fmt: skip
    if started.returncode != 0 or not _becomes_ready(fresh):
        raise Unavailable(f"PostgreSQL cannot recover from this backup:\n{system.tail(log) or started.stdout}")
    server.run_checked(place, "pg_ctl", "stop", "-D", fresh.name, "-m", "fast", "-w", "-t", str(_RECOVERY_LIMIT_S))
    log.unlink()
    password = place.password.replace("'", "''")
    server.run_checked(
        place, "postgres", "--single", "-D", fresh.name, "-c", "exit_on_error=on", "-c", "archive_mode=on", "postgres",
        typed=f"ALTER ROLE postgres PASSWORD '{password}'\n",
    )  # fmt: skip
    found = _TIMELINE.search(server.run(place, "pg_controldata", fresh.name).stdout)
    assert found is not None
    return int(found[1])


def _becomes_ready(fresh: Path) -> bool:
    """Wait until the server has recovered; False if it ends before."""
    # pg_ctl waits for the begin of the recovery only.
    while not system.says_ready(fresh / "postmaster.pid"):
        if not system.postgres_processes(fresh).server:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _swap(place: Place, fresh: Path) -> Path | None:
    replaced = None
    if _has_cluster(place):
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        replaced = place.folder / f"replaced-{stamp}-{secrets.token_hex(2)}"
        place.data.rename(replaced)
    elif place.data.exists():
        place.data.rmdir()
    fresh.rename(place.data)
    sync_folder(place.folder)
    return replaced
