"""The chain, the verification, the partitions: on a database of their own, because they read all of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from hutong import ledger
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.ledger import Account, Transfer, TransferFlags
from hutong.ledger.model import AccountFlags
from support import migrated_database
from support.fixtures.ledger import LedgerClient


@pytest.fixture
async def owner(fresh_database_url):
    connection = await asyncpg.connect(fresh_database_url)
    yield connection
    await connection.close()


async def some_history(connection, clock):
    """Plain transfers, holds posted, voided, expired and open, in several transactions; returns the last id."""
    lg = LedgerClient.on(connection, clock)
    limited = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    await lg.create_accounts([Account(id=n, ledger=1, code=1, flags=limited if n == 2 else 0) for n in range(1, 5)])
    both = {"ledger": 1, "code": 1}
    ids = [ledger.id() for _ in range(9)]
    pending = TransferFlags.PENDING
    await lg.create_transfers([Transfer(ids[0], 1, 2, 100, **both), Transfer(ids[1], 3, 4, 7, **both)])
    await lg.create_transfers([Transfer(ids[2 + n], 2, 3, 10 + n, flags=pending, timeout=n, **both) for n in range(4)])
    await lg.create_transfers(
        [
            Transfer(ids[6], pending_id=ids[2], amount=5, flags=TransferFlags.POST_PENDING_TRANSFER),
            Transfer(ids[7], pending_id=ids[3], flags=TransferFlags.VOID_PENDING_TRANSFER),
        ]
    )
    clock.advance(timedelta(seconds=2.5))
    await lg.create_transfers([Transfer(ids[8], 4, 2, 1, user_data_64=2**63, **both)])
    return ids


async def seal_all(connection, clock, rows=3):
    total = 0
    async with connection.transaction():
        while sealed := await ledger.seal(connection, now=clock.now(), rows=rows):
            total += sealed
    return total


async def seal_until(connection, clock, rows):
    """Seal so many rows: a transaction of the server itself, as of its autovacuum, may hold some back for a moment."""
    async with asyncio.timeout(120):
        total = await seal_all(connection, clock)
        while total < rows:
            await asyncio.sleep(0.05)
            total += await seal_all(connection, clock)
    return total


async def test_sound_books_hold_and_the_chain_grows(owner):
    clock = ManualClock()
    await some_history(owner, clock)
    assert await seal_until(owner, clock, 10) == 10  # nine transfers and one expiry
    async with owner.transaction():
        verdict = await ledger.verify(owner)
    assert (verdict.problems, verdict.rows) == ([], 10)
    assert verdict.seals == 2
    assert await seal_all(owner, clock) == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("amount", "amount + 1"), ("user_data_64", "5"), ("debit_debits_posted", "debit_debits_posted + 1"),
     ("accounting_date", "accounting_date + 1"), ("code", "2")],
)  # fmt: skip
async def test_a_row_altered_by_hand_is_named(owner, column, value):
    clock = ManualClock()
    ids = await some_history(owner, clock)
    await seal_all(owner, clock)
    await owner.execute("ALTER TABLE ledger.transfer DISABLE TRIGGER USER")
    altered = f"{ids[1]:032x}"
    await owner.execute(f"UPDATE ledger.transfer SET {column} = {value} WHERE id = '{altered}'")
    async with owner.transaction():
        verdict = await ledger.verify(owner)
    assert not verdict.holds
    assert str(verdict.problems[0]).replace("-", "").startswith(f"row {altered}: not as it was sealed")


async def test_a_row_deleted_by_hand_is_noticed_sealed_or_not(owner):
    clock = ManualClock()
    ids = await some_history(owner, clock)
    await owner.execute("ALTER TABLE ledger.transfer DISABLE TRIGGER USER")
    await owner.execute(f"DELETE FROM ledger.transfer WHERE id = '{ids[0]:032x}'")
    async with owner.transaction():
        verdict = await ledger.verify(owner)
    assert "a version is missing or doubled" in str(verdict.problems[0])


async def test_a_balance_altered_by_hand_is_named(owner):
    clock = ManualClock()
    await some_history(owner, clock)
    await owner.execute("UPDATE ledger.account SET credits_posted = credits_posted + 1 WHERE version > 0 AND code = 1")
    async with owner.transaction():
        verdict = await ledger.verify(owner)
    assert any("its balances differ from those in its last row" in str(problem) for problem in verdict.problems)


async def test_a_running_transaction_holds_the_seal_back_and_is_not_skipped(owner, fresh_database_url):
    clock = ManualClock()
    await some_history(owner, clock)
    await seal_all(owner, clock)
    slow = await asyncpg.connect(fresh_database_url)
    transaction = slow.transaction()
    await transaction.start()
    await ledger.Ledger(slow, clock=clock.now_ns).create_transfers([Transfer(ledger.id(), 3, 4, 1, ledger=1, code=1)])
    await LedgerClient.on(owner, clock).create_transfers([Transfer(ledger.id(), 1, 2, 1, ledger=1, code=1)])
    assert await seal_all(owner, clock) == 0
    await transaction.commit()
    await slow.close()
    assert await seal_until(owner, clock, 2) == 2
    async with owner.transaction():
        assert (await ledger.verify(owner)).problems == []


async def test_partitions_are_made_ahead_and_take_the_rows_of_their_time(owner):
    clock = SystemClock()
    await owner.execute("SET ROLE hutong_worker")
    made = await ledger.make_partitions(owner, now=clock.now())
    assert len(made) == 3
    assert await ledger.make_partitions(owner, now=clock.now()) == []
    await some_history(owner, ManualClock(clock.now()))
    await owner.execute("RESET ROLE")
    assert await owner.fetchval("SELECT count(*) FROM ledger.transfer_default") == 0
    assert await owner.fetchval(f"SELECT count(*) FROM ledger.{made[0]}") == 10
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await owner.execute(f"TRUNCATE ledger.{made[0]}")


async def test_an_archived_partition_keeps_its_checksum_and_its_ids(owner):
    clock = ManualClock(SystemClock().now())
    (first, *_) = await ledger.make_partitions(owner, now=clock.now())
    ids = await some_history(owner, clock)
    archive = "SELECT ledger.archive_partition($1, $2)"
    with pytest.raises(asyncpg.ObjectInUseError, match="open holds"):
        await owner.fetchval(archive, first, clock.now())
    lg = LedgerClient.on(owner, clock)
    await lg.create_transfers([Transfer(ledger.id(), pending_id=ids[5], flags=TransferFlags.VOID_PENDING_TRANSFER)])
    await seal_all(owner, clock)
    before = await owner.fetch("SELECT id FROM ledger.journal ORDER BY id")
    checksum = await owner.fetchval(archive, first, clock.now())
    assert len(checksum) == 32
    assert await owner.fetch("SELECT id FROM ledger.journal ORDER BY id") == before
    assert await owner.fetchval("SELECT count(*) FROM ledger.transfer") == 0
    async with owner.transaction():
        assert (await ledger.verify(owner)).problems == []
    (result,) = await lg.create_transfers([Transfer(ids[0], 1, 2, 100, ledger=1, code=1)])
    assert result.status.name == "EXISTS"  # its id is taken for good


async def test_the_oldest_and_the_newest_server_keep_the_same_books(each_server_url):
    url = migrated_database(each_server_url)
    async with Database.open(url, size=4) as database:
        clock = ManualClock(SystemClock().now())
        await ledger.maintain(database, now=clock.now(), new_id=Ids(clock).new)
        async with database.pool.acquire() as connection:
            await some_history(connection, clock)
            large = [Transfer(ledger.id(), 3, 4, 1, ledger=1, code=1) for _ in range(300)]
            results = await LedgerClient.on(connection, clock).create_transfers(large)
            assert {result.status.name for result in results} == {"CREATED"}
        done = await ledger.maintain(database, now=clock.now(), new_id=Ids(clock).new)
        assert done.sealed == 310
        verdict = await database.run(ledger.verify)
        assert (verdict.problems, verdict.rows) == ([], 310)
        assert (await database.run(lambda tx: ledger.check_invariants(tx, now=clock.now()))).problems == []
