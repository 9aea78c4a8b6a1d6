"""Operating hours of a channel, by weekday, hour and holiday, in the channel's own time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the day on some weekdays.

    Attributes:
        weekdays: 0 is Monday.
        start, end: Of the local day; the end is excluded. A window never crosses midnight: write two.
        closed_on: Days on which it does not apply, such as public holidays.
        utc_offset_minutes: The zone of the local day.
    """

    weekdays: frozenset[int] = frozenset(range(7))
    start: time = time.min
    end: time = time.max
    closed_on: frozenset[date] = frozenset()
    utc_offset_minutes: int = 480

    def contains(self, instant: datetime) -> bool:
        """Return whether the instant lies within the window."""
        local = instant.astimezone(timezone(timedelta(minutes=self.utc_offset_minutes)))
        return (
            local.weekday() in self.weekdays
            and local.date() not in self.closed_on
            and self.start <= local.time() < self.end
        )
