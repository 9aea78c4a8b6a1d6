"""The periodic maintenance of the ledger; a worker calls it every few seconds, and several workers may at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg
from prometheus_client import Gauge

from hutong import db, telemetry
from hutong.clock import to_ns
from hutong.ledger.accounting.day_cut import DayCut, DayCutStep, run_day_cut
from hutong.ledger.accounting.days import DayState, list_days
from hutong.ledger.accounting.standing_orders import run_standing_orders
from hutong.ledger.hash_chain import seal
from hutong.ledger.ledger import Ledger
from hutong.ledger.partitions import make_partitions

_PULSE = 1_000
_ROUNDS = 20
_DAYS_PER_CALL = 10
_log = telemetry.get_logger(__name__)
_CUT_LATE = Gauge("hutong_day_cut_late_seconds", "How long the oldest day that is over has been waiting to be closed.")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The work that one call of `maintain` did."""

    partitions: list[str]
    expired: int
    orders: int
    sealed: int
    day: DayCut | None


async def maintain(database: db.Database, *, now: datetime, new_id: Callable[[], UUID]) -> Maintenance:
    """Make partitions ahead, release due holds, run standing orders, seal committed rows, close the days that are due.

    Effects:
        Runs each part in transactions of its own; the next call does the rest.
    """
    partitions = await _partitions(database, now)
    expired = orders = sealed = 0
    for _ in range(_ROUNDS):
        count = await database.run(partial(_expire, now))
        expired += count
        if count < _PULSE:
            break
    while count := await database.run(partial(run_standing_orders, now=now, new_id=new_id)):
        orders += count
    for _ in range(_ROUNDS):
        count = await database.run(partial(seal, now=now))
        sealed += count
        if not count:
            break
    return Maintenance(partitions, expired, orders, sealed, await _close_days(database, now))


async def _close_days(database: db.Database, now: datetime) -> DayCut | None:
    """Close the days that are due, and return the last state of the last one."""
    last: DayCut | None = None
    for _ in range(_DAYS_PER_CALL):
        await _report_late_days(database, now, last is None)
        cut = await run_day_cut(database, now=now)
        if cut is None:
            break
        last = cut
        if cut.problem:
            _log.error("day_cut_refused", day=str(cut.day), problem=cut.problem)
        if cut.step is not DayCutStep.FINISHED:
            break
    return last


async def _report_late_days(database: db.Database, now: datetime, warn: bool) -> None:
    """Measure the delay of the oldest day that is over; warn of those whose closing has not begun."""
    days = await database.run(partial(list_days, now=now, limit=_DAYS_PER_CALL))
    waiting = [day for day in days if day.due_at and day.state in (DayState.DUE, DayState.CLOSING)]
    _CUT_LATE.set(max(((now - day.due_at).total_seconds() for day in waiting if day.due_at), default=0))
    for day in reversed(waiting):
        if warn and day.state is DayState.DUE and day.late is not None:
            _log.warning("day_cut_late", day=str(day.day), due_at=str(day.due_at), late_s=int(day.late.total_seconds()))


async def _expire(now: datetime, tx: db.Tx) -> int:
    return await Ledger(tx, clock=lambda: to_ns(now)).expire_pending_transfers(_PULSE)


async def _partitions(database: db.Database, now: datetime) -> list[str]:
    try:
        return await database.run(partial(make_partitions, now=now))
    except asyncpg.LockNotAvailableError:
        return []  # writers were in the way; the next call repeats it, and enough partitions are ready
    except (asyncpg.CheckViolationError, asyncpg.UniqueViolationError) as error:
        _log.warning("partition_not_made", reason=type(error).__name__)
        return []
