"""A second picture of the books, as plain as possible: days read off the clock on the wall, balances added up again.

It imports nothing of the ledger, so that the two can disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CREDIT_CLASSES = (2, 3, 4)


class Fault(AssertionError):
    """The books and this picture of them differ."""


def at_ns(instant: datetime) -> int:
    return (instant - EPOCH) // MICROSECOND * 1_000


class Calendar:
    """Days that end when the clock on the wall first shows the cut time, on their own date or on the one after it."""

    def __init__(self, zone: str, cut_time: time, *, same_day: bool) -> None:
        self.zone, self.cut_time, self.same_day = ZoneInfo(zone), cut_time, same_day
        self._ends: dict[date, int] = {}

    def wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None)

    def end(self, day: date) -> datetime:
        """The first instant at which the wall shows the cut time of that date or more, looked for minute by minute."""
        shown = datetime.combine(day if self.same_day else day + DAY, self.cut_time)
        instant = shown.replace(tzinfo=UTC) - timedelta(hours=15)  # no clock is as far ahead as that
        while self.wall(instant) < shown:
            instant += timedelta(minutes=1)
        return instant

    def end_ns(self, day: date) -> int:
        if day not in self._ends:
            self._ends[day] = at_ns(self.end(day))
        return self._ends[day]

    def day(self, ns: int) -> date:
        """The first day that is not over."""
        day = self.wall(EPOCH + timedelta(microseconds=ns // 1_000)).date() - 2 * DAY
        while ns >= self.end_ns(day):
            day += DAY
        return day


@dataclass
class Account:
    code: int
    covered: bool
    debits: int = 0
    credits: int = 0
    last_day: date = date.min

    @property
    def sign(self) -> int:
        return -1 if self.code // 1000 in CREDIT_CLASSES else 1


@dataclass
class Line:
    """A movement, in the order in which the books took it."""

    id: int
    debit: int
    credit: int
    amount: int
    at: int
    day: date
    reversed_by: int = 0


@dataclass
class Hold:
    id: int
    debit: int
    credit: int
    amount: int
    ends: int
    state: str = "open"


@dataclass
class Totals:
    opening_debits: int = 0
    opening_credits: int = 0
    debits: int = 0
    credits: int = 0

    @property
    def row(self) -> tuple[int, ...]:
        closing = self.opening_debits + self.debits, self.opening_credits + self.credits
        return self.opening_debits, self.opening_credits, self.debits, self.credits, *closing


@dataclass
class Books:
    """The books as they should be."""

    calendar: Calendar
    accounts: dict[int, Account] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    holds: dict[int, Hold] = field(default_factory=dict)
    dates: dict[int, date] = field(default_factory=dict)  # of every row, holds included
    late: dict[int, date] = field(default_factory=dict)  # imported after their day was closed
    first_open: date = date.min
    closed: list[date] = field(default_factory=list)

    # What happens

    def date_of(self, at: int, *accounts: int) -> date:
        """The day it happened in, unless that is closed or one of the accounts is past it."""
        return max(self.calendar.day(at), self.first_open, *(self.accounts[number].last_day for number in accounts))

    def row(self, number: int, at: int, debit: int, credit: int) -> date:
        """A row of any kind was written."""
        if number in self.dates:
            raise Fault(f"twice: {number:032x} was written again")
        day = self.dates[number] = self.date_of(at, debit, credit)
        for account in (debit, credit):
            self.accounts[account].last_day = day
        return day

    def book(self, number: int, debit: int, credit: int, amount: int, at: int) -> None:
        self.post(Line(number, debit, credit, amount, at, self.row(number, at, debit, credit)))

    def post(self, line: Line) -> None:
        if self.closed and line.day <= self.closed[-1]:
            raise Fault(f"closed: {line.id:032x} of {line.day} came when that day was closed")
        self.lines.append(line)
        self.accounts[line.debit].debits += line.amount
        self.accounts[line.credit].credits += line.amount

    def hold(self, number: int, debit: int, credit: int, amount: int, at: int, seconds: int) -> None:
        self.row(number, at, debit, credit)
        self.holds[number] = Hold(number, debit, credit, amount, at + seconds * 10**9 if seconds else 0)

    def resolve(self, hold: Hold, number: int, at: int, amount: int) -> None:
        """A hold was posted, in part perhaps, or released with an amount of 0."""
        if hold.state != "open" or 0 < hold.ends <= at:
            raise Fault(f"hold: {hold.id:032x} is {hold.state}, ends at {hold.ends}, and was resolved at {at}")
        hold.state = "posted" if amount else "released"
        if amount:
            self.book(number, hold.debit, hold.credit, amount, at)
        else:
            self.row(number, at, hold.debit, hold.credit)

    def expired(self, hold_id: int, number: int, at: int) -> None:
        hold = self.holds[hold_id]
        if hold.state != "open" or not 0 < hold.ends <= at:
            raise Fault(f"hold: {hold.id:032x} is {hold.state}, ends at {hold.ends}, and ran out at {at}")
        hold.state = "expired"
        self.row(number, at, hold.debit, hold.credit)

    def begin_closing(self, day: date, now: int) -> None:
        expected = self.closed[-1] + DAY if self.closed else min(self.dates.values())
        if day != expected:
            raise Fault(f"order: {day} is closed before {expected}")
        if now < self.calendar.end_ns(day):
            raise Fault(f"early: {day} is closed before it is over")
        self.first_open = max(self.first_open, day + DAY)

    # What is so

    def pending(self, account: int, at: int) -> tuple[int, int]:
        """The debits and credits that are held: a hold that has run out holds nothing, released or not."""
        held = [hold for hold in self.holds.values() if hold.state == "open" and not 0 < hold.ends <= at]
        return (
            sum(hold.amount for hold in held if hold.debit == account),
            sum(hold.amount for hold in held if hold.credit == account),
        )

    def covers(self, account: int, amount: int, at: int) -> bool:
        owner = self.accounts[account]
        return not owner.covered or owner.debits + self.pending(account, at)[0] + amount <= owner.credits

    def days_due(self, now: int) -> list[date]:
        """The days that are over and not closed."""
        day = self.closed[-1] + DAY if self.closed else min(self.dates.values())
        due = []
        while self.calendar.end_ns(day) <= now:
            due.append(day)
            day += DAY
        return due

    def totals(self, first: date, last: date) -> dict[int, Totals]:
        """What each account had before some days and did on them; of those only that did anything until their end."""
        found: dict[int, Totals] = defaultdict(Totals)
        for line in self.lines:
            if line.day < first:
                found[line.debit].opening_debits += line.amount
                found[line.credit].opening_credits += line.amount
            elif line.day <= last:
                found[line.debit].debits += line.amount
                found[line.credit].credits += line.amount
        return found

    def subjects(self, totals: dict[int, Totals]) -> dict[int, tuple[int, ...]]:
        sums: dict[int, list[int]] = defaultdict(lambda: [0] * 6)
        for account, total in totals.items():
            code = self.accounts[account].code
            sums[code] = [a + b for a, b in zip(sums[code], total.row, strict=True)]
        return {code: tuple(row) for code, row in sums.items()}

    def statement(self, account: int, chosen: Iterable[Line], before: Iterable[Line]) -> list[tuple[int, ...]]:
        """Opening, then each booking with its debit, credit and the balance after it on the account's own side."""
        sign = self.accounts[account].sign

        def net(line: Line) -> tuple[int, int]:
            return line.amount if line.debit == account else 0, line.amount if line.credit == account else 0

        balance = sum(sign * (debit - credit) for debit, credit in map(net, before))
        rows: list[tuple[int, ...]] = [(balance,)]
        for line in chosen:
            debit, credit = net(line)
            if debit or credit:
                balance += sign * (debit - credit)
                rows.append((line.id, debit, credit, balance))
        return rows

    def statement_of_days(self, account: int, first: date, last: date) -> list[tuple[int, ...]]:
        return self.statement(
            account,
            [line for line in self.lines if first <= line.day <= last],
            [line for line in self.lines if line.day < first],
        )

    def statement_of_time(self, account: int, since: int, until: int) -> list[tuple[int, ...]]:
        return self.statement(
            account,
            [line for line in self.lines if since <= line.at < until],
            [line for line in self.lines if line.at < since],
        )
