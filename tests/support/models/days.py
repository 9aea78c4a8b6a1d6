"""The books in plain Python, written from their rules and without their code: dates, days, balances, statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OFFSETS = {
    "UTC": [(_EPOCH, 0)],
    "Asia/Shanghai": [(_EPOCH, 8)],
    "Pacific/Apia": [(_EPOCH, 13)],
    "America/New_York": [
        (_EPOCH, -5), (datetime(2026, 3, 8, 7, tzinfo=UTC), -4), (datetime(2026, 11, 1, 6, tzinfo=UTC), -5),
    ],
}  # fmt: skip
"""The hours that the clocks of a zone are ahead in 2026, each from an instant on."""


class Rule(NamedTuple):
    """When days end: hour and minute on the wall, on their own date or the next one."""

    zone: str
    hour: int
    minute: int
    same_day: bool

    def end_of(self, day: date) -> datetime:
        on = day if self.same_day else day + DAY
        wall = datetime(on.year, on.month, on.day, self.hour, self.minute, tzinfo=UTC)
        readings = [wall - timedelta(hours=hours) for _, hours in OFFSETS[self.zone]]
        real = [at for at in readings if at + self._ahead(at) == wall]
        # A time that clocks skip is read as if they had not been set.
        return min(real) if real else wall - self._ahead(wall - DAY)

    def day_of(self, at: datetime) -> date:
        day = at.date() - 2 * DAY
        while at >= self.end_of(day):
            day += DAY
        return day

    def _ahead(self, at: datetime) -> timedelta:
        return timedelta(hours=[hours for since, hours in OFFSETS[self.zone] if since <= at][-1])


Key = tuple[int, int]
"""A code of the chart and the number of an owner."""

COVERED = {2001, 2002, 2201}
"""Codes whose accounts must not be overdrawn, holds included."""


class Booking(NamedTuple):
    id: int
    debit: Key
    credit: Key
    amount: int
    at: datetime
    day: date


@dataclass
class Hold:
    debit: Key
    credit: Key
    amount: int
    due: datetime | None


@dataclass
class Books:
    """What the ledger must have. Every method takes the instant, and says what the ledger must answer."""

    rule: Rule
    bookings: list[Booking] = field(default_factory=list)
    holds: dict[int, Hold] = field(default_factory=dict)
    latest: dict[Key, date] = field(default_factory=dict)
    begun: date | None = None
    closed: list[date] = field(default_factory=list)

    # Booking

    def move(self, id: int, debit: Key, credit: Key, amount: int, now: datetime) -> str:  # noqa: A002
        day = self._touch({debit, credit}, now)
        if self._short(debit, amount):
            return "EXCEEDS_CREDITS"
        self._book(id, debit, credit, amount, now, day)
        return "CREATED"

    def hold(self, id: int, debit: Key, credit: Key, amount: int, timeout: int, now: datetime) -> str:  # noqa: A002
        day = self._touch({debit, credit}, now)
        if self._short(debit, amount):
            return "EXCEEDS_CREDITS"
        self.holds[id] = Hold(debit, credit, amount, now + timedelta(seconds=timeout) if timeout else None)
        self._date({debit, credit}, day)
        return "CREATED"

    def resolve(self, id: int, hold_id: int, amount: int, now: datetime) -> str:  # noqa: A002
        """Post an amount of a hold that is open and not due, or void it for 0."""
        hold = self.holds[hold_id]
        day = self._touch({hold.debit, hold.credit}, now)
        del self.holds[hold_id]
        self._date({hold.debit, hold.credit}, day)
        if amount:
            self._book(id, hold.debit, hold.credit, amount, now, day)
        return "CREATED"

    def bring_in(self, id: int, debit: Key, credit: Key, amount: int, at: datetime, reason: str, now: datetime) -> str:  # noqa: A002
        """Import a booking of a past instant after all others."""
        if self.begun is not None and at < self.rule.end_of(self.begun) and not reason:
            return "refused"
        day = self._touch({debit, credit}, now)
        if self._short(debit, amount):
            return "EXCEEDS_CREDITS"
        self._book(id, debit, credit, amount, at, day)
        return "CREATED"

    def expire(self, now: datetime) -> None:
        """Release every hold that is due, in one batch."""
        due = [hold for hold in self.holds.values() if hold.due and hold.due <= now]
        self._release(due, {key for hold in due for key in (hold.debit, hold.credit)}, now)

    def _touch(self, accounts: set[Key], now: datetime) -> date:
        """Release the due holds on some accounts, and return the date of what is booked on them now."""
        due = [
            hold for hold in self.holds.values()
            if hold.due and hold.due <= now and {hold.debit, hold.credit} & accounts
        ]  # fmt: skip
        return self._release(due, accounts | {key for hold in due for key in (hold.debit, hold.credit)}, now)

    def _release(self, due: list[Hold], locked: set[Key], now: datetime) -> date:
        dates = [self.rule.day_of(now), *(self.latest[key] for key in locked if key in self.latest)]
        day = max(dates if self.begun is None else [*dates, self.begun + DAY])
        self.holds = {number: hold for number, hold in self.holds.items() if hold not in due}
        self._date({key for hold in due for key in (hold.debit, hold.credit)}, day)
        return day

    def _book(self, id: int, debit: Key, credit: Key, amount: int, at: datetime, day: date) -> None:  # noqa: A002
        self.bookings.append(Booking(id, debit, credit, amount, at, day))
        self._date({debit, credit}, day)

    def _date(self, accounts: Iterable[Key], day: date) -> None:
        for key in accounts:
            assert self.latest.get(key, day) <= day, "the dates of an account have fallen"
            self.latest[key] = day

    def _short(self, debit: Key, amount: int) -> bool:
        if debit[0] not in COVERED:
            return False
        taken = sum(hold.amount for hold in self.holds.values() if hold.debit == debit)
        debits, credits = self.sums(debit)  # noqa: A001
        return debits + taken + amount > credits

    # Days

    def next_day(self, now: datetime) -> date | None:
        """The day that a cut must close next, if it is over."""
        last_due = self.rule.day_of(now) - DAY
        if self.closed:
            wanted = self.closed[-1] + DAY
        elif self.begun is not None:
            wanted = min(self.begun, last_due)
        else:
            wanted = min([last_due, *(booking.day for booking in self.bookings)])
        return wanted if wanted <= last_due else None

    def sums(self, key: Key, days: tuple[date, date] = (date.min, date.max)) -> tuple[int, int]:
        """The debits and credits of an account over some days."""
        moved = [booking for booking in self.bookings if days[0] <= booking.day <= days[1]]
        return (
            sum(booking.amount for booking in moved if booking.debit == key),
            sum(booking.amount for booking in moved if booking.credit == key),
        )

    def day_balances(self, day: date) -> dict[Key, tuple[int, int, int, int]]:
        """The movements of each account that moved on a closed day, and its sums at the end of it."""
        first = day if day != self.closed[0] else date.min
        moved = {
            key for booking in self.bookings if first <= booking.day <= day for key in (booking.debit, booking.credit)
        }
        return {key: (*self.sums(key, (first, day)), *self.sums(key, (date.min, day))) for key in moved}

    def subjects(self, day: date) -> dict[int, tuple[int, int]]:
        """The debits and credits of each code up to the end of a closed day."""
        sums: dict[int, tuple[int, int]] = {}
        for booking in self.bookings:
            if booking.day <= day:
                debits, credits = sums.get(booking.debit[0], (0, 0))  # noqa: A001
                sums[booking.debit[0]] = debits + booking.amount, credits
                debits, credits = sums.get(booking.credit[0], (0, 0))  # noqa: A001
                sums[booking.credit[0]] = debits, credits + booking.amount
        return sums

    # Statements

    def statement_of_days(self, key: Key, first: date, last: date) -> tuple[int, list[tuple[int, int]], int]:
        """Opening, the id and the balance of each line, closing; debits count as positive."""
        before = [booking for booking in self.bookings if booking.day < first]
        return self._statement(key, before, [booking for booking in self.bookings if first <= booking.day <= last])

    def statement(self, key: Key, since: datetime, until: datetime) -> tuple[int, list[tuple[int, int]], int]:
        before = [booking for booking in self.bookings if booking.at < since]
        return self._statement(key, before, [booking for booking in self.bookings if since <= booking.at < until])

    @staticmethod
    def _statement(key: Key, before: list[Booking], during: list[Booking]) -> tuple[int, list[tuple[int, int]], int]:
        def change(booking: Booking) -> int:
            return booking.amount * ((booking.debit == key) - (booking.credit == key))

        balance = opening = sum(map(change, before))
        lines = []
        for booking in during:
            if key in (booking.debit, booking.credit):
                balance += change(booking)
                lines.append((booking.id, balance))
        return opening, lines, balance
