"""What happens in the books over some weeks, made from one number: a list of steps, of which some can be left out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from support.models.books import DAY, Calendar, at_ns

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
BUSINESS = {
    "pay": 30, "fee": 8, "cost": 5, "hold": 14, "post": 9, "release": 5, "import": 9, "slow": 5, "reverse": 6,
    "again": 5, "crash": 4, "entry": 5,
}  # fmt: skip
"""How often each kind of business comes."""


@dataclass(frozen=True)
class World:
    """Where and when: a zone, its first day, and the cut times that are tried there first."""

    zone: str
    first: date
    cuts: tuple[tuple[time, bool], ...]


WORLDS = (
    World("Asia/Shanghai", date(2026, 2, 20), ((time(0), False), (time(23), True), (time(15, 30), True))),
    World("America/New_York", date(2026, 2, 12), ((time(2, 30), False), (time(23, 30), True), (time(0), False))),
    World("America/New_York", date(2026, 10, 5), ((time(1, 30), False), (time(0), False), (time(1, 59), True))),
    World("Pacific/Apia", date(2011, 12, 5), ((time(23), True), (time(0), False), (time(4), False))),
    World("UTC", date(2027, 12, 10), ((time(0), False), (time(17), True), (time(0), True))),
)
"""Over both changes of New York's clock, the day that Samoa left out, a year's and a leap month's end."""


@dataclass(frozen=True)
class Step:
    """One thing that happens; `numbers` decide everything about it that the instant does not."""

    at: datetime
    kind: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The steps of a seed, in order."""

    seed: int
    zone: str
    cut_time: time
    same_day: bool
    start: datetime
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        belongs = "same_day" if self.same_day else "next_day"
        return f"{self.zone}, days end at {self.cut_time:%H:%M} ({belongs}), from {self.start:%Y-%m-%d}"


def make_plan(seed: int, *, days: int = 60, business: int = 12) -> Plan:
    """The steps of a seed: about so much business a day, much of it near the ends of days and changes of the clock."""
    rng = random.Random(seed)
    world = WORLDS[seed % len(WORLDS)]
    turn = seed // len(WORLDS)
    if turn < len(world.cuts):
        cut_time, same_day = world.cuts[turn]
    else:
        cut_time, same_day = time(rng.randrange(24), rng.choice((0, 15, 30, 59))), rng.random() < 0.5
    calendar = Calendar(world.zone, cut_time, same_day=same_day)
    first = world.first - DAY
    start = calendar.end(first) + timedelta(hours=1)
    edges = _edges(calendar, first, days)
    steps = [Step(start + SECOND, "pay", _numbers(rng))]
    for n in range(days):
        since, until = calendar.end(first + n * DAY), calendar.end(first + (n + 1) * DAY)
        if until <= since:
            continue  # a day that its zone left out
        for _ in range(rng.randint(business // 2, business * 3 // 2)):
            kind = rng.choices([*BUSINESS], [*BUSINESS.values()])[0]
            steps.append(Step(_moment(rng, since, until, edges), kind, _numbers(rng)))
    worker = list(_worker(rng, calendar, first, days))
    quiet = _quiet(calendar, worker)
    steps = [step for step in steps if not any(since <= step.at <= until for since, until in quiet)]
    steps += worker
    steps += _accidents(rng, calendar, first, days)
    ordered = sorted((step for step in steps if step.at > start), key=lambda step: step.at)
    return Plan(seed, world.zone, cut_time, same_day, start, tuple(ordered))


def _numbers(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.getrandbits(32) for _ in range(4))


def _edges(calendar: Calendar, first: date, days: int) -> list[datetime]:
    """The ends of days, the midnights of the wall, and the changes of the clock."""
    edges: list[datetime] = []
    begin = calendar.end(first)
    hours = [begin.replace(minute=0) + timedelta(hours=n) for n in range(24 * (days + 1))]
    zone = ZoneInfo(str(calendar.zone))
    for earlier, later in itertools.pairwise(hours):
        if earlier.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            edges += [later - timedelta(hours=1), later, later + timedelta(hours=1)] * 8
        if later.astimezone(zone).hour == 0:
            edges.append(later)
    return edges + [calendar.end(first + n * DAY) for n in range(days + 1)]


def _moment(rng: random.Random, since: datetime, until: datetime, edges: list[datetime]) -> datetime:
    span = (until - since) // MICROSECOND
    if rng.random() < 0.5:
        return since + rng.randrange(span) * MICROSECOND
    near = [edge for edge in edges if since <= edge <= until]
    away = rng.choice((MICROSECOND, SECOND, timedelta(minutes=5), timedelta(minutes=40)))
    return rng.choice(near) + rng.choice((-1, 0, 1)) * away * rng.random() if near else since


def _worker(rng: random.Random, calendar: Calendar, first: date, days: int) -> Iterator[Step]:
    """When the worker comes: mostly soon after the end of a day, sometimes killed on the way, sometimes days late."""
    away_until = 0
    for n in range(1, days + 1):
        end = calendar.end(first + n * DAY)
        if rng.random() < 0.4:
            yield Step(end - timedelta(minutes=rng.randrange(30, 1200)), "upkeep", _numbers(rng))
        if n < away_until:
            continue
        chance = rng.random()
        if chance < 0.12:
            away_until = n + rng.randint(1, 4)
            continue
        soon = end + timedelta(seconds=rng.choice((0, 1, 20, 60, 1800))) + rng.randrange(1000) * MICROSECOND
        kills = 0 if chance < 0.55 else rng.randint(1, 3)
        for _ in range(kills):
            yield Step(soon, "killed", _numbers(rng))
            soon += timedelta(seconds=rng.choice((5, 300, 7200)))
        yield Step(soon, "worker", _numbers(rng))
        if rng.random() < 0.4:  # the bank's file of the day before comes after the closing
            yield Step(soon + MICROSECOND * rng.randint(1, 2_000_000), "import", _numbers(rng))
    yield Step(calendar.end(first + days * DAY) + timedelta(hours=1), "worker", _numbers(rng))


def _quiet(calendar: Calendar, worker: Iterable[Step]) -> list[tuple[datetime, datetime]]:
    """From the end of a day to an import that follows its closing nothing is booked, so that the import is late."""
    days = ((calendar.day(at_ns(step.at)), step.at) for step in worker if step.kind == "import")
    return [(calendar.end(day - DAY), at) for day, at in days]


def _accidents(rng: random.Random, calendar: Calendar, first: date, days: int) -> Iterator[Step]:
    """Transactions open over the end of a day, databases restored into other clusters, partitions archived."""
    for n in range(1, days):
        if rng.random() < 0.3:
            end = calendar.end(first + n * DAY)
            yield Step(end - rng.choice((MICROSECOND, SECOND, timedelta(minutes=3))), "open", _numbers(rng))
            yield Step(end + timedelta(seconds=rng.choice((2, 90, 3000))), "commit", _numbers(rng))
            yield Step(end + timedelta(seconds=rng.choice((3100, 5000))), "worker", _numbers(rng))
    for part in (1, 2, 3):
        at = calendar.end(first + DAY * (days * part // 4)) + timedelta(seconds=rng.randrange(-600, 40_000))
        yield Step(at, "restore", _numbers(rng))
    for part in (2, 5):
        yield Step(calendar.end(first + DAY * (days * part // 6)) + timedelta(hours=7), "rule", _numbers(rng))
    for n in range(6, days, 5):
        yield Step(calendar.end(first + n * DAY) + timedelta(hours=5), "archive", _numbers(rng))
