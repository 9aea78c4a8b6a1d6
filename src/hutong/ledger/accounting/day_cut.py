"""The day cut: a switch that blocks nobody, and balances proven before the day is closed.

A transfer belongs to the day of its time. Closing a day first sees to it that no new transfer belongs to it.
Transactions that began before the switch may still write into it, so the closing waits for them. Then the day's
movements are added up from its rows and compared with the balances that the rows themselves carry, and all closed days
with the accounts. Only when all of them agree does the batch date follow.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

from hutong import db
from hutong.errors import Conflict
from hutong.ledger.day_rule import rule_of_books
from hutong.ledger.statements import sql as _sql

_DAY = timedelta(days=1)


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


async def advance_day_cut(tx: db.Tx, *, day: date | None = None, now: datetime) -> DayCut | None:
    """Run the next step of closing a day; commit, and call again until the day is FINISHED.

    Args:
        day: The day to close; by default, the next one that is over. The first is the first day with business, or
            the last day that is over if there was none.

    Repeat:
        Each step can be interrupted and run again; a finished day stays finished.

    Returns:
        The state of the closing, or None if no day is due.

    Errors:
        Conflict: the previous day is not closed yet, the day is not over, or it is not the first.
    """
    (books,) = await _sql.lock_accounting_day.fetch(tx)
    rule = rule_of_books(books)
    last_due = rule.last_due_day(now)
    previous: date | None = books["batch_date"]
    first = previous + _DAY if previous else await _first_day(tx, last_due)
    if day is None:
        day = first
        if day > last_due:
            return None
    if day > last_due:
        raise Conflict(f"the day {day} is not over")
    if day > first or (previous is None and day < first):
        raise Conflict(f"{first} must be closed first")
    state = await _sql.day_cut.fetchrow(tx, day)
    if state is None:
        if previous is not None and day <= previous:
            raise Conflict(f"the books are past the day {day}")
        await _sql.begin_day_cut.execute(tx, day, day + _DAY, now, rule.end_of(day))
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
    await _sql.note_next_rows.execute(tx, day)
    problem = await _find_problem(tx, day, from_xact)
    if problem is not None:
        return DayCut(day, DayCutStep.DRAINED, problem=problem)
    await _sql.advance_day_cut.execute(tx, day, DayCutStep.BALANCED.value, None)
    return DayCut(day, DayCutStep.BALANCED)


async def _first_day(tx: db.Tx, last_due: date) -> date:
    """Return the first day to close: an earlier one would be empty, and a later one would hold several days."""
    begun = await _sql.recent_day_cuts.fetchrow(tx, 1)
    business = begun["day"] if begun else await _sql.first_business_day.fetchval(tx)
    return min(business or last_due, last_due)


async def _find_problem(tx: db.Tx, day: date, from_xact: int) -> str | None:
    ledger = await _sql.day_imbalance.fetchrow(tx, day)
    if ledger is not None:
        return f"ledger {ledger['ledger']}: debits {ledger['debits']} and credits {ledger['credits']} differ"
    account = await _sql.day_total_against_detail.fetchval(tx, day)
    if account is not None:
        return f"account {account}: the movements of the day do not add up to its balance"
    account = await _sql.account_apart_from_days.fetchval(tx, day, from_xact)
    if account is not None:
        return f"account {account}: its closed days and what is not closed yet do not add up to its balance"
    subject = await _sql.subject_apart_from_days.fetchrow(tx, day, from_xact)
    if subject is not None:
        return (
            f"subject {subject['code']} of ledger {subject['ledger']}: its closed days and what is not closed yet "
            "do not add up to its accounts"
        )
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
