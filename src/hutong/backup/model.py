"""Backups as values, and the folder that holds them.

Files of a backup folder:

    backups/ID/data             the files of a base backup, with PostgreSQL's backup_manifest
    backups/ID/backup.json      its description
    backups/ID.unfinished       a base backup in progress, or one that was interrupted
    wal                         the archived write-ahead log
    archive.json                the mark of the data folder that archives there
    backup.lock                 locked while a backup is made
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hutong.errors import ConfigurationError, NotFound
from hutong.vault import Vault

_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
_FORM = 1


@dataclass(frozen=True, slots=True)
class Backup:
    """A base backup.

    Attributes:
        start_lsn: Recovery begins here.
        end_lsn: From here on the recovered database is consistent.
        ended_at: The earliest time that it can be recovered to, by the database's clock.
        size_bytes: The size of its files.
        manifest_sha256: The digest of PostgreSQL's manifest, which has the digest of each file.
        key_salt: The salt of the fingerprints.
        key_fingerprints: Marks of the secret keys at that time, never the keys.
    """

    backup_id: str
    started_at: datetime
    ended_at: datetime
    timeline: int
    start_lsn: int
    end_lsn: int
    size_bytes: int
    system_identifier: int
    manifest_sha256: str
    key_salt: str
    key_fingerprints: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the description as JSON."""
        fields = dataclasses.asdict(self)
        return {"form": _FORM} | {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
        }


def make_backup_id(at: datetime) -> str:
    """Return the id of a backup that begins at this time. Ids are in the order of their times."""
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}Z"


def data_of(folder: Path, backup_id: str) -> Path:
    """Return the folder of a base backup's files."""
    return folder / "backups" / backup_id / "data"


def list_backups(folder: Path) -> list[Backup]:
    """Return the finished backups of a folder, the oldest first.

    Errors:
        NotFound: there is none, or no such folder.
        ConfigurationError: a description cannot be read.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", param="FOLDER")
    found = sorted(path for path in (folder / "backups").glob("*") if _ID.fullmatch(path.name))
    if not found:
        raise NotFound(f"there is no backup in {folder}", param="FOLDER")
    return [_read(path / "backup.json") for path in found]


def _read(path: Path) -> Backup:
    try:
        stored = json.loads(path.read_text())
        if stored.pop("form") != _FORM:
            raise ConfigurationError(f"{path} was written by a later version of Hutong")
        times = {name: datetime.fromisoformat(stored[name]) for name in ("started_at", "ended_at")}
        return Backup(**stored | times | {"key_fingerprints": tuple(stored["key_fingerprints"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def check_keys(backup: Backup, vault: Vault) -> None:
    """Make sure that every key at the time of a backup is configured now.

    Errors:
        ConfigurationError: one is not, so that secrets in the backup could not be read.
    """
    present = vault.fingerprints(bytes.fromhex(backup.key_salt))
    if missing := [mark for mark in backup.key_fingerprints if mark not in present]:
        keys = f"{len(missing)} of its {len(backup.key_fingerprints)} secret keys"
        raise ConfigurationError(
            f"{keys} at the time of backup {backup.backup_id} are not configured; put them into HUTONG_SECRET_KEY or "
            "secret.key, after the current one",
            param="HUTONG_SECRET_KEY",
        )
