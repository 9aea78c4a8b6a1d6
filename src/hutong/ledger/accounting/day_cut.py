"""Closing the day: two dates, a switch that stops nobody, and balances proven before the day is done.

The online date is the one new transfers get; it moves first. Transactions that began before the move may still write
into the old day, so the closing waits for them. Then the day's movements are added up from its rows, compared with the
balances that the rows themselves carry, and only when all agree the batch date follows.
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


class Step(enum.Enum):
    """How far the closing of a day has come."""

    SWITCHED = "switched"
    DRAINED = "drained"
    BALANCED = "balanced"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class DayCut:
    """Where the closing stands after a step.

    Attributes:
        waiting: Transactions from before the switch still run; try again.
        problem: Why the day cannot be closed, naming the account or ledger; put it right and try again.
    """

    day: date
    step: Step
    waiting: bool = False
    problem: str | None = None


def due_day(now: datetime, *, cut_time: time, zone: str) -> date:
    """The last day whose cut has passed at this moment."""
    local = now.astimezone(ZoneInfo(zone))
    today = local.date() if local.timetz().replace(tzinfo=None) >= cut_time else local.date() - timedelta(days=1)
    return today - timedelta(days=1)


async def set_cut_time(tx: db.Tx, cut_time: time, zone: str) -> None:
    """Let days end at this time in this zone."""
    ZoneInfo(zone)
    await _sql.set_cut_time.execute(tx, cut_time, zone)


async def day_cut(tx: db.Tx, *, day: date | None = None, now: datetime) -> DayCut | None:
    """Do the next step of closing a day; commit, and call again until it is FINISHED.

    Args:
        day: Which day; left out, the next one whose cut has passed.

    Repeat:
        Each step can be broken off and begun again; a finished day stays finished.

    Returns:
        Where the closing stands, or None if no day is due.

    Errors:
        Conflict: the day before is not closed yet, or the day is not over.
    """
    (books,) = await _sql.accounting_day.fetch(tx)
    last_due = due_day(now, cut_time=books["cut_time"], zone=books["zone"])
    previous: date | None = books["batch_date"]
    if day is None:
        day = previous + timedelta(days=1) if previous else last_due
        if day > last_due:
            return None
    if day > last_due:
        raise Conflict("the day is not over")
    if previous is not None and day > previous + timedelta(days=1):
        raise Conflict(f"{previous + timedelta(days=1)} must be closed first")
    state = await _sql.day_cut.fetchrow(tx, day)
    if state is None:
        if previous is not None and day <= previous:
            raise Conflict("the books have passed this day")
        await _sql.begin_day_cut.execute(tx, day, day + timedelta(days=1), now)
        return DayCut(day, Step.SWITCHED)
    step = Step(state["step"])
    if step is Step.SWITCHED and state["switched_xact"] is None:
        await _sql.note_switch.execute(tx, day)
        return DayCut(day, step)
    if step is Step.SWITCHED:
        step = Step(await _sql.drain.fetchval(tx, day))
        return DayCut(day, step, waiting=step is Step.SWITCHED)
    if step is Step.DRAINED:
        return await _balance(tx, day, state["from_xact"], previous)
    if step is Step.BALANCED:
        await _sql.finish_batch_date.execute(tx, day)
        await _sql.advance_day_cut.execute(tx, day, Step.FINISHED.value, now)
    return DayCut(day, Step.FINISHED)


async def _balance(tx: db.Tx, day: date, from_xact: int, previous: date | None) -> DayCut:
    await _sql.forget_day_balances.execute(tx, day)
    await _sql.balance_accounts.execute(tx, day, from_xact, previous)
    await _sql.balance_subjects.execute(tx, day)
    problem = await _problem(tx, day)
    if problem is not None:
        return DayCut(day, Step.DRAINED, problem=problem)
    await _sql.advance_day_cut.execute(tx, day, Step.BALANCED.value, None)
    return DayCut(day, Step.BALANCED)


async def _problem(tx: db.Tx, day: date) -> str | None:
    uneven = await _sql.day_imbalance.fetchrow(tx, day)
    if uneven is not None:
        return f"ledger {uneven['ledger']}: debits {uneven['debits']} and credits {uneven['credits']} differ"
    wrong = await _sql.day_total_against_detail.fetchval(tx, day)
    if wrong is not None:
        return f"account {wrong}: the movements of the day do not add up to its balance"
    negative = await _sql.day_negative_account.fetchval(tx, day)
    if negative is not None:
        return f"account {negative}: below zero at the end of the day"
    return None


async def run_day_cut(database: db.Database, *, now: datetime, day: date | None = None) -> DayCut | None:
    """Take every step that can be taken now, each in a transaction of its own."""
    cut = await database.run(partial(day_cut, day=day, now=now))
    while cut is not None and cut.step is not Step.FINISHED and not cut.waiting and not cut.problem:
        cut = await database.run(partial(day_cut, day=cut.day, now=now))
    return cut
