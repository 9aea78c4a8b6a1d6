"""Noticing that the database was restored to an earlier time, and what a catch-up begins with.

The data folder has `high_water.json`: for each installation the mark that its database had last. Where the database's
own mark is lower, it has gone back. Each machine keeps a file of its own, and its name in `machine_id`. A restore into
another cluster is noticed by the database itself, and one by `hutong backup restore` by the file `restored.json` that
it leaves.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg

from hutong import db, payments
from hutong.app.instance import machine_id
from hutong.durable_files import write_private
from hutong.errors import ConfigurationError
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_RESTORED = "restored.json"
_JUMP = 1_000_000_000
"""Added to the mark by a catch-up, so that the files of other machines, which are higher too, begin no second one."""


async def watch_restore(database: db.Database, home: Path, *, now: datetime) -> db.CatchUp | None:
    """Compare the marks, raise them, begin a catch-up if the database was restored, and return the one that is open.

    Effects:
        Tells `database` whether a catch-up is open. When one begins, every open attempt and refund becomes due for a
        query.

    Errors:
        ConfigurationError: the file in the data folder cannot be read.
    """
    try:
        async with _locked(home):
            marks = await asyncio.to_thread(_read_marks, home)
            installation, mark = await database.run(lambda tx: _raise_mark(tx, marks, home, now))
            noticed = {} if (stamp := _backup_stamp(home)) is None else {_RESTORED: stamp}
            await asyncio.to_thread(_write_marks, home, {**marks, **noticed, str(installation): mark})
    except asyncpg.UndefinedTableError:
        return None  # not migrated yet
    catch_up = await db.refresh_catch_up(database)
    if catch_up is not None and catch_up.prepared_at is None:
        await database.run(lambda tx: _prepare(tx, catch_up, now))
        _log.error("restore_noticed", reason=catch_up.reason.value, epoch=catch_up.epoch)
    return catch_up


async def _raise_mark(tx: db.Tx, marks: dict[str, int], home: Path, now: datetime) -> tuple[UUID, int]:
    installation, mark = await db.lock_high_water(tx)
    machine = await asyncio.to_thread(machine_id, home)
    outside = marks.get(str(installation), -1)
    reason = None
    if _backup_stamp(home) not in (None, marks.get(_RESTORED)):
        reason = db.CatchUpReason.BACKUP
    elif outside > mark:
        reason = db.CatchUpReason.HIGH_WATER
    if reason is not None:
        await db.begin_catch_up(tx, reason, now=now, machine_id=machine)
    mark = max(mark, outside) + (1 if reason is None else _JUMP)
    await db.raise_high_water(tx, mark, machine_id=machine, now=now)
    return installation, mark


async def _prepare(tx: db.Tx, catch_up: db.CatchUp, now: datetime) -> None:
    await payments.restored.query_everything_open(tx, now=now)
    await db.mark_prepared(tx, catch_up, now=now)


def _backup_stamp(home: Path) -> int | None:
    """Return when a backup was last restored here, to tell one restore from the next; None if none was."""
    try:
        return (home / _RESTORED).stat().st_mtime_ns
    except FileNotFoundError:
        return None


@asynccontextmanager
async def _locked(home: Path) -> AsyncIterator[None]:
    """Hold the lock of the data folder's mark; other processes and tasks wait."""
    descriptor = os.open(home / "high_water.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_marks(home: Path) -> dict[str, int]:
    file = home / "high_water.json"
    try:
        marks: dict[str, int] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigurationError(f"{file} cannot be read; remove it and run `hutong restore begin`") from error
    return marks


def _write_marks(home: Path, marks: dict[str, int]) -> None:
    write_private(home / "high_water.json", json.dumps(marks))
