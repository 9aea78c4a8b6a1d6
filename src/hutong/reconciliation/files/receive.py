"""A file comes in: its name, its size and its content are looked at, and the original is archived."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from hutong import db
from hutong.clock import machine_time
from hutong.durable_files import move_durably
from hutong.errors import InvalidParameter, InvariantBroken
from hutong.reconciliation.archive import RunFolder, sha256_of
from hutong.reconciliation.files.store import find_same
from hutong.reconciliation.manifest import InputFile
from hutong.reconciliation.model import BillFile, FileState
from hutong.reconciliation.parsing import check_layout, read_original
from hutong.reconciliation.parties import Counterparty
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation

NAME_LENGTH_MAX = 200
_INCOMING = "incoming"
_LEFT_BEHIND = timedelta(days=2)
_KEPT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file that comes in.

    Attributes:
        path: In a folder of `staging`; it is moved from there.
        day: The account's own day; None where the file itself is to tell.
        name: As its sender calls it.
        is_whole: Whether it states all rows that its layout has of the day.
    """

    party: Counterparty
    layout: str
    path: Path
    name: str
    day: date | None = None
    is_whole: bool = False


def check_name(name: str) -> None:
    """Refuse what is not the name of a file alone.

    Errors:
        InvalidParameter.
    """
    if not name or len(name) > NAME_LENGTH_MAX:
        raise InvalidParameter(f"`name` must have 1 to {NAME_LENGTH_MAX} characters", param="name")
    if name in (".", "..") or not name.isprintable() or set(name) & set("/\\"):
        raise InvalidParameter(
            "`name` must be the name of a file, without folders and control characters", param="name"
        )


@contextmanager
def staging(use: Reconciliation) -> Iterator[Path]:
    """Yield an empty folder beside the archive, from which files can be moved into it, and remove it afterwards.

    What a killed process has left behind is removed after two days.
    """
    root = use.config.folder / _INCOMING
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = machine_time(use.clock.now()) - _LEFT_BEHIND  # as the times of files are
    for left in root.iterdir():
        if left.stat().st_mtime < before.timestamp():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


async def receive(use: Reconciliation, incoming: Incoming) -> BillFile:
    """Take a file in: archive the original and record it as received.

    Effects:
        The original is archived under its digest, and never overwritten.

    Repeat:
        The same content changes nothing, whatever its name; one that was refused is to be read again.

    Returns:
        The file as recorded now.

    Errors:
        InvalidParameter: its name, its size, its layout or its day is wrong.
    """
    check_name(incoming.name)
    check_layout(incoming.layout, incoming.party.source)
    size = incoming.path.stat().st_size
    if not size:
        raise InvalidParameter("`file` is empty", param="file")
    if size > use.config.upload_bytes_max:
        raise InvalidParameter(f"`file` is larger than {use.config.upload_bytes_max} bytes", param="file")
    sha256 = await asyncio.to_thread(sha256_of, incoming.path)
    party, now = incoming.party, use.clock.now()
    async with use.database.transaction() as tx:
        same = await find_same(tx, party.account_id, incoming.layout, sha256)
    if same is not None and (same.state is not FileState.REFUSED or incoming.day is None):
        return same
    day = incoming.day
    if day is None:
        day = await asyncio.to_thread(_day_of, use, incoming, sha256)
    if not date(1970, 1, 2) <= day <= now.date() + timedelta(days=1):
        raise InvalidParameter("`day` must not lie in the future, nor before 1970", param="day")
    file = BillFile(
        use.ids.new() if same is None else same.file_id,
        party.source,
        party.account_id,
        incoming.layout,
        day,
        incoming.name if same is None else same.name,
        sha256,
        size,
        incoming.is_whole,
        FileState.RECEIVED,
        now,
    )
    folder = RunFolder(use.config.folder, party.name, day)
    await asyncio.to_thread(_archive, incoming.path, folder.inputs / archived_name(file))

    async def keep(tx: db.Tx) -> BillFile:
        if same is None:
            await sql.add_files.execute(tx, rows=[file])
        else:
            await sql.read_again.execute(tx, file_id=file.file_id, day=day)
        kept = await find_same(tx, party.account_id, incoming.layout, sha256)
        assert kept is not None
        return kept

    return await use.database.run(keep)


def archived_name(file: BillFile) -> str:
    """Return the name of a file in the archive: its digest, and of its own name what is harmless."""
    return f"{file.sha256[:16]}-{re.sub('[^A-Za-z0-9._-]+', '_', file.name)[-_KEPT_LENGTH:]}"


def input_of(file: BillFile, party: Counterparty, file_id: str) -> InputFile:
    """Return a file as an input of a run.

    Args:
        file_id: Its public id.
    """
    return InputFile(
        archived_name(file),
        file.sha256,
        file.size,
        file.layout,
        file.source,
        file_id,
        file.day,
        party.number,
        party.currency,
    )


def _day_of(use: Reconciliation, incoming: Incoming, sha256: str) -> date:
    """Read a file for its day alone.

    Errors:
        InvalidParameter: it does not tell it.
    """
    party = incoming.party
    name, any_day = incoming.path.name, date.min
    probe = InputFile(name, sha256, 0, incoming.layout, party.source, "", any_day, party.number, party.currency)
    found = read_original(incoming.path, incoming.path.with_suffix(".rows"), probe, use.config.limits)
    day: date | None = found.day
    if day is None:
        raise InvalidParameter("`day` is missing: the file does not tell it", param="day")
    return day


def _archive(path: Path, target: Path) -> None:
    """Move an original to its place. Errors: InvariantBroken: another content has this place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        move_durably(path, target)
        target.chmod(0o440)
    elif sha256_of(target) != sha256_of(path):
        raise InvariantBroken(f"the archived file {target} has changed")
