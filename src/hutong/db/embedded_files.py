"""The files of an embedded server."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hutong.durable_files import write_private
from hutong.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one embedded server.

    Attributes:
        archive: The backup folder to which the server archives its write-ahead log; None if it archives nothing.
        archive_id: The mark of this data folder in its backup folder.
    """

    folder: Path
    socket_folder: Path
    password: str
    archive: Path | None = None
    archive_id: str | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "log"


def read_place(home: Path) -> Place | None:
    """Return the recorded place of a data folder; None if there is no record."""
    file = home / "postgres.json"
    if not file.exists():
        return None
    try:
        stored = json.loads(file.read_text())
        archive = stored.get("archive")
        return Place(
            home / stored["folder"],
            home / stored["socket_folder"],
            stored["password"],
            None if archive is None else home / archive,
            stored.get("archive_id"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} cannot be read; restore it from a backup") from error


def store_place(home: Path, place: Place) -> Place:
    """Record the place of a data folder. Paths below it are relative, so that it may be moved."""

    def portable(path: Path | None) -> str | None:
        return None if path is None else str(path.relative_to(home) if path.is_relative_to(home) else path)

    document = {
        "folder": portable(place.folder),
        "socket_folder": portable(place.socket_folder),
        "password": place.password,
        "archive": portable(place.archive),
        "archive_id": place.archive_id,
    }
    write_private(home / "postgres.json", json.dumps(document, indent=2))
    return place


def open_private(path: Path) -> IO[bytes]:
    """Open a file to lock it, with mode 0600: a reader of the file could lock it as well."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def is_private(folder: Path, owner: int) -> bool:
    """Return whether this is a folder, not a link, that only `owner` can use."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not status.st_mode & 0o077
