"""The end of embedded clusters: that of a data folder, and those whose data folder is gone."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hutong.db import embedded_system as system
from hutong.db.embedded import EmbeddedServer
from hutong.db.embedded_files import Place, read_place
from hutong.errors import ConfigurationError

_PASSING = Path("/tmp")  # noqa: S108 - where sockets are, if their path would be too long elsewhere
_OF_SERVER = ("postgres.json", "postgres.kept", "postgres.restoring")


@dataclass(frozen=True, slots=True)
class Orphan:
    """A folder below the system folder that nothing needs any more.

    Attributes:
        reason: What it was for, and why it is not needed.
    """

    folder: Path
    reason: str
    size: int


def cluster_of(home: Path) -> tuple[Path, int] | None:
    """Return the folder of the cluster of a data folder, and its size in bytes; None if there is none."""
    place = read_place(home)
    return None if place is None else (place.folder, _size(place.folder))


def destroy_cluster(server: EmbeddedServer) -> list[Path]:
    """Remove the cluster of a data folder for good. Backups in other folders stay.

    Returns:
        The folders that are gone.

    Repeat:
        A second call finds nothing. After a kill it removes the rest; the server does not start with half a cluster.

    Errors:
        Conflict: the server runs, or a process uses it.
        ConfigurationError: the recorded folder is none that the server made.
    """
    if read_place(server.home) is None:
        return []
    with server.offline() as place:
        _check_ours(server.home, place)
        with suppress(FileNotFoundError):  # a name under which it is no cluster any more
            place.data.rename(place.folder / f"data.{secrets.token_hex(4)}")
        folders = [place.folder]
        if place.socket_folder.parent in (_PASSING, system.SYSTEM_FOLDER):
            folders.append(place.socket_folder)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=not folder.exists())
        system.home_record(place.folder).unlink(missing_ok=True)
        for name in _OF_SERVER:
            (server.home / name).unlink(missing_ok=True)
        return folders


def find_orphans() -> list[Orphan]:
    """Return what is below the system folder without a use: clusters whose data folder is gone, programs nobody runs.

    A cluster that was made before its data folder was recorded beside it is never among them.
    """
    folders = sorted(system.SYSTEM_FOLDER.glob("server-*/"))
    orphans = [Orphan(folder, reason, _size(folder)) for folder in folders if (reason := _why_orphaned(folder))]
    left = len(folders) - len(orphans)
    current = f"postgresql-{importlib.metadata.version(system.WHEEL)}"
    copies = sorted(system.SYSTEM_FOLDER.glob("postgresql-*/"))
    unused = [copy for copy in copies if (copy.name != current or not left) and not _is_running(copy)]
    return orphans + [
        Orphan(copy, "a copy of PostgreSQL's programs that no server uses", _size(copy)) for copy in unused
    ]


def remove_orphan(orphan: Orphan) -> None:
    """Remove an orphan."""
    shutil.rmtree(orphan.folder)
    system.home_record(orphan.folder).unlink(missing_ok=True)


def _check_ours(home: Path, place: Place) -> None:
    in_system = place.folder.parent == system.SYSTEM_FOLDER and place.folder.name.startswith("server-")
    if place.folder != home / "postgres" and not in_system:
        raise ConfigurationError(f"{home / 'postgres.json'} names {place.folder}, which is no folder of this server")
    if in_system and _other_home(place.folder, home):
        raise ConfigurationError(f"{place.folder} belongs to another data folder than {home}")


def _other_home(folder: Path, home: Path) -> bool:
    """Return whether another data folder uses a cluster."""
    recorded = system.recorded_home(folder)
    return recorded is not None and recorded != home and _uses(recorded, folder)


def _why_orphaned(folder: Path) -> str | None:
    home = system.recorded_home(folder)
    if home is None or _uses(home, folder) or system.postgres_processes(folder / "data").server:
        return None
    what = "has another cluster" if (home / "postgres.json").exists() else "is gone, or has no cluster"
    return f"a cluster whose data folder {home} {what}"


def _uses(home: Path, folder: Path) -> bool:
    try:
        return bool(json.loads((home / "postgres.json").read_text())["folder"] == str(folder))
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return True  # it cannot be known


def _is_running(copy: Path) -> bool:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.exe()).is_relative_to(copy):
                return True
    return False


def _size(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += Path(place, file).lstat().st_size
    return total
