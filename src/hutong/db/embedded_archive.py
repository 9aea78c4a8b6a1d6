"""The embedded server's archive: the folder to which it copies each finished segment of its write-ahead log.

A backup folder holds `wal`, which belongs to the server's user, and `archive.json`, the mark of the data folder that
archives there: two servers in one archive would make both worthless.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from hutong.db import embedded_system as system
from hutong.db.embedded_files import Place, store_place
from hutong.durable_files import write_private
from hutong.errors import ConfigurationError

ARCHIVE_TIMEOUT_S = 300
"""A segment with changes is archived after this time at the latest, full or not."""

_SETTING = "HUTONG_BACKUP_FOLDER"


def choose_archive(home: Path, place: Place, archive: Path | Literal["off"] | None) -> Place:
    """Prepare the backup folder of a server that is about to start, and record the choice.

    Args:
        archive: As that of `EmbeddedServer`.

    Errors:
        ConfigurationError: the folder cannot be used, another data folder archives there, or it was emptied.
    """
    folder = place.archive if archive is None else None if archive == "off" else archive
    if folder is None:
        return place if place.archive is None else store_place(home, replace(place, archive=None))
    chosen = replace(place, archive=folder, archive_id=place.archive_id or secrets.token_hex(8))
    with refusals(folder):
        _claim(folder, chosen, known=place.archive == folder)
    return chosen if chosen == place else store_place(home, chosen)


def server_options(folder: Path | None) -> list[str]:
    """Return the options with which a server archives to this backup folder."""
    if folder is None:
        return ["-c", "archive_mode=off"]
    settings = {
        "archive_mode": "on",
        "archive_command": _archive_command(folder / "wal"),
        "archive_timeout": str(ARCHIVE_TIMEOUT_S),
        "hutong.backup_folder": str(folder),
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def restore_command(wal: Path) -> str:
    """Return the command with which a recovering server reads an archived file."""
    return f"cp {_quoted(wal)}/%f %p"


def check_readable(folder: Path) -> None:
    """Make sure that the server's user can read an archive. Errors: ConfigurationError."""
    user = system.server_user()
    if user is not None and not system.reaches(user, folder / "wal"):
        reason = f"the system user {user.pw_name} cannot read {folder / 'wal'}; run: chown -R {user.pw_name}"
        raise ConfigurationError(f"{reason} {folder / 'wal'}, and let it pass through the folders above")


def _archive_command(wal: Path) -> str:
    """Return the command that archives a file: it appears whole, on the disk, and never replaces a different one.

    PostgreSQL may archive a file twice, after a crash: an equal file that is there already is a success.
    """
    to, unfinished = f"{_quoted(wal)}/%f", f"{_quoted(wal)}/unfinished"
    copy = f"cp %p {unfinished} && sync {unfinished} && mv {unfinished} {to} && sync {_quoted(wal)}"
    return f"if test -e {to}; then cmp -s %p {to}; else {copy}; fi"


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder)).replace("%", "%%")


def _claim(folder: Path, place: Place, *, known: bool) -> None:
    mark = folder / "archive.json"
    if not mark.exists():
        if known:
            raise ConfigurationError(
                f"{folder} lost its archive: is it mounted? {_SETTING}=off starts without one, and "
                "then with the folder again begins another",
                param=_SETTING,
            )
        _make(folder)
        write_private(mark, json.dumps({"archive_id": place.archive_id}))
    elif json.loads(mark.read_text())["archive_id"] != place.archive_id:
        raise ConfigurationError(f"another data folder archives to {folder}; use a folder of its own", param=_SETTING)
    user = system.server_user()
    test = ["/usr/bin/test", "-w", str(folder / "wal"), "-a", "-x", str(folder / "wal")]
    if subprocess.run(test, cwd="/", check=False, **system.as_user(user)).returncode != 0:
        name = "this user" if user is None else f"the system user {user.pw_name}"
        raise ConfigurationError(f"{name} cannot write to {folder / 'wal'}", param=_SETTING)


def _make(folder: Path) -> None:
    """Make the folders. The server's user may pass through the first and owns the second."""
    user = system.server_user()
    folder.mkdir(mode=0o711 if user else 0o700, exist_ok=True)
    (folder / "wal").mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(folder / "wal", user.pw_uid, user.pw_gid)


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """Report errors of the file system in a block as errors of the setting."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"the backup folder {folder} cannot be used: {error}", param=_SETTING) from error
