"""The days of the books: when each ends, and to which one an instant belongs."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

_MINUTE_NS = 60_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_NOON = 12


class CutBelongsTo(enum.Enum):
    """Whether a day ends on its own date, as at 23:00, or on the date after it, as at midnight."""

    SAME_DAY = "same_day"
    NEXT_DAY = "next_day"


@dataclass(frozen=True, slots=True)
class DayRule:
    """When days end.

    Days are spans between instants: a clock that is set back at the end of summer time does not begin a day twice.

    Attributes:
        cut_time: The local time, in whole minutes.
    """

    zone: str
    cut_time: time
    cut_belongs_to: CutBelongsTo

    def end_of(self, day: date) -> datetime:
        """Return the instant at which a day ends and the next one begins, in UTC.

        It is the first at which the clock on the wall shows the cut time of that date or a later one: a time that
        occurs twice counts the first time, and one that is skipped counts when the clock is put forward past it.
        """
        shown = datetime.combine(day if self.cut_belongs_to is CutBelongsTo.SAME_DAY else day + _DAY, self.cut_time)
        zone = ZoneInfo(self.zone)
        before, end = (shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
        while end - before > _MINUTE:  # never, but for a time that is skipped: the clock is put forward in between
            middle = before + (end - before) // _MINUTE // 2 * _MINUTE
            if middle.astimezone(zone).replace(tzinfo=None) < shown:
                before = middle
            else:
                end = middle
        return end

    def day_of(self, instant: datetime) -> date:
        """Return the day that an instant belongs to."""
        day = instant.astimezone(ZoneInfo(self.zone)).date() - 2 * _DAY
        while instant >= self.end_of(day):
            day += _DAY
        return day

    def last_due_day(self, now: datetime) -> date:
        """Return the last day that is over."""
        return self.day_of(now) - _DAY


def default_belonging(cut_time: time) -> CutBelongsTo:
    """Return the date that a cut time is on if nothing else is agreed: from noon on, the date of the day that ends."""
    return CutBelongsTo.SAME_DAY if cut_time.hour >= _NOON else CutBelongsTo.NEXT_DAY


def rule_of_books(row: Any) -> DayRule:
    """Return the rule that a row of `accounting_day` holds."""
    return DayRule(row["zone"], row["cut_time"], CutBelongsTo(row["cut_belongs_to"]))


@lru_cache(maxsize=256)
def read_rule(packed: bytes) -> DayRule:
    """Return the rule in the form in which `acquire` sends it: belonging, cut time and zone, separated by spaces."""
    belongs, cut_time, zone = packed.decode().split(" ", 2)
    return DayRule(zone, time.fromisoformat(cut_time), CutBelongsTo(belongs))


def day_of_timestamp(rule: DayRule, timestamp: int) -> date:
    """Return the day of a timestamp in nanoseconds."""
    return _day_of_minute(rule, timestamp // _MINUTE_NS)


@lru_cache(maxsize=256)
def _day_of_minute(rule: DayRule, minute: int) -> date:
    return rule.day_of(_EPOCH + timedelta(minutes=minute))
