"""Books over weeks of business, midnights, restores and kills, compared with a picture of them after every step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
from books_judge import Judge
from books_plan import WORLDS, Plan, Step
from books_verdict import Verdict
from books_world import CNY, BooksWorld, Carrier, Killed

from hutong import ledger
from hutong.errors import Conflict
from hutong.ledger import Ledger, Transfer, TransferFlags
from hutong.ledger.accounting.reversal import ReversalStatus
from hutong.ledger.finance.entries import EntryLine, Side, book_entry
from hutong.ledger.partitions import archive_partition, list_partitions
from support.models.books import Fault, Hold, Line

CREATED, EXISTS = "CREATED", "EXISTS"


class Business:
    """What each kind of step does, to the books and to the picture of them."""

    def __init__(self, world: BooksWorld, judge: Judge) -> None:
        self.world, self.judge, self.books = world, judge, world.books

    async def run(self, step: Step) -> None:
        self.world.move_to(step)
        await getattr(self, f"on_{step.kind}")(*step.numbers)

    # Bookings

    def _sides(self, kind: str, a: int, b: int) -> tuple[int, int]:
        numbers = self.world.numbers
        channel, merchant = numbers[f"channel {'ab'[a % 2]}"], numbers[f"merchant {'abc'[b % 3]}"]
        return {
            "pay": (channel, merchant), "fee": (merchant, numbers["fees"]), "cost": (numbers["costs"], channel),
            "hold": (merchant, numbers["transit"]), "import": (channel, merchant),
            "x": (numbers["channel x"], numbers["merchant x"]),
        }[kind]  # fmt: skip

    def _event(self, sides: tuple[int, int], amount: int, **fields: Any) -> Transfer:
        return Transfer(self.world.new_id().int, *sides, amount, ledger=CNY, code=1, **fields)

    async def _book(self, event: Transfer, *, late_by: timedelta = timedelta(0), kind: str = "booked") -> None:
        world = self.world
        result = await world.database.run(lambda tx: world.send(tx, event, late_by=late_by))
        world.tell(
            f"{kind} {event.id:032x}, {event.amount} from {world.name(event.debit_account_id)} to "
            f"{world.name(event.credit_account_id)}: {result.status.name}"
        )
        rows = await world.new_rows()
        covered = self.books.covers(event.debit_account_id, event.amount, result.timestamp)
        world.expect(result.status.name, CREATED if covered else "EXCEEDS_CREDITS")
        if covered:
            sides = event.debit_account_id, event.credit_account_id
            if event.flags & TransferFlags.PENDING:
                self.books.hold(event.id, *sides, event.amount, result.timestamp, event.timeout)
            else:
                self.books.book(event.id, *sides, event.amount, result.timestamp)
            world.sent.append(event)
        world.compare_rows(rows)

    async def on_pay(self, a: int, b: int, c: int, d: int) -> None:
        await self._book(self._event(self._sides("pay", a, b), c % 100_000 + 1))

    async def on_fee(self, a: int, b: int, c: int, d: int) -> None:
        await self._book(self._event(self._sides("fee", a, b), c % 3_000 + 1))

    async def on_cost(self, a: int, b: int, c: int, d: int) -> None:
        await self._book(self._event(self._sides("cost", a, b), c % 1_000 + 1))

    async def on_slow(self, a: int, b: int, c: int, d: int) -> None:
        """The clock of one process is behind: what it books may come after its day was closed."""
        lag = timedelta(seconds=(1, 90, 7_200)[d % 3])
        await self._book(self._event(self._sides("pay", a, b), c % 100_000 + 1), late_by=lag, kind=f"{lag} behind,")

    async def on_crash(self, a: int, b: int, c: int, d: int) -> None:
        event = self._event(self._sides("pay", a, b), c % 100_000 + 1)
        await self.world.die(lambda tx: self.world.send(tx, event))
        self.world.tell(f"a process ended before it committed {event.id:032x}")
        await self.world.settle()

    async def on_again(self, a: int, b: int, c: int, d: int) -> None:
        if not self.world.sent:
            return
        event = self.world.sent[a % len(self.world.sent)]
        result = await self.world.database.run(
            lambda tx: Ledger(tx, clock=self.world.clock.now_ns).create_transfers([event])
        )
        self.world.tell(f"sent {event.id:032x} again: {result[0].status.name}")
        await self.world.settle()
        self.world.expect(result[0].status.name, EXISTS)

    # Holds

    async def on_hold(self, a: int, b: int, c: int, d: int) -> None:
        world = self.world
        until_end = (world.calendar.end(world.calendar.day(world.clock.now_ns())) - world.clock.now()).seconds
        seconds = (0, 60, 3_600, 30 * 3_600, max(until_end, 1), until_end + 1)[d % 6]
        event = self._event(
            self._sides("hold", a, b), c % 20_000 + 1, timeout=seconds, flags=TransferFlags.PENDING
        )  # fmt: skip
        await self._book(event, kind=f"held for {seconds or 'ever'} s" if seconds else "held")

    async def on_post(self, a: int, b: int, c: int, d: int) -> None:
        await self._resolve(self._some_hold(a), TransferFlags.POST_PENDING_TRANSFER, c if b % 2 else None)

    async def on_release(self, a: int, b: int, c: int, d: int) -> None:
        await self._resolve(self._some_hold(a), TransferFlags.VOID_PENDING_TRANSFER, None)

    def _some_hold(self, pick: int) -> Hold | None:
        holds = [hold for hold in self.books.holds.values() if hold.state in ("open", "expired")]
        holds = [hold for hold in holds if hold.id >= self.world.archived_before]
        return holds[pick % len(holds)] if holds else None

    async def _resolve(self, hold: Hold | None, flag: TransferFlags, part: int | None) -> None:
        world = self.world
        if hold is None:
            return
        amount = hold.amount if part is None else part % hold.amount + 1
        event = self._event((0, 0), amount, pending_id=hold.id, flags=flag)
        event.ledger = event.code = 0
        result = await world.database.run(lambda tx: world.send(tx, event))
        posts = flag is TransferFlags.POST_PENDING_TRANSFER
        world.tell(f"{'posted' if posts else 'released'} hold {hold.id:032x} of {amount}: {result.status.name}")
        rows = await world.new_rows()
        over = hold.state == "expired" or 0 < hold.ends <= result.timestamp
        world.expect(result.status.name, "PENDING_TRANSFER_EXPIRED" if over else CREATED)
        if not over:
            self.books.resolve(hold, event.id, result.timestamp, amount if posts else 0)
        world.compare_rows(rows)

    # Imports, corrections, manual entries

    def _import_time(self, c: int, d: int) -> int | None:
        """An instant between the newest booking and now, near the end of a day if one lies there."""
        world = self.world
        low, high = world.newest + 1, world.clock.now_ns() - 1
        if low >= high:
            return None
        day = world.calendar.day(low)
        ends = [at for at in (world.calendar.end_ns(day), world.calendar.end_ns(world.calendar.day(high))) if at < high]
        near = (low + (high - low) * (d % 1_000) // 1_000, *(end + shift for end in ends for shift in (-1, 0, 1)))
        return min(max(near[c % len(near)], low), high)

    async def on_import(self, a: int, b: int, c: int, d: int) -> None:
        world, books = self.world, self.books
        at = self._import_time(c, d)
        if at is None:
            return
        sides = self._sides("import", a, b)
        event = self._event(sides, c % 50_000 + 1, timestamp=at, flags=TransferFlags.IMPORTED)
        late = books.calendar.day(at) < books.first_open
        reason = "the bank's file came late" if b % 2 else ""
        try:
            result = await world.database.run(lambda tx: world.send(tx, event, reason=reason))
            answer = result.status.name
        except Conflict:
            answer = "REFUSED"
        world.tell(
            f"imported {event.id:032x} of {books.calendar.day(at)} ({at}) to {world.name(sides[1])}"
            f"{' with a reason' if reason else ''}: {answer}"
        )
        rows = await world.new_rows()
        world.expect(answer, "REFUSED" if late and not reason else CREATED)
        if answer == CREATED:
            books.book(event.id, *sides, event.amount, at)
            if late:
                books.late[event.id] = books.calendar.day(at)
        world.compare_rows(rows)

    async def on_reverse(self, a: int, b: int, c: int, d: int) -> None:
        world, books = self.world, self.books
        opposite = {line.reversed_by for line in books.lines}
        lines = [line for line in books.lines if line.id not in opposite]
        if not lines or world.open is not None:
            return
        line: Line = lines[a % len(lines)]
        now = world.clock.now()
        (result,) = await world.database.run(
            lambda tx: ledger.reverse(tx, [line.id], reason="wrong", by="alice", new_id=world.new_id, now=now)
        )
        world.tell(f"reversed {line.id:032x} of {line.day}: {result.status.value}")
        rows = await world.new_rows()
        right = ReversalStatus.REVERSED
        if line.reversed_by:
            right = ReversalStatus.ALREADY_REVERSED
        elif not books.covers(line.credit, line.amount, world.clock.now_ns()):
            right = ReversalStatus.REFUSED
        world.expect(result.status.value, right.value)
        if right is ReversalStatus.ALREADY_REVERSED:
            world.expect(str(result.reversal_id), str(UUID(int=line.reversed_by)))
        if right is ReversalStatus.REVERSED:
            line.reversed_by = result.reversal_id.int
            stamps = {row["id"].int: row["timestamp"] for row in rows}
            books.book(line.reversed_by, line.credit, line.debit, line.amount, stamps.get(line.reversed_by, 0))
        world.compare_rows(rows)

    async def on_entry(self, a: int, b: int, c: int, d: int) -> None:
        """A manual entry: the costs and the rest of a payment that the channel has kept a part of."""
        world, books = self.world, self.books
        channel, merchant = self._sides("pay", a, b)
        cost, rest = c % 500 + 1, d % 5_000 + 1
        legs = ((world.numbers["costs"], cost), (channel, rest))
        lines = [EntryLine(UUID(int=account), Side.DEBIT, amount, "CNY") for account, amount in legs]
        lines.append(EntryLine(UUID(int=merchant), Side.CREDIT, cost + rest, "CNY"))
        entry, now = world.new_id(), world.clock.now()
        booked = await world.database.run(lambda tx: book_entry(tx, entry, lines, reference=None, now=now))
        world.tell(f"entered {cost} of costs and {rest} of {world.name(channel)} for {world.name(merchant)}")
        rows = await world.new_rows()
        stamps = {row["id"].int: row["timestamp"] for row in rows}
        for (account, amount), number in zip(legs, booked, strict=True):
            books.book(number.int, account, merchant, amount, stamps.get(number.int, 0))
        world.compare_rows(rows)

    # The worker

    async def on_upkeep(self, a: int, b: int, c: int, d: int) -> None:
        """Holds are released, and some rows are sealed."""
        world = self.world
        await world.database.run(lambda tx: Ledger(tx, clock=world.clock.now_ns).expire_pending_transfers())
        await world.database.run(lambda tx: ledger.seal(tx, now=world.clock.now(), rows=a % 20 + 1))
        world.tell("the worker released holds and sealed rows")
        await world.settle()

    async def on_killed(self, a: int, b: int, c: int, d: int) -> None:
        """The worker ends after a step of closing a day, or inside of it."""
        steps = a % 7 + 1
        cut = await self.world.close(steps=steps, killed_inside=bool(b % 2))
        at = f"after {cut.step.value} of {cut.day}" if cut else "at once"
        self.world.tell(f"the worker was killed {'inside' if b % 2 else 'after'} step {steps}, {at}")
        await self.world.settle()

    async def on_worker(self, a: int, b: int, c: int, d: int) -> None:
        world = self.world
        await world.database.run(lambda tx: Ledger(tx, clock=world.clock.now_ns).expire_pending_transfers())
        await world.settle()
        if a % 3:
            done = await world.close()
        else:
            done = (await ledger.maintain(world.database, now=world.clock.now(), new_id=world.new_id)).day
            await world.settle()
            await world.follow()
            if done is not None and done.waiting:
                done = await world.close()
        due = self.books.days_due(world.clock.now_ns())
        world.tell(f"the worker closed days up to {self.books.closed[-1] if self.books.closed else 'none'}")
        if done is not None and done.problem:
            raise Fault(f"refused: {done.day}: {done.problem}")
        if due and world.open is None:
            raise Fault(f"due: {due[0]} is not closed")
        await self.judge.now()

    # Changes and accidents

    async def on_rule(self, a: int, b: int, c: int, d: int) -> None:
        """Days end by another rule from now on."""
        cuts = next(world.cuts for world in WORLDS if world.zone == self.world.plan.zone)
        cut_time, same_day = cuts[a % len(cuts)]
        await self.world.end_days_at(cut_time, same_day=same_day)
        self.world.tell(
            f"days end at {cut_time:%H:%M} {'of their own' if same_day else 'of the next'} date from now on"
        )

    async def on_open(self, a: int, b: int, c: int, d: int) -> None:
        """A transaction books, and is not committed yet."""
        world, books = self.world, self.books
        if world.open is not None:
            return
        event = self._event(self._sides("x", a, b), c % 1_000 + 1)
        connection = await world.database.pool.acquire()
        transaction = connection.transaction()
        await transaction.start()
        result = await world.send(connection, event)
        sides = event.debit_account_id, event.credit_account_id
        day = books.date_of(result.timestamp, *sides)
        world.open = connection, transaction, Line(event.id, *sides, event.amount, result.timestamp, day)
        world.tell(f"a transaction that is not committed yet booked {event.id:032x} on {day}")

    async def on_commit(self, a: int, b: int, c: int, d: int) -> None:
        world, books = self.world, self.books
        if world.open is None:
            return
        connection, transaction, line = world.open
        lost = a % 4 == 0
        await (transaction.rollback() if lost else transaction.commit())
        await world.database.pool.release(connection)
        world.tell(f"{line.id:032x} was {'rolled back' if lost else 'committed'}")
        rows = await world.new_rows()
        world.open = None
        if not lost:
            books.dates[line.id] = line.day
            for side in (line.debit, line.credit):
                books.accounts[side].last_day = line.day
            books.post(line)
        world.compare_rows(rows)

    async def on_restore(self, a: int, b: int, c: int, d: int) -> None:
        world = self.world
        await world.disconnect()
        world.url = await world.carrier.carry(world.url, lower=bool(a % 2))
        await world.connect()
        world.tell(f"the books were restored into a cluster whose counter is {'lower' if a % 2 else 'higher'}")
        if b % 2:
            await self.judge.proof()

    async def on_archive(self, a: int, b: int, c: int, d: int) -> None:
        """The oldest partition whose time is over is archived, unless it has open holds."""
        world = self.world
        if world.open is not None:
            return
        now = world.clock.now()
        parts = await world.database.run(list_partitions)
        over = [part for part in parts if part.archived_at is None and part.until <= now]
        if not over:
            return
        low, high = (int(at.timestamp() * 1000) << 80 for at in (over[0].since, over[0].until))
        for hold in [hold for hold in self.books.holds.values() if hold.state == "open" and low <= hold.id < high]:
            if a % 4:
                await self._resolve(hold, TransferFlags.VOID_PENDING_TRANSFER, None)
        while await world.database.run(lambda tx: ledger.seal(tx, now=now)):
            pass
        held = any(low <= hold.id < high for hold in self.books.holds.values() if hold.state == "open")
        owner = await asyncpg.connect(world.url)
        try:
            async with owner.transaction():
                await archive_partition(owner, over[0].name, now=now)
            answer = "archived"
        except Conflict:
            answer = "refused"
        finally:
            await owner.close()
        world.tell(f"a partition of {over[0].since:%Y-%m-%d} was {answer}")
        world.expect(answer, "refused" if held else "archived")
        if answer == "archived":
            world.archived_before = high


async def simulate(plan: Plan, url: str, carrier: Carrier | None = None) -> Verdict:
    """Take empty books through a plan."""
    world = BooksWorld(plan, url, carrier or Carrier())
    judge = Judge(world)
    world.judge_day = judge.day
    business = Business(world, judge)
    number, problem = 0, None
    try:
        await world.start()
        for number, step in enumerate(plan.steps):  # noqa: B007 - the number is told after a failure
            await business.run(step)
        await business.on_commit(1, 0, 0, 0)
        if world.books.closed:
            await judge.everything()
    except Fault as fault:
        problem = str(fault)
    except (Killed, asyncpg.PostgresError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        problem = f"raised: {type(error).__name__}: {error}"
    finally:
        await world.disconnect()
    return Verdict(problem, world.story, number, len(world.books.closed), len(world.books.lines))
