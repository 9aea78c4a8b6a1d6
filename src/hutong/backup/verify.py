"""Verification of a backup folder: every file, the chain of the write-ahead log, the secret keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hutong.backup.manifest import file_faults
from hutong.backup.model import Backup, check_keys, data_of, list_backups
from hutong.backup.wal import Log
from hutong.errors import ConfigurationError
from hutong.vault import Vault


@dataclass(frozen=True, slots=True)
class Verified:
    """The findings about one backup.

    Attributes:
        timeline: The newest timeline that it can be recovered to.
        segments: The number of log segments from the backup to the newest.
        recoverable_to: The time of the newest transaction in them.
        faults: What is wrong, each with its file. Without any, the backup can be restored.
    """

    backup: Backup
    timeline: int
    segments: int
    recoverable_to: datetime | None
    faults: tuple[str, ...]


def verify_backups(folder: Path, *, vault: Vault) -> Iterator[Verified]:
    """Read every backup of a folder and the log that it needs, whole, and yield the findings, the oldest backup first.

    Errors:
        NotFound: there is no backup in the folder.
        ConfigurationError: the description of a backup cannot be read.
    """
    log = Log(folder / "wal")
    for backup in list_backups(folder):
        yield verify_backup(folder, backup, log, timeline=choose_timeline(log, backup), vault=vault)


def verify_backup(folder: Path, backup: Backup, log: Log, *, timeline: int, vault: Vault) -> Verified:
    """Read one backup, and its log up to the newest of a timeline."""
    faults = [f"backups/{backup.backup_id}/data/{fault}" for fault in _file_faults(folder, backup)]
    names, missing = log.chain(timeline, backup.start_lsn)
    faults += [f"wal/{name}: it is missing" for name in missing]
    if not missing:
        faults += log.faults(
            names, timeline=timeline, start=backup.start_lsn, system_identifier=backup.system_identifier
        )
    try:
        check_keys(backup, vault)
    except ConfigurationError as error:
        faults.append(error.detail)
    return Verified(backup, timeline, len(names), None if missing else log.newest_time(names), tuple(faults))


def choose_timeline(log: Log, backup: Backup) -> int:
    """Return the newest timeline whose history contains the backup."""
    timelines = range(max(log.newest_timeline(), backup.timeline), backup.timeline, -1)
    return next((timeline for timeline in timelines if contains(log, timeline, backup)), backup.timeline)


def contains(log: Log, timeline: int, backup: Backup) -> bool:
    """Return whether the history of a timeline passes through a backup."""
    reaches = {reach.timeline: reach for reach in log.reaches(timeline)}
    reach = reaches.get(backup.timeline)
    return reach is not None and (reach.end is None or backup.end_lsn <= reach.end)


def _file_faults(folder: Path, backup: Backup) -> Sequence[str]:
    return file_faults(data_of(folder, backup.backup_id), manifest_sha256=backup.manifest_sha256)
