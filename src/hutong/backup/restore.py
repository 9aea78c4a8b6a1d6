"""Restoring a backup to the embedded server's data folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hutong import db
from hutong.backup.model import Backup, check_keys, data_of, list_backups
from hutong.backup.verify import contains, verify_backup
from hutong.backup.wal import Log, header_fault, is_history, log_files
from hutong.durable_files import write_private
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.vault import Vault


@dataclass(frozen=True, slots=True)
class Plan:
    """The way to a point in time.

    Attributes:
        timeline: The timeline whose history is followed.
        recovered_to: The point in time; without one, that of the newest transaction.
    """

    backup: Backup
    timeline: int
    recovered_to: datetime | None
    newer: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """A finished restore.

    Attributes:
        restored_to: The point in time that was asked for, or the time of the newest transaction.
        timeline: The timeline that begins here.
        replaced: The folder with the previous database, if there was one.
    """

    backup_id: str
    restored_to: datetime | None
    timeline: int
    replaced: Path | None

    def document(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {
            "backup_id": self.backup_id,
            "restored_to": None if self.restored_to is None else self.restored_to.isoformat(),
            "timeline": self.timeline,
            "replaced": None if self.replaced is None else str(self.replaced),
        }


def restore_backup(
    server: db.EmbeddedServer, folder: Path, *, to: datetime | None, timeline: int | None, replace: bool, vault: Vault
) -> Restored:
    """Restore the database to a point in time, and record it in `restored.json` in the data folder.

    The backup and its log are read whole first. Log that an existing database wrote and did not archive is used too.

    Args:
        to: The point in time: everything up to it is there, nothing later. None means the end of the log.
        timeline: The timeline to follow; the newest by default, whose history has no gap at `to`.
        replace: Whether an existing database is renamed.

    Errors:
        InvalidParameter: the point in time is before the first backup or after the log.
        ConfigurationError: a secret key is missing.
        Conflict: the backup is damaged or incomplete; or as `db.recover`, as all others. Nothing is changed then.
    """
    data = db.check_restorable(server, replace=replace)  # before the backup is read, which takes time
    plan = _plan(folder, to=to, timeline=timeline, own_wal=data / "pg_wal", vault=vault)
    target = {"recovery_target_timeline": str(plan.timeline)}
    if to is not None:
        target["recovery_target_time"] = f"{to.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"
    recovery = db.Recovery(data_of(folder, plan.backup.backup_id), folder, plan.newer, target, replace)

    def announce(recovered: db.Recovered) -> None:
        document = _restored(plan, recovered).document() | {"restored_at": datetime.now(UTC).isoformat()}
        write_private(server.home / "restored.json", json.dumps(document, indent=2))

    return _restored(plan, db.recover(server, recovery, announce=announce))


def _restored(plan: Plan, recovered: db.Recovered) -> Restored:
    return Restored(plan.backup.backup_id, plan.recovered_to, recovered.timeline, recovered.replaced)


def _plan(folder: Path, *, to: datetime | None, timeline: int | None, own_wal: Path, vault: Vault) -> Plan:
    backups = list_backups(folder)
    archive = Log(folder / "wal")
    newer = _unarchived(own_wal, archive, backups[-1].system_identifier)
    log = Log(folder / "wal", newer)
    newest = max(log.newest_timeline(), *(backup.timeline for backup in backups))
    if timeline is not None and not 1 <= timeline <= newest:
        raise InvalidParameter(f"there is no timeline {timeline}; the newest is {newest}", param="--timeline")
    chosen = timeline or newest
    usable = [backup for backup in backups if contains(log, chosen, backup)]
    if not usable:
        raise NotFound(f"no backup in {folder} leads to timeline {chosen}", param="--timeline")
    backup = next((one for one in reversed(usable) if to is None or one.ended_at <= to), None)
    if backup is None:
        earliest = usable[0].ended_at.isoformat()
        raise InvalidParameter(f"the first backup ended at {earliest}; nothing earlier can be restored", param="--to")
    check_keys(backup, vault)
    _refuse_damaged(folder, backup, archive, log, chosen, vault)
    names, missing = log.chain(chosen, backup.start_lsn)
    if missing:
        names = names[: names.index(missing[0])]
    end = log.newest_time(names)
    if to is not None and (end is None or to >= end):
        reason = f"the newest transaction in the log is of {'no time' if end is None else end.isoformat()}"
        raise InvalidParameter(f"{reason}; without --to everything is restored", param="--to")
    if to is not None and timeline is None:
        _refuse_gap(log, chosen, backup, to)
    return Plan(backup, chosen, to or end, tuple(newer))


def _refuse_gap(log: Log, timeline: int, backup: Backup, to: datetime) -> None:
    for before, after in log.seams(timeline, backup.start_lsn):
        if before < to < after:
            reason = f"a restore went back to {before.isoformat()}, and its history goes on at {after.isoformat()}"
            raise InvalidParameter(f"{reason}; name the timeline to follow with --timeline", param="--to")


def _refuse_damaged(folder: Path, backup: Backup, archive: Log, log: Log, timeline: int, vault: Vault) -> None:
    """Verify the archived part of the way to a timeline."""
    archived = {int(name[:8], 16) for name in archive.files} | {backup.timeline}
    part = next(reach.timeline for reach in reversed(log.reaches(timeline)) if reach.timeline in archived)
    faults = verify_backup(folder, backup, archive, timeline=part, vault=vault).faults
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise Conflict(f"the backup cannot be restored: {faults[0]}{more}; see `hutong backup verify`")


def _unarchived(own_wal: Path, archive: Log, system_identifier: int) -> list[Path]:
    """Return the log that the existing database wrote and did not archive, such as before a crash."""
    files = [path for path in log_files(own_wal) if path.name not in archive.files]
    return [path for path in files if is_history(path.name) or header_fault(path, system_identifier) is None]
