"""Making a backup of the running server."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from hutong import db
from hutong.backup.archiving import Archiving, read_archiving
from hutong.backup.manifest import read_summary
from hutong.backup.model import Backup, list_backups, make_backup_id
from hutong.backup.statements import sql
from hutong.backup.wal import SEGMENT, SEGMENT_BYTES, segment_name, segment_number
from hutong.durable_files import sync_folder, write_private
from hutong.errors import ConfigurationError, Conflict, Unavailable
from hutong.vault import Vault

_ARCHIVE_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.1
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Created:
    """A new backup, and what was removed because of it.

    Attributes:
        removed: The ids of older backups.
    """

    backup: Backup
    removed: tuple[str, ...]


async def create_backup(url: str, folder: Path, *, vault: Vault, keep: int | None) -> Created:
    """Back up the running server, while it is used, and make sure that all that a recovery needs is in the folder.

    Args:
        url: The server's, as its superuser.
        folder: The backup folder to which the server archives.
        keep: How many backups remain; the others and the log that only they need are removed. None removes nothing.

    Errors:
        ConfigurationError: the server does not archive to this folder.
        Conflict: another backup is being made in this folder.
        Unavailable: archiving fails, or PostgreSQL cannot make the backup. What was there before is unchanged.
    """
    async with db.Database.open(url, size=2, role=None) as database:
        archiving = await database.run(read_archiving)
        _check_folder(archiving, folder)
        with _locked(folder):
            for leftover in (folder / "backups").glob("*.unfinished"):
                shutil.rmtree(leftover)
            await _await_archived(database, folder)
            started_at = (await database.run(read_archiving)).now
            backup_id = make_backup_id(started_at)
            unfinished = folder / "backups" / f"{backup_id}.unfinished"
            os.makedirs(unfinished, mode=0o700)
            try:
                backup = await _copy(database, url, folder, unfinished, started_at, vault)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            unfinished.rename(folder / "backups" / backup_id)
            sync_folder(folder / "backups")
            return Created(backup, _remove_old(folder, keep))


async def _copy(
    database: db.Database, url: str, folder: Path, unfinished: Path, started_at: datetime, vault: Vault
) -> Backup:
    data = unfinished / "data"
    await _run_basebackup(url, data)
    summary = read_summary(data)
    await _await_archived(database, folder)
    ended_at = (await database.run(read_archiving)).now
    # The archive has the log by now; one place for it leaves no copy that nobody checks.
    shutil.rmtree(data / "pg_wal")
    (data / "pg_wal").mkdir(mode=0o700)
    for number in range(summary.start_lsn // SEGMENT_BYTES, (summary.end_lsn - 1) // SEGMENT_BYTES + 1):
        if not (folder / "wal" / segment_name(summary.timeline, number)).exists():
            raise Unavailable(f"the server did not archive {segment_name(summary.timeline, number)}")
    salt = secrets.token_bytes(_SALT_BYTES)
    backup = Backup(
        backup_id=unfinished.name.removesuffix(".unfinished"),
        started_at=started_at,
        ended_at=ended_at,
        timeline=summary.timeline,
        start_lsn=summary.start_lsn,
        end_lsn=summary.end_lsn,
        size_bytes=summary.size_bytes,
        system_identifier=summary.system_identifier,
        manifest_sha256=summary.sha256,
        key_salt=salt.hex(),
        key_fingerprints=tuple(vault.fingerprints(salt)),
    )
    write_private(unfinished / "backup.json", json.dumps(backup.document(), indent=2))
    return backup


def _check_folder(archiving: Archiving, folder: Path) -> None:
    if archiving.folder is None:
        raise ConfigurationError(
            f"the running server archives nothing; set HUTONG_BACKUP_FOLDER={folder}, stop Hutong and start it again",
            param="HUTONG_BACKUP_FOLDER",
        )
    if not folder.is_dir() or not archiving.folder.is_dir() or not archiving.folder.samefile(folder):
        raise ConfigurationError(
            f"the running server archives to {archiving.folder}; back up to that folder, or set "
            f"HUTONG_BACKUP_FOLDER={folder}, stop Hutong and start it again",
            param="FOLDER",
        )


async def _await_archived(database: db.Database, folder: Path) -> None:
    """Finish the current segment and wait until it is in the archive."""
    await database.run(sql.mark_backup.fetchval)
    segment: str = await database.run(sql.switch_segment.fetchval)
    deadline = time.monotonic() + _ARCHIVE_LIMIT_S
    while not (folder / "wal" / segment).exists():
        if time.monotonic() > deadline:
            is_failing = (await database.run(read_archiving)).is_failing
            reason = "the server's log has the reason" if is_failing else "the archive is too slow"
            raise Unavailable(f"{segment} is not archived to {folder / 'wal'} after {_ARCHIVE_LIMIT_S:.0f} s; {reason}")
        await asyncio.sleep(_LOOK_EVERY_S)


async def _run_basebackup(url: str, data: Path) -> None:
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    address = urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))
    process = await asyncio.create_subprocess_exec(
        str(db.binaries() / "pg_basebackup"), "--dbname", address, "--pgdata", str(data), "--no-password",
        "--format=plain", "--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PGPASSWORD": unquote(password)},
    )  # fmt: skip
    try:
        _, reason = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise Unavailable(f"PostgreSQL cannot make a backup: {' '.join(reason.decode(errors='replace').split())}")


def _remove_old(folder: Path, keep: int | None) -> tuple[str, ...]:
    """Remove all but the newest backups, and the log before the oldest that remains."""
    backups = list_backups(folder)
    if keep is None:
        return ()
    kept = backups[-keep:]
    for backup in backups[:-keep]:
        # Out of the list first, so that a half-removed backup is none.
        doomed = folder / "backups" / f"{backup.backup_id}.unfinished"
        (folder / "backups" / backup.backup_id).rename(doomed)
        shutil.rmtree(doomed)
    _remove_log_before(folder, min(backup.start_lsn for backup in kept))
    return tuple(backup.backup_id for backup in backups[:-keep])


def _remove_log_before(folder: Path, lsn: int) -> None:
    first = lsn // SEGMENT_BYTES
    for path in sorted((folder / "wal").iterdir()):
        # Marks of backups have names that begin with a segment's. Histories of timelines remain.
        if (segment := re.match(SEGMENT, path.name)) is not None and segment_number(segment[0]) < first:
            path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "backup.lock", "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another backup is being made in {folder}") from error
        yield
