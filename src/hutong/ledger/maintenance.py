"""The periodic maintenance of the ledger; a worker calls it every few seconds, and several workers may at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg

from hutong import db, telemetry
from hutong.clock import to_ns
from hutong.ledger.accounting.day_cut import DayCut, run_day_cut
from hutong.ledger.accounting.standing_orders import run_standing_orders
from hutong.ledger.hash_chain import seal
from hutong.ledger.ledger import Ledger
from hutong.ledger.partitions import make_partitions

_PULSE = 1_000
_ROUNDS = 20
_log = telemetry.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The work that one call of `maintain` did."""

    partitions: list[str]
    expired: int
    orders: int
    sealed: int
    day: DayCut | None


async def maintain(database: db.Database, *, now: datetime, new_id: Callable[[], UUID]) -> Maintenance:
    """Make partitions ahead, release due holds, run standing orders, seal committed rows, close the day if it is due.

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
    day = await run_day_cut(database, now=now)
    if day is not None and day.problem:
        _log.error("day_cut_refused", day=str(day.day), problem=day.problem)
    return Maintenance(partitions, expired, orders, sealed, day)


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
