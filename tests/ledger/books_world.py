"""Real books taken through a plan, beside the picture of them that they are compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import date, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from books_plan import Plan, Step

from hutong import ledger
from hutong.clock import ManualClock, to_ns
from hutong.db import Database
from hutong.ledger import Ledger, Transfer
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounting.day_cut import DayCut, DayCutStep, advance_day_cut
from hutong.ledger.accounts import open_accounts
from hutong.ledger.partitions import make_partitions
from support.models.books import Account, Books, Calendar, Fault, Line

CNY = 156
EXPIRED = 32_768
COVERED = (2001, 2201)
ROWS = """
    SELECT id, pending_id, debit_account_id, credit_account_id, amount, accounting_date, timestamp, flags, xact
    FROM ledger.journal WHERE xact >= $1 AND flags < 65536 ORDER BY timestamp
"""


class Killed(Exception):
    """The process ends before it commits."""


class Carrier:
    """How the database comes into another cluster: here, its numbers and its identity become those of another one."""

    async def prepare(self, url: str) -> None:
        """Count from far away, so that the next cluster's numbers can be lower."""
        await self._owner(url, "UPDATE db.cluster SET xact_offset = 5000000")

    async def carry(self, url: str, *, lower: bool) -> str:
        offset = "0" if lower else "xact_offset + 1000000"
        await self._owner(
            url, f"UPDATE db.cluster SET system_identifier = system_identifier + 1, xact_offset = {offset}"
        )
        return url

    async def _owner(self, url: str, query: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(query)
        finally:
            await connection.close()


class BooksWorld:
    """The books of one plan.

    Attributes:
        story: What happened, one line each.
        archived_before: Ids below it are in the archive.
    """

    def __init__(self, plan: Plan, url: str, carrier: Carrier) -> None:
        self.plan, self.url, self.carrier = plan, url, carrier
        self.clock = ManualClock(plan.start)
        self.calendar = Calendar(plan.zone, plan.cut_time, same_day=plan.same_day)
        self.books = Books(self.calendar)
        self.story: list[str] = []
        self.sent: list[Transfer] = []
        self.newest = 0
        self.archived_before = 0
        self.open: tuple[Any, Any, Line] | None = None
        self.judge_day: Callable[[date], Awaitable[None]]
        self._exits = AsyncExitStack()
        self._made = 0
        self._seen: set[int] = set()
        self._from_xact = 0
        self.numbers: dict[str, int] = {}

    async def start(self) -> None:
        await self.carrier.prepare(self.url)
        await self.connect()
        owners = {
            "channel a": (1101, 1), "channel b": (1101, 2), "merchant a": (2001, 3), "merchant b": (2001, 4),
            "merchant c": (2001, 5), "transit": (2201, 1), "fees": (4001, 1), "costs": (5001, 1),
            "channel x": (1101, 6), "merchant x": (2001, 7),
        }  # fmt: skip
        openings = {name: (code, UUID(int=owner), "CNY") for name, (code, owner) in owners.items()}
        for name, (code, owner, currency) in openings.items():
            number = self.numbers[name] = account_id(code, owner, currency)
            self.books.accounts[number] = Account(code, code in COVERED)

        async def found(tx: Any) -> None:
            await open_accounts(tx, list(openings.values()), now=self.clock.now())
            await make_partitions(tx, now=self.clock.now(), first_span=timedelta(days=9))

        await self.database.run(found)
        await self.end_days_at(self.plan.cut_time, same_day=self.plan.same_day)

    async def end_days_at(self, cut_time: time, *, same_day: bool) -> None:
        belongs = ledger.days.CutBelongsTo.SAME_DAY if same_day else ledger.days.CutBelongsTo.NEXT_DAY
        rule = ledger.days.make_rule(cut_time, self.plan.zone, belongs)
        await self.database.run(lambda tx: ledger.days.set_day_rule(tx, rule))
        self.calendar = self.books.calendar = Calendar(self.plan.zone, cut_time, same_day=same_day)

    async def connect(self) -> None:
        self.database = await self._exits.enter_async_context(Database.open(self.url, size=3))
        self._from_xact = 0

    async def disconnect(self) -> None:
        """The process and its server end: what is open is lost."""
        if self.open is not None:
            connection, transaction, _ = self.open
            await transaction.rollback()
            await self.database.pool.release(connection)
            self.open = None
        await self._exits.aclose()

    def tell(self, text: str) -> None:
        wall = self.calendar.wall(self.clock.now())
        self.story.append(f"{self.clock.now():%Y-%m-%d %H:%M:%S.%f} (there {wall:%m-%d %H:%M}): {text}")

    def move_to(self, step: Step) -> None:
        self.clock.advance(max(step.at - self.clock.now(), timedelta(0)))

    def new_id(self) -> UUID:
        self._made += 1
        milliseconds = self.clock.now_ns() // 1_000_000
        return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | self._made)

    def name(self, number: int) -> str:
        return next(name for name, known in self.numbers.items() if known == number)

    # Writing

    async def send(self, tx: Any, event: Transfer, *, late_by: timedelta = timedelta(0), reason: str = "") -> Any:
        at = self.clock.now_ns() - late_by // timedelta(microseconds=1) * 1_000
        (result,) = await Ledger(tx, clock=lambda: at, late_import_reason=reason).create_transfers([event])
        if not event.timestamp and not at <= result.timestamp <= self.clock.now_ns() + 1_000_000:
            raise Fault(f"time: {result.timestamp} is not when it happened, {at}")
        return result

    def expect(self, given: str, right: str) -> None:
        if given != right:
            raise Fault(f"answer: {given} where {right} is right")

    async def new_rows(self) -> list[Any]:
        """The rows that came since the last call; holds that ran out are told to the books."""
        found = await self.database.pool.fetch(ROWS, self._from_xact)
        rows = [row for row in found if row["id"].int not in self._seen]
        self._seen.update(row["id"].int for row in rows)
        if rows and self.open is None:
            self._from_xact = max(self._from_xact, *(row["xact"] for row in rows))
        for row in rows:
            if row["flags"] & EXPIRED:
                self.books.expired(row["pending_id"].int, row["id"].int, row["timestamp"])
            else:
                self.newest = max(self.newest, row["timestamp"])
        return rows

    def compare_rows(self, rows: list[Any]) -> None:
        for row in rows:
            number, day = row["id"].int, row["accounting_date"]
            right = self.books.dates.get(number)
            if right is None:
                raise Fault(f"row: nobody sent {number:032x}")
            if day != right:
                raise Fault(f"date: {number:032x} is of {day}, not of {right}")

    async def settle(self) -> None:
        """Nothing but expired holds was written."""
        self.compare_rows(await self.new_rows())

    # Closing

    async def close(self, *, steps: int | None = None, killed_inside: bool = False) -> DayCut | None:
        """Close the days that are over, or take some steps of it; the last may end before it commits."""
        cut: DayCut | None = None
        done, tries = 0, 200
        while steps is None or done < steps:
            work = partial(advance_day_cut, day=None, now=self.clock.now())
            if killed_inside and done + 1 == steps:
                await self.die(work)
                break
            cut = await self.database.run(work)
            done += 1
            await self.follow()
            if cut is not None and cut.waiting and self.open is None and steps is None and tries:
                tries -= 1
                await asyncio.sleep(0.05)  # a transaction of another database on this server
            elif cut is None or cut.waiting or cut.problem:
                break
        return cut

    async def die(self, work: Callable[[Any], Awaitable[Any]]) -> None:
        async def to_the_end(tx: Any) -> None:
            await work(tx)
            raise Killed

        try:
            await self.database.run(to_the_end)
        except Killed:
            return

    async def follow(self) -> None:
        """What was closed meanwhile is compared at once."""
        after = self.books.closed[-1] if self.books.closed else date.min
        cuts = await self.database.pool.fetch("SELECT day, step FROM ledger.day_cut WHERE day > $1 ORDER BY day", after)
        for cut in cuts:
            day = cut["day"]
            if day >= self.books.first_open:
                self.books.begin_closing(day, to_ns(self.clock.now()))
            if cut["step"] != DayCutStep.FINISHED.value:
                continue
            if self.open is not None and self.open[2].day <= day:
                raise Fault(f"drain: {day} is closed while a transaction of it is running")
            self.books.closed.append(day)
            await self.judge_day(day)
