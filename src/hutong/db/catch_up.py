"""Catch-up: the time from a restore of the database until normal work begins again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong.db.pool import Database, Tx
from hutong.db.reader import reader
from hutong.db.statements import load_statements

_sql = load_statements("hutong.db")


class CatchUpReason(StrEnum):
    """How a restore was noticed."""

    CLUSTER = "cluster"
    """The database is in another cluster than before."""
    HIGH_WATER = "high_water"
    """The mark kept outside the database is higher than the one inside."""
    BACKUP = "backup"
    """The embedded database was restored from a backup."""
    OPERATOR = "operator"
    """An operator reported it."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """One catch-up.

    Attributes:
        begun_at: What was written before is from before the restore.
        prepared_at: When everything that was open became due for a query; None until that is done.
        lost_since: The lost time does not begin earlier; None where that is not known.
    """

    catch_up_id: int
    epoch: int
    reason: CatchUpReason
    begun_at: datetime
    prepared_at: datetime | None
    lost_since: datetime | None


_read = reader(CatchUp, _sql["catch_up"])


async def open_catch_up(tx: Tx) -> CatchUp | None:
    """Return the catch-up that has not ended, if there is one."""
    row = await _sql.open_catch_up.fetchrow(tx)
    return None if row is None else _read(row)


async def refresh_catch_up(database: Database) -> CatchUp | None:
    """Read whether a catch-up is open, for all that use this pool; return it."""
    async with database.transaction() as tx:
        catch_up = await open_catch_up(tx)
    database.catching_up_since = None if catch_up is None else catch_up.begun_at
    return catch_up


async def begin_catch_up(
    tx: Tx,
    reason: CatchUpReason,
    *,
    now: datetime,
    lost_since: datetime | None = None,
    machine_id: UUID | None = None,
) -> None:
    """Begin a new epoch and its catch-up. One that is open ends: what it covered, the new one covers too.

    Args:
        lost_since: The begin of the lost time, where a person knows it.
        machine_id: The machine that has noticed the restore. Otherwise the begin is when it last raised the mark.
    """
    await _sql.begin_catch_up.execute(tx, reason, now, lost_since, machine_id)


async def mark_prepared(tx: Tx, catch_up: CatchUp, *, now: datetime) -> None:
    """Record that what a catch-up begins with is done."""
    await _sql.mark_prepared.execute(tx, catch_up.catch_up_id, now)


async def finish_catch_up(
    tx: Tx, *, by: str, reason: str, now: datetime, catch_up_id: int | None = None
) -> CatchUp | None:
    """End the open catch-up, so that normal work begins; return it, or None if none was open.

    Args:
        catch_up_id: End this one alone, and none that has begun since.
    """
    row = await _sql.finish_catch_up.fetchrow(tx, now, by, reason, catch_up_id)
    return None if row is None else _read(row)


async def lock_high_water(tx: Tx) -> tuple[UUID, int]:
    """Return the installation and its mark, locked until the transaction ends."""
    row = await _sql.lock_high_water.fetchrow(tx)
    assert row is not None, "the migration wrote it"
    return row["installation"], row["mark"]


async def raise_high_water(tx: Tx, mark: int, *, machine_id: UUID, now: datetime) -> None:
    """Set the mark, and remember that this machine did; the caller has locked it."""
    await _sql.raise_high_water.execute(tx, mark)
    await _sql.raise_machine.execute(tx, machine_id, now)
