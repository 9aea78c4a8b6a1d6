"""The days of the books: when they end, which are closed, and which are late."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hutong import db
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.day_cut import DayCutStep
from hutong.ledger.day_rule import CutBelongsTo, DayRule, default_belonging, rule_of_books
from hutong.ledger.statements import sql as _sql

LATE_AFTER = timedelta(minutes=15)
"""How long after its end a day is late if it is not closed."""

__all__ = [
    "AccountingDay",
    "CutBelongsTo",
    "DayRule",
    "DayState",
    "day_rule",
    "list_days",
    "make_rule",
    "set_day_rule",
]

_DAY = timedelta(days=1)


class DayState(enum.Enum):
    """The state of a day."""

    OPEN = "open"
    DUE = "due"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class AccountingDay:
    """One day of the books.

    Attributes:
        step: The progress of its closing.
        due_at: When it ends; None for days that were closed before their ends were kept.
        late: How long after its end it was closed, or has been waiting; None if that is not too long.
    """

    day: date
    state: DayState
    step: DayCutStep | None
    due_at: datetime | None
    closed_at: datetime | None
    late: timedelta | None


async def day_rule(tx: db.Tx) -> DayRule:
    """Return the rule by which days end at present."""
    (books,) = await _sql.accounting_day.fetch(tx)
    return rule_of_books(books)


def make_rule(cut_time: time, zone: str, belongs: CutBelongsTo | None = None) -> DayRule:
    """Return the rule of days that end at this time in this zone.

    Args:
        cut_time: In whole minutes.
        belongs: The date on which a day ends; by default, from noon on its own, and the date after it before that.

    Errors:
        InvalidParameter: there is no such zone, or the time has seconds; `param` is "zone" or "cut_time".
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a path, a folder, an unknown name
        raise InvalidParameter(f"there is no zone {zone}", param="zone") from error
    if cut_time.second or cut_time.microsecond or cut_time.tzinfo:
        raise InvalidParameter("a cut time is a local time in whole minutes", param="cut_time")
    return DayRule(zone, cut_time, belongs or default_belonging(cut_time))


async def set_day_rule(tx: db.Tx, rule: DayRule) -> None:
    """Let days end by this rule from now on. Dates never fall: what belongs to a later day already stays there."""
    await _sql.set_cut_time.execute(tx, rule.cut_time, rule.zone, rule.cut_belongs_to.value)


async def list_days(tx: db.Tx, *, now: datetime, limit: int = 31) -> list[AccountingDay]:
    """Return the newest days, newest first: the open one, those that are due, and those that are closed.

    Args:
        limit: The most closed days, and the most days that are due.
    """
    (books,) = await _sql.accounting_day.fetch(tx)
    rule, cuts = rule_of_books(books), await _sql.recent_day_cuts.fetch(tx, limit)
    known = [_known_day(cut, now) for cut in cuts]
    today = rule.day_of(now)
    first = cuts[0]["day"] + _DAY if cuts else await _sql.first_business_day.fetchval(tx) or today
    newer = [first + _DAY * n for n in range(min((today - first).days + 1, limit + 1))]
    return [_new_day(day, rule, now) for day in reversed(newer)] + known


def _known_day(cut: Any, now: datetime) -> AccountingDay:
    step, due_at, closed_at = DayCutStep(cut["step"]), cut["due_at"], cut["finished_at"]
    late = (closed_at or now) - due_at if due_at else timedelta(0)
    return AccountingDay(
        cut["day"], DayState.CLOSED if step is DayCutStep.FINISHED else DayState.CLOSING, step, due_at, closed_at,
        late if late > LATE_AFTER else None,
    )  # fmt: skip


def _new_day(day: date, rule: DayRule, now: datetime) -> AccountingDay:
    due_at = rule.end_of(day)
    late = now - due_at
    state = DayState.DUE if due_at <= now else DayState.OPEN
    return AccountingDay(day, state, None, due_at, None, late if late > LATE_AFTER else None)
