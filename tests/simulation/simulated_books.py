"""Sixty days of business in a zone, from a seed: cuts killed, workers away, imports, reversals, holds, a restore.

Every answer, day, statement and trial balance is compared with those of `support.models.days`, which shares no code with
the ledger.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from hutong import ledger
from hutong.clock import ManualClock
from hutong.db import Database, Tx
from hutong.errors import Conflict
from hutong.ids import Ids
from hutong.ledger import TransferFlags
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounting.day_cut import DayCutStep, advance_day_cut
from hutong.ledger.accounting.days import CutBelongsTo, make_rule, set_day_rule
from support.fixtures.books import Business
from support.models.days import DAY, Books, Key, Rule

DAYS = 60
OWNERS = 2
SECOND = timedelta(seconds=1)


class Scene(NamedTuple):
    """Where and when: the first rule, the rule from the third week on, and the first day."""

    rule: Rule
    later: Rule
    start: datetime


def _scene(zone: str, first: tuple[int, int, bool], later: tuple[int, int, bool], start: tuple[int, int]) -> Scene:
    return Scene(Rule(zone, *first), Rule(zone, *later), datetime(2026, *start, tzinfo=UTC))


SCENES = {
    "Shanghai": _scene("Asia/Shanghai", (0, 0, False), (23, 0, True), (2, 10)),
    "New York in spring": _scene("America/New_York", (2, 30, False), (0, 0, False), (2, 16)),
    "New York in autumn": _scene("America/New_York", (1, 30, False), (1, 0, False), (10, 10)),
    "Apia": _scene("Pacific/Apia", (22, 0, True), (6, 0, False), (2, 10)),
    "UTC": _scene("UTC", (17, 30, True), (0, 0, False), (2, 10)),
}


class Simulation:
    """One run.

    Args:
        url: A database with the books and nothing else.
        restore: Moves the database to another server, and returns its new URL.
    """

    def __init__(self, seed: str, scene: Scene, url: str, restore: Callable[[str], str], days: int = DAYS) -> None:
        self.rng = random.Random(seed)
        self.scene, self.url, self.restore, self.days = scene, url, restore, days
        self.clock = ManualClock(scene.start)
        self.model = Books(scene.rule)
        self.ids = Ids(self.clock)
        self.keys: list[Key] = []
        self.reversed: set[int] = set()
        self.last_at = scene.start
        self.counts = dict.fromkeys(("killed", "restores", "late imports", "reversals", "away"), 0)

    async def run(self) -> dict[str, int]:
        """Run all days, and return how often what was rare happened."""
        async with AsyncExitStack() as stack:
            self.shop = await Business(
                await stack.enter_async_context(Database.open(self.url, size=2)), self.clock, OWNERS
            ).open()
            self.keys = [(code, owner) for code in (1101, 2001, 2002, 2201, 4001) for owner in range(OWNERS)]
            self.names = {account_id(code, UUID(int=owner + 1), "CNY"): (code, owner) for code, owner in self.keys}
            await self._set_rule(self.scene.rule)
            away_until = 0
            for number in range(self.days):
                if number == self.days // 2:
                    self.counts["restores"] += 1
                    await stack.aclose()
                    self.url = self.restore(self.url)
                    self.shop.database = await stack.enter_async_context(Database.open(self.url, size=2))
                if number in (self.days // 3, 3 * self.days // 4):
                    await self._set_rule(self.scene.later if number == self.days // 3 else self.scene.rule)
                if number >= away_until and self.rng.random() < 0.12:
                    away_until = number + self.rng.randint(2, 4)
                    self.counts["away"] += 1
                await self._day(number, away=number < away_until)
            await self._finish()
        return self.counts

    async def _day(self, number: int, *, away: bool) -> None:
        start = self.scene.start + number * DAY
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (self.rng.randrange(2, 86_000, 2), self._business) for _ in range(self.rng.choice([0, 1, 3, 5, 7]))
        ]
        if not away:
            steps += [(self.rng.randrange(2, 86_000, 2), self._worker) for _ in range(2)]
        for second, step in sorted(steps, key=lambda entry: entry[0]):
            self.clock.advance(start + second * SECOND - self.clock.now())
            await step()

    async def _set_rule(self, rule: Rule) -> None:
        self.model.rule = rule
        belongs = CutBelongsTo.SAME_DAY if rule.same_day else CutBelongsTo.NEXT_DAY
        await self._run(lambda tx: set_day_rule(tx, make_rule(time(rule.hour, rule.minute), rule.zone, belongs)))

    async def _run(self, work: Callable[[Tx], Awaitable[Any]]) -> Any:
        return await self.shop.database.run(work)

    # Business

    async def _business(self) -> None:
        weights = {self._pay: 6, self._fee: 2, self._hold: 3, self._resolve: 3, self._import: 2, self._reverse: 2}
        (step,) = self.rng.choices(list(weights), list(weights.values()))
        await step()
        self.last_at = self.clock.now()

    async def _send(self, expected: str, *transfers: ledger.Transfer, **arguments: Any) -> None:
        try:
            answer = (await self.shop.send(*transfers, **arguments))[0]
        except Conflict:
            answer = "refused"
        assert answer == expected, f"{answer} instead of {expected} at {self.clock.now()}"

    def _amount(self) -> int:
        return self.rng.randint(1, 1_000)

    def _transfer(self, debit: Key, credit: Key, amount: int, **fields: Any) -> ledger.Transfer:
        return self.shop.transfer(self.shop.account(*debit), self.shop.account(*credit), amount, **fields)

    async def _pay(self) -> None:
        owner, amount = self.rng.randrange(OWNERS), self._amount()
        await self._move((1101, self.rng.randrange(OWNERS)), (2001, owner), amount)

    async def _fee(self) -> None:
        owner, amount = self.rng.randrange(OWNERS), self._amount()
        await self._move((2001, owner), self.rng.choice([(4001, 0), (2002, owner)]), amount)

    async def _move(self, debit: Key, credit: Key, amount: int) -> None:
        event = self._transfer(debit, credit, amount)
        await self._send(self.model.move(event.id, debit, credit, amount, self.clock.now()), event)

    async def _hold(self) -> None:
        debit, credit = (2001, self.rng.randrange(OWNERS)), (2201, self.rng.randrange(OWNERS))
        amount, timeout = self._amount(), self.rng.choice([0, 1_801, 40_001, 200_001])
        event = self._transfer(debit, credit, amount, flags=TransferFlags.PENDING, timeout=timeout)
        await self._send(self.model.hold(event.id, debit, credit, amount, timeout, self.clock.now()), event)

    async def _resolve(self) -> None:
        now = self.clock.now()
        open_holds = [number for number, hold in self.model.holds.items() if not hold.due or hold.due > now]
        if not open_holds:
            return
        number = self.rng.choice(open_holds)
        amount = self.rng.choice(
            [0, self.model.holds[number].amount, self.rng.randint(1, self.model.holds[number].amount)]
        )
        flag = TransferFlags.POST_PENDING_TRANSFER if amount else TransferFlags.VOID_PENDING_TRANSFER
        event = self.shop.transfer(0, 0, amount, pending_id=number, flags=flag, ledger=0, code=0)
        await self._send(self.model.resolve(event.id, number, amount, now), event)

    async def _import(self) -> None:
        """Of an instant after the newest row, which may be days ago if business was quiet."""
        now = self.clock.now()
        gap = int((now - self.last_at) / SECOND)
        if gap < 4 or any(hold.due and hold.due <= now for hold in self.model.holds.values()):
            return  # the release of a hold would come before what is imported, and be newer
        at = self.last_at + self.rng.randrange(1, gap - 1, 2) * SECOND
        debit, credit = (1101, 0), (2001, self.rng.randrange(OWNERS))
        reason = self.rng.choice(["", "found in the channel's file"])
        nanoseconds = int((at - datetime(1970, 1, 1, tzinfo=UTC)) / SECOND) * 10**9
        event = self._transfer(debit, credit, self._amount(), flags=TransferFlags.IMPORTED, timestamp=nanoseconds)
        expected = self.model.bring_in(event.id, debit, credit, event.amount, at, reason, now)
        begun = self.model.begun
        if reason and begun is not None and at < self.model.rule.end_of(begun):
            self.counts["late imports"] += 1
        await self._send(expected, event, late_import_reason=reason)

    async def _reverse(self) -> None:
        booked = [booking for booking in self.model.bookings[-20:] if booking.id not in self.reversed]
        if not booked:
            return
        booking, now = self.rng.choice(booked), self.clock.now()
        (result,) = await self._run(
            lambda tx: ledger.reverse(tx, [booking.id], reason="a test", by="sim", new_id=self.ids.new, now=now)
        )
        number = result.reversal_id.int if result.reversal_id else 0
        status = self.model.move(number, booking.credit, booking.debit, booking.amount, now)
        assert result.status.value == ("reversed" if status == "CREATED" else "refused")
        if status == "CREATED":
            self.reversed |= {booking.id, number}
            self.counts["reversals"] += 1

    # Days

    async def _worker(self) -> None:
        if self.rng.random() < 0.5:
            now = self.clock.now_ns
            await self._run(lambda tx: ledger.Ledger(tx, clock=now).expire_pending_transfers())
            self.model.expire(self.clock.now())
            self.last_at = self.clock.now()
        if self.rng.random() < 0.3:
            self.counts["killed"] += 1
            for _ in range(self.rng.randint(1, 5)):
                await self._advance(killed=self.rng.random() < 0.3)
        else:
            while await self._advance():
                pass
        await self._run(lambda tx: ledger.seal(tx, now=self.clock.now(), rows=50))

    async def _advance(self, *, killed: bool = False) -> bool:
        """Run a step of the day cut, and return whether there was one; a killed worker's step is rolled back."""
        expected = self.model.next_day(self.clock.now())
        async with self.shop.database.pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            cut = await advance_day_cut(connection, now=self.clock.now())
            await (transaction.rollback() if killed else transaction.commit())
        if cut is None or killed:
            assert cut is not None or expected is None
            return killed and cut is not None
        assert (cut.day, cut.problem, cut.waiting) == (expected, None, False)
        self.model.begun = cut.day
        if cut.step is DayCutStep.FINISHED:
            self.model.closed.append(cut.day)
            await self._compare_day(cut.day)
        return True

    async def _compare_day(self, day: date) -> None:
        rows = await self.shop.database.pool.fetch(
            "SELECT account_id, debits, credits, closing_debits, closing_credits FROM ledger.day_balance "
            "WHERE day = $1",
            day,
        )
        found = {self.names[row[0].int]: tuple(row[1:]) for row in rows}
        assert found == self.model.day_balances(day), f"day {day}"

    async def _finish(self) -> None:
        self.clock.advance(DAY * 3)
        while await self._advance():
            pass
        closed = self.model.closed
        assert closed == [closed[0] + n * DAY for n in range(len(closed))]
        for day in closed:
            await self._compare_trial_balance(day)
        for key in self.keys:
            await self._compare_statements(key, closed)
        while await self._run(lambda tx: ledger.seal(tx, now=self.clock.now(), rows=50)):
            pass
        assert (await self._run(ledger.verify)).problems == []
        assert (await self._run(lambda tx: ledger.check_invariants(tx, now=self.clock.now()))).problems == []
        late = await self.shop.database.pool.fetchval("SELECT count(*) FROM ledger.late_import")
        assert late == self.counts["late imports"]

    async def _compare_trial_balance(self, day: date) -> None:
        lines = await self._run(lambda tx: ledger.general_ledger(tx, day=day))
        found = {line.code: (line.closing if line.code < 2000 else -line.closing) for line in lines}
        assert found == {code: left - right for code, (left, right) in self.model.subjects(day).items()}, day
        assert ledger.differences(lines) == []

    async def _compare_statements(self, key: Key, closed: list[date]) -> None:
        sign = 1 if key[0] < 2000 else -1
        account = self.shop.account(*key)
        first, last = sorted(self.rng.choices(closed, k=2))
        for days in ((closed[0], closed[-1]), (first, last)):
            found = await self._run(
                lambda tx, days=days: ledger.statement_of_days(tx, account, first=days[0], last=days[1])
            )
            lines = [(line.id.int, sign * line.balance) for line in found.lines]
            expected = self.model.statement_of_days(key, *days)
            assert (sign * found.opening, lines, sign * found.closing) == expected, (key, days)
            assert all(days[0] <= line.accounting_date <= days[1] for line in found.lines)
        since, until = self.model.rule.end_of(first) + SECOND, self.model.rule.end_of(last) + 3 * SECOND
        found = await self._run(lambda tx: ledger.statement(tx, account, since=since, until=until))
        lines = [(line.id.int, sign * line.balance) for line in found.lines]
        assert (sign * found.opening, lines, sign * found.closing) == self.model.statement(key, since, until), key
