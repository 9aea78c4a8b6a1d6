"""Books restored into another cluster go on: days close with what moved, proofs hold, new rows are sealed."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from hutong import ledger
from hutong.clock import ManualClock
from hutong.db import Database, migrate
from hutong.ids import Ids
from hutong.ledger import Transfer, TransferFlags
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.accounting.day_cut import DayCutStep, advance_day_cut
from hutong.ledger.accounts import open_accounts
from hutong.ledger.codec import uuid_of
from support import create_database
from support.fixtures.ledger import LedgerClient
from support.restores import burn_transactions, counter, restore_copy

NOON = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)  # in Shanghai
TENTH, ELEVENTH, TWELFTH = (date(2026, 3, day) for day in (10, 11, 12))
STEPS = ["nothing of it", "switched", "noted", "drained", "balanced"]
CNY = 156
BOOKS = ("db", "ledger")


class Books:
    """One channel and one merchant, before and after the move."""

    def __init__(self, clock):
        self.clock = clock
        ids = Ids(clock)
        self.openings = [(1101, ids.new(), "CNY"), (2001, ids.new(), "CNY"), (2201, ids.new(), "CNY")]
        self.channel, self.merchant, self.transit = (account_id(*opening) for opening in self.openings)
        self.holds = []

    async def book(self, database, amount, **fields):
        sides = {"debit_account_id": self.channel, "credit_account_id": self.merchant} | fields
        event = Transfer(id=ledger.id(), amount=amount, ledger=CNY, code=1, **sides)
        (result,) = await LedgerClient(database.run, self.clock).create_transfers([event])
        assert result.status.name == "CREATED"
        return event.id

    async def hold(self, database, amount, timeout=0):
        sides = {"debit_account_id": self.merchant, "credit_account_id": self.transit}
        self.holds.append(
            await self.book(database, amount, flags=TransferFlags.PENDING, timeout=timeout, **sides),
        )

    async def seal(self, database):
        total = 0
        while sealed := await database.run(lambda tx: ledger.seal(tx, now=self.clock.now(), rows=3)):
            total += sealed
        return total

    async def cut(self, database, day):
        cut = await ledger.run_day_cut(database, now=self.clock.now(), day=day)
        assert (cut.step, cut.problem) == (DayCutStep.FINISHED, None)

    async def movement(self, database, day, account):
        query = """
            SELECT debits, credits, closing_debits, closing_credits FROM ledger.day_balance
            WHERE day = $1 AND account_id = $2
        """
        return tuple(await database.pool.fetchrow(query, day, uuid_of(account)))


async def before(database, books, step):
    """The 10th closed; on the 11th sealed and unsealed rows, four holds; its closing has come as far as `step`."""
    await database.run(lambda tx: open_accounts(tx, books.openings, now=books.clock.now()))
    await books.book(database, 100)
    books.clock.advance(timedelta(days=1))
    await books.cut(database, TENTH)
    await books.book(database, 200)
    for timeout in (0, 0, 3600, 0):
        await books.hold(database, 10, timeout)
    await books.seal(database)
    await books.book(database, 30)
    books.clock.advance(timedelta(days=1))
    for _ in range(STEPS.index(step)):
        await database.run(lambda tx: advance_day_cut(tx, day=ELEVENTH, now=books.clock.now()))


@pytest.fixture(params=["a lower counter", "a higher counter"])
def other_server(request, postgres15, embedded):
    """The server that the books move to, whose counter is behind or ahead of theirs."""
    target = embedded.start()
    lower, higher = (target, postgres15) if request.param == "a lower counter" else (postgres15, target)
    burn_transactions(higher, counter(lower) + 20_000)
    return target


@pytest.mark.parametrize("step", STEPS)
async def test_days_close_with_what_moved_and_everything_is_sealed_after_a_restore(postgres15, other_server, step):
    migrate(source := create_database(postgres15), packages=BOOKS)
    books = Books(ManualClock(NOON))
    async with Database.open(source, size=2) as database:
        await before(database, books, step)

    async with Database.open(restore_copy(source, other_server), size=4) as database:
        if step != "nothing of it":
            await books.book(database, 7)  # while the 11th is being closed: business of the 12th
        await books.cut(database, ELEVENTH)
        assert await books.movement(database, ELEVENTH, books.channel) == (230, 0, 330, 0)
        if step == "nothing of it":
            await books.book(database, 7)
        posted, voided, *_ = books.holds
        sides = {"debit_account_id": 0, "credit_account_id": 0}
        await books.book(database, 10, pending_id=posted, flags=TransferFlags.POST_PENDING_TRANSFER, **sides)
        await books.book(database, 0, pending_id=voided, flags=TransferFlags.VOID_PENDING_TRANSFER, **sides)
        states = {
            row["id"].int: row["state"] for row in await database.pool.fetch("SELECT id, state FROM ledger.pending")
        }
        assert [states[hold] for hold in books.holds] == [2, 3, 4, 1]

        books.clock.advance(timedelta(days=1))
        await books.cut(database, TWELFTH)
        assert await books.movement(database, TWELFTH, books.channel) == (7, 0, 337, 0)
        assert await books.movement(database, TWELFTH, books.merchant) == (10, 7, 10, 337)
        accounts = await LedgerClient(database.run).lookup_accounts([books.channel, books.merchant])
        assert [(a.debits_posted, a.credits_posted) for a in accounts] == [(337, 0), (10, 337)]
        assert accounts[1].debits_pending == 10

        await books.seal(database)
        verdict = await database.run(ledger.verify)
        assert verdict.problems == []
        assert verdict.rows == await database.pool.fetchval("SELECT count(*) FROM ledger.transfer") == 11
        assert (await database.run(lambda tx: ledger.check_invariants(tx, now=books.clock.now()))).problems == []


@pytest.fixture
async def restored(postgres15, other_server):
    """The URL of books that no process of the platform has opened since they came to another server."""
    migrate(source := create_database(postgres15), packages=BOOKS)
    books = Books(ManualClock(NOON))
    async with Database.open(source, size=2) as database:
        await before(database, books, "switched")
    return restore_copy(source, other_server), books


async def test_nothing_is_written_before_the_cluster_is_adopted(restored):
    url, books = restored
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetchval("SELECT count(*) FROM ledger.transfer")

        async def book(tx):
            event = Transfer(ledger.id(), books.channel, books.merchant, 1, ledger=CNY, code=1)
            await ledger.Ledger(tx, clock=books.clock.now_ns).create_transfers([event])

        for work in (
            book,
            lambda tx: ledger.seal(tx, now=books.clock.now()),
            lambda tx: advance_day_cut(tx, day=ELEVENTH, now=books.clock.now()),
        ):
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="comes from another cluster"):
                async with connection.transaction():
                    await work(connection)
        assert await connection.fetchval("SELECT count(*) FROM ledger.transfer") == rows
    finally:
        await connection.close()


async def epoch_of(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT epoch FROM db.cluster")
    finally:
        await connection.close()


async def test_a_cluster_is_adopted_once_however_many_open_the_database(restored):
    url, books = restored

    async def use():
        async with Database.open(url, size=2) as database:
            await books.book(database, 1)

    await asyncio.gather(*(use() for _ in range(6)))
    assert await epoch_of(url) == 2
    migrate(url, packages=BOOKS)
    assert await epoch_of(url) == 2


async def test_a_migration_adopts_the_cluster_too(restored):
    url, books = restored
    migrate(url, packages=BOOKS)
    assert await epoch_of(url) == 2
    connection = await asyncpg.connect(url)
    try:
        await LedgerClient.on(connection, books.clock).create_transfers(
            [Transfer(ledger.id(), books.channel, books.merchant, 1, ledger=CNY, code=1)]
        )
        highest, oldest = await connection.fetchrow(
            "SELECT max(xact), (SELECT max(to_xact) FROM ledger.seal) FROM ledger.transfer"
        )
        assert highest > oldest
    finally:
        await connection.close()


async def test_a_clone_with_the_same_identity_whose_counter_is_behind_is_noticed(restored):
    url, books = restored
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "UPDATE db.cluster SET system_identifier = (SELECT system_identifier FROM pg_control_system())"
        )
        (kept, now) = await connection.fetchrow(
            "SELECT (SELECT max(to_xact) FROM ledger.seal), pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        )
    finally:
        await connection.close()
    async with Database.open(url, size=2) as database:
        await books.book(database, 7)
        await books.cut(database, ELEVENTH)
        await books.seal(database)
        assert await books.movement(database, ELEVENTH, books.channel) == (230, 0, 330, 0)
        assert (await database.run(ledger.verify)).problems == []
    assert await epoch_of(url) == (2 if kept > now else 1)


async def test_a_copy_within_the_cluster_needs_no_adoption(embedded):
    migrate(source := create_database(embedded.start()), packages=BOOKS)
    books = Books(ManualClock(NOON))
    async with Database.open(source, size=2) as database:
        await before(database, books, "drained")
    copy = restore_copy(source, embedded.start())
    async with Database.open(copy, size=2) as database:
        await books.cut(database, ELEVENTH)
        assert await books.movement(database, ELEVENTH, books.channel) == (230, 0, 330, 0)
        await books.seal(database)
        assert (await database.run(ledger.verify)).problems == []
    assert await epoch_of(copy) == 1
