"""`hutong backup …`: backups of the embedded database."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, as_utc, load_settings
from hutong.cli.output import print_json, print_line
from hutong.errors import ConfigurationError, InvalidParameter

if TYPE_CHECKING:
    from hutong import backup as backups
    from hutong.app import Settings

backup = typer.Typer(help="Backups of the embedded database, and recovery to a point in time.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Argument(metavar="[FOLDER]", help="The backup folder; HUTONG_BACKUP_FOLDER by default.")
]

_KEEP_KEY = (
    "The secret key is not in the backup. Keep a copy of it in another place: without it, stored secrets are lost."
)


@backup.command("create")
def create(
    folder: Folder = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, max=10_000, help="Keep this many backups, and remove older ones and their log."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the running database; payments continue.

    The database must archive its changes to the same folder: set HUTONG_BACKUP_FOLDER and restart Hutong first.
    """
    import asyncio

    from hutong import app
    from hutong import backup as backups

    settings = _embedded_settings()
    target = _folder(folder, settings)
    start = time.monotonic()
    with app.using_database(settings) as url, _file_errors(target):
        made = asyncio.run(backups.create_backup(url, target, vault=app.open_vault(settings), keep=keep))
    duration_s = time.monotonic() - start
    if as_json:
        document = _document(made.backup) | {"duration_s": round(duration_s, 3), "removed": list(made.removed)}
        print_json(document)
        return
    size, lsn = made.backup.size_bytes / 1e6, backups.show_lsn(made.backup.end_lsn)
    print_line(f"{made.backup.backup_id}: {size:.1f} MB in {duration_s:.1f} s, consistent from LSN {lsn} on")
    for backup_id in made.removed:
        print_line(f"{backup_id}: removed")
    print_line(_KEEP_KEY)


@backup.command("verify")
def verify(folder: Folder = None, as_json: Json = False) -> None:
    """Read every backup whole, with the log up to now, and name what is wrong; exits 1 if anything is.

    The database may run or not.
    """
    from hutong import app
    from hutong import backup as backups

    settings = load_settings()
    target = _folder(folder, settings)
    found = []
    with _file_errors(target):
        for verified in backups.verify_backups(target, vault=app.existing_vault(settings)):
            found.append(verified)
            if not as_json:
                _print_verified(verified)
    ok = not any(verified.faults for verified in found)
    if as_json:
        print_json({"ok": ok, "backups": [_verified_document(verified) for verified in found]})
    sys.exit(0 if ok else 1)


@backup.command("restore")
def restore(
    folder: Folder = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Such as 2026-03-31T12:00:00+08:00; the end of the log by default."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Rename the existing database; it is never deleted.")
    ] = False,
    timeline: Annotated[
        int | None,
        typer.Option("--timeline", min=1, max=2**32 - 1, help="Follow this timeline; the newest by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore the database to a point in time, with all changes up to it and none after it.

    Hutong must be stopped. Each restore begins a new timeline of the log; the previous ones remain in the folder.
    """
    from hutong import app, db
    from hutong import backup as backups

    settings = _embedded_settings()
    instant = _instant(to)
    target = _folder(folder, settings)
    server = db.EmbeddedServer(settings.home, archive=settings.backup_folder)
    with _file_errors(target):
        restored = backups.restore_backup(
            server, target, to=instant, timeline=timeline, replace=replace, vault=app.existing_vault(settings)
        )
    if as_json:
        print_json(restored.document())
        return
    reached = "the end of the log" if restored.restored_to is None else restored.restored_to.isoformat()
    print_line(f"restored backup {restored.backup_id} to {reached}; timeline {restored.timeline} begins")
    if restored.replaced is not None:
        print_line(f"the previous database is in {restored.replaced}; remove it when you no longer need it")
    print_line("start Hutong as usual")


def _embedded_settings() -> Settings:
    settings = load_settings()
    if settings.database_url is not None:
        raise ConfigurationError(
            "this installation uses a PostgreSQL of its own; back it up by its own means: docs/guides/backup.md",
            param="HUTONG_DATABASE_URL",
        )
    return settings


def _folder(argument: Path | None, settings: Settings) -> Path:
    folder = argument or settings.backup_folder
    if not isinstance(folder, Path):
        raise InvalidParameter("name the backup folder, or set HUTONG_BACKUP_FOLDER", param="FOLDER")
    return folder.expanduser().absolute()


@contextmanager
def _file_errors(folder: Path) -> Iterator[None]:
    """Report errors of the file system in a block, such as a full disk, in one line."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error}", param="FOLDER") from error


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter("the time must be like 2026-03-31T12:00:00+08:00", param="--to") from None
    if instant.tzinfo is None:
        raise InvalidParameter("the time must have a zone, such as +08:00 or Z", param="--to")
    return as_utc(instant, "--to")


def _document(made: backups.Backup) -> dict[str, Any]:
    from hutong import backup as backups

    lsns = {name: backups.show_lsn(getattr(made, name)) for name in ("start_lsn", "end_lsn")}
    hidden = {"form", "key_salt", "key_fingerprints"}
    return {name: value for name, value in made.document().items() if name not in hidden} | lsns


def _verified_document(verified: backups.Verified) -> dict[str, Any]:
    to = verified.recoverable_to
    return _document(verified.backup) | {
        "latest_timeline": verified.timeline,
        "segments": verified.segments,
        "recoverable_from": verified.backup.ended_at.isoformat(),
        "recoverable_to": None if to is None else to.isoformat(),
        "faults": list(verified.faults),
    }


def _print_verified(verified: backups.Verified) -> None:
    made, to = verified.backup, verified.recoverable_to
    until = "its end" if to is None else to.isoformat(timespec="seconds")
    span = f"{made.ended_at.isoformat(timespec='seconds')} to {until}"
    print_line(f"{'FAIL' if verified.faults else 'ok  '}  {made.backup_id}  {span}, {verified.segments} segments")
    for fault in verified.faults:
        print_line(f"      {fault}")
