"""The day cut: two dates, a switch that blocks nobody, and balances proven before the day is closed.

The online date is the date of new transfers, and it moves first. Transactions that began before the switch may still
write into the old day, so the closing waits for them. Then the day's movements are added up from its rows and compared
with the balances that the rows themselves carry. Only when all of them agree does the batch date follow.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from hutong import db
from hutong.errors import Conflict
from hutong.ledger.statements import sql as _sql


class DayCutStep(enum.Enum):
    """The progress of closing a day."""

    SWITCHED = "switched"
    DRAINED = "drained"
    BALANCED = "balanced"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class DayCut:
    """The state of a closing after a step.

    Attributes:
        waiting: Transactions from before the switch are still running; run the step again later.
        problem: Why the day cannot be closed, naming the account or ledger. Once corrected, run the step again.
    """

    day: date
    step: DayCutStep
    waiting: bool = False
    problem: str | None = None


def last_due_day(now: datetime, *, cut_time: time, zone: str) -> date:
    """Return the last day whose cut has passed at this instant."""
    local = now.astimezone(ZoneInfo(zone))
    today = local.date() if local.timetz().replace(tzinfo=None) >= cut_time else local.date() - timedelta(days=1)
    return today - timedelta(days=1)


async def set_cut_time(tx: db.Tx, cut_time: time, zone: str) -> None:
    """Let days end at this time in this zone, from the next cut on.

    Errors:
        zoneinfo.ZoneInfoNotFoundError: there is no such zone.
    """
    ZoneInfo(zone)
    await _sql.set_cut_time.execute(tx, cut_time, zone)


async def advance_day_cut(tx: db.Tx, *, day: date | None = None, now: datetime) -> DayCut | None:
    """Run the next step of closing a day; commit, and call again until the day is FINISHED.

    Args:
        day: The day to close; by default, the next one whose cut has passed.

    Repeat:
        Each step can be interrupted and run again; a finished day stays finished.

    Returns:
        The state of the closing, or None if no day is due.

    Errors:
        Conflict: the previous day is not closed yet, or the day is not over.
    """
    (books,) = await _sql.accounting_day.fetch(tx)
    last_due = last_due_day(now, cut_time=books["cut_time"], zone=books["zone"])
    previous: date | None = books["batch_date"]
    if day is None:
        day = previous + timedelta(days=1) if previous else last_due
        if day > last_due:
            return None
    if day > last_due:
        raise Conflict(f"the day {day} is not over")
    if previous is not None and day > previous + timedelta(days=1):
        raise Conflict(f"{previous + timedelta(days=1)} must be closed first")
    state = await _sql.day_cut.fetchrow(tx, day)
    if state is None:
        if previous is not None and day <= previous:
            raise Conflict(f"the books are past the day {day}")
        await _sql.begin_day_cut.execute(tx, day, day + timedelta(days=1), now)
        return DayCut(day, DayCutStep.SWITCHED)
    step = DayCutStep(state["step"])
    if step is DayCutStep.SWITCHED and state["switched_xact"] is None:
        await _sql.note_switch.execute(tx, day)
        return DayCut(day, step)
    if step is DayCutStep.SWITCHED:
        step = DayCutStep(await _sql.drain.fetchval(tx, day))
        return DayCut(day, step, waiting=step is DayCutStep.SWITCHED)
    if step is DayCutStep.DRAINED:
        return await _balance(tx, day, state["from_xact"], previous)
    if step is DayCutStep.BALANCED:
        await _sql.finish_batch_date.execute(tx, day)
        await _sql.advance_day_cut.execute(tx, day, DayCutStep.FINISHED.value, now)
    return DayCut(day, DayCutStep.FINISHED)


async def _balance(tx: db.Tx, day: date, from_xact: int, previous: date | None) -> DayCut:
    await _sql.forget_day_balances.execute(tx, day)
    await _sql.balance_accounts.execute(tx, day, from_xact, previous)
    await _sql.balance_subjects.execute(tx, day)
    problem = await _find_problem(tx, day)
    if problem is not None:
        return DayCut(day, DayCutStep.DRAINED, problem=problem)
    await _sql.advance_day_cut.execute(tx, day, DayCutStep.BALANCED.value, None)
    return DayCut(day, DayCutStep.BALANCED)


async def _find_problem(tx: db.Tx, day: date) -> str | None:
    ledger = await _sql.day_imbalance.fetchrow(tx, day)
    if ledger is not None:
        return f"ledger {ledger['ledger']}: debits {ledger['debits']} and credits {ledger['credits']} differ"
    account = await _sql.day_total_against_detail.fetchval(tx, day)
    if account is not None:
        return f"account {account}: the movements of the day do not add up to its balance"
    account = await _sql.day_negative_account.fetchval(tx, day)
    if account is not None:
        return f"account {account}: below zero at the end of the day"
    return None


async def run_day_cut(database: db.Database, *, now: datetime, day: date | None = None) -> DayCut | None:
    """Run every step of closing a day that can run now, each in a transaction of its own."""
    cut = await database.run(partial(advance_day_cut, day=day, now=now))
    while cut is not None and cut.step is not DayCutStep.FINISHED and not cut.waiting and not cut.problem:
        cut = await database.run(partial(advance_day_cut, day=cut.day, now=now))
    return cut
