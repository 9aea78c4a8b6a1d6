"""Many connections at once, and servers that die: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from datetime import timedelta

import asyncpg
import pytest

from hutong import ledger
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database, EmbeddedServer
from hutong.ledger import Account, CreateTransferStatus, Transfer, TransferFlags
from hutong.ledger.model import AccountFlags
from support import SEED, migrated_database
from support.fixtures.ledger import LedgerClient
from support.models.ledger import Oracle

T = CreateTransferStatus
LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS


@pytest.fixture
async def alone(fresh_database_url):
    async with Database.open(fresh_database_url, size=24) as opened:
        yield opened


async def run_on(database, work, clock=None):
    return await work(LedgerClient(database.run, clock))


async def assert_books_hold(database):
    async with database.transaction() as tx:
        while await ledger.seal(tx, now=SystemClock().now()):
            pass
        assert (await ledger.verify(tx)).problems == []


def move(debit, credit, amount=1, **fields):
    return Transfer(**{"id": ledger.id(), "ledger": 1, "code": 1, **fields},
                    debit_account_id=debit, credit_account_id=credit, amount=amount)  # fmt: skip


async def test_the_first_partitions_are_made_once_by_two_starts_at_once(alone):
    now = SystemClock().now()
    async with alone.transaction() as other, alone.transaction() as first:
        made = await ledger.make_partitions(first, now=now + timedelta(milliseconds=1))
        second = asyncio.create_task(ledger.make_partitions(other, now=now))
        while not await first.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"):
            assert not second.done()
            await asyncio.sleep(0.01)
        await first.execute("COMMIT; BEGIN")
        assert (len(made), await second) == (3, [])


async def test_8192_transfers_compete_for_a_balance_that_covers_half(alone):
    await run_on(alone, lambda lg: lg.create_accounts([Account(1, ledger=1, code=1, flags=LIMITED),
                                                       Account(2, ledger=1, code=1)]))  # fmt: skip
    await run_on(alone, lambda lg: lg.create_transfers([move(2, 1, 4096)]))
    batches = [[move(1, 2) for _ in range(256)] for _ in range(32)]
    results = await asyncio.gather(*(run_on(alone, lambda lg, b=b: lg.create_transfers(b)) for b in batches))
    counted = [result.status for batch in results for result in batch]
    assert (counted.count(T.CREATED), counted.count(T.EXCEEDS_CREDITS)) == (4096, 4096)
    (account,) = await run_on(alone, lambda lg: lg.lookup_accounts([1]))
    assert (account.debits_posted, account.credits_posted) == (4096, 4096)
    await assert_books_hold(alone)


async def test_concurrent_batches_end_as_some_serial_order_would(alone):
    """Replayed one by one in the order of their timestamps, the oracle answers the same.

    One answer has no place in that order: a resolution sent before the hold was acknowledged may be answered "not
    found" and still take a later timestamp than the hold, because only the hold's accounts make it wait. It changed
    nothing, so the oracle must not see it either, or the oracle resolves the hold and its balances differ from then
    on. Once the hold is acknowledged, or made earlier in the same batch, "not found" is wrong.
    """
    rnd = random.Random(SEED)
    made = [Account(n, ledger=1, code=1, flags=LIMITED if n > 1 else 0) for n in range(1, 9)]
    await run_on(alone, lambda lg: lg.create_accounts(made))
    seen, holds, acknowledged = {}, [], set()

    async def client(lg):
        for _ in range(25):
            batch = []
            for _ in range(rnd.randint(1, 12)):
                debit, credit = (1, rnd.randint(2, 8)) if rnd.random() < 0.4 else rnd.sample(range(2, 9), 2)
                if holds and rnd.random() < 0.3:
                    flags = rnd.choice([TransferFlags.POST_PENDING_TRANSFER, TransferFlags.VOID_PENDING_TRANSFER])
                    batch.append(Transfer(ledger.id(), pending_id=rnd.choice(holds), flags=flags))
                    continue
                flags = TransferFlags.PENDING if rnd.random() < 0.3 else TransferFlags.NONE
                batch.append(move(debit, credit, rnd.randint(1, 20), flags=flags))
                if flags:
                    holds.append(batch[-1].id)
            settled = acknowledged | {event.id for event in batch}
            early = {event.id for event in batch if event.pending_id and event.pending_id not in settled}
            for event, result in zip(batch, await lg.create_transfers(batch), strict=True):
                acknowledged.add(event.id)
                if event.id not in early or result.status is not T.PENDING_TRANSFER_NOT_FOUND:
                    seen[result.timestamp] = (event, result.status)

    await asyncio.gather(*(run_on(alone, client) for _ in range(12)))
    oracle = Oracle()
    oracle.accounts = {a.id: a for a in await run_on(alone, lambda lg: lg.lookup_accounts(range(1, 9)))}
    final = {n: (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
             for n, a in oracle.accounts.items()}  # fmt: skip
    for account in oracle.accounts.values():
        account.debits_pending = account.debits_posted = account.credits_pending = account.credits_posted = 0
    differing = [
        (event, status, answer)
        for timestamp, (event, status) in sorted(seen.items())
        if (answer := oracle.create_transfers([event], timestamp)[0][0]) != status
    ]
    assert differing == []
    assert final == {n: (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
                     for n, a in oracle.accounts.items()}  # fmt: skip
    await assert_books_hold(alone)


async def test_the_same_transfer_from_many_connections_is_booked_once(alone):
    await run_on(alone, lambda lg: lg.create_accounts([Account(n, ledger=1, code=1) for n in (1, 2, 3, 4)]))
    same = [move(1, 2, 5) for _ in range(50)]
    results = await asyncio.gather(*(run_on(alone, lambda lg: lg.create_transfers(same)) for _ in range(16)))
    assert sum(result.status is T.CREATED for batch in results for result in batch) == 50
    assert {result.status for batch in results for result in batch} == {T.CREATED, T.EXISTS}
    # The same id with other accounts meets no common lock, only the id itself.
    one = ledger.id()
    pairs = [(1, 2), (3, 4)] * 8
    results = await asyncio.gather(
        *(run_on(alone, lambda lg, p=p: lg.create_transfers([move(*p, id=one)])) for p in pairs)
    )
    found = sorted(batch[0].status.name for batch in results)
    assert found == sorted(["CREATED"] + ["EXISTS"] * 7 + ["EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID"] * 8)
    await assert_books_hold(alone)


async def test_a_hold_is_resolved_once_when_posting_voiding_and_expiry_race(alone):
    clock = ManualClock(SystemClock().now())
    await run_on(alone, lambda lg: lg.create_accounts([Account(n, ledger=1, code=1) for n in (1, 2)]))
    holds = [move(1, 2, 10, flags=TransferFlags.PENDING, timeout=1) for _ in range(40)]
    await run_on(alone, lambda lg: lg.create_transfers(holds), clock)
    late = ManualClock(clock.now() + timedelta(seconds=2))
    work = []
    for hold in holds:
        post = Transfer(ledger.id(), pending_id=hold.id, amount=10, flags=TransferFlags.POST_PENDING_TRANSFER)
        void = Transfer(ledger.id(), pending_id=hold.id, flags=TransferFlags.VOID_PENDING_TRANSFER)
        work += [run_on(alone, lambda lg, e=e: lg.create_transfers([e]), clock) for e in (post, void)]
    work.insert(30, run_on(alone, lambda lg: lg.expire_pending_transfers(), late))
    work.insert(60, run_on(alone, lambda lg: lg.expire_pending_transfers(), late))
    results = await asyncio.gather(*work)
    expired = results.pop(60) + results.pop(30)
    created = [r[0].status for r in results].count(T.CREATED)
    assert created + expired == 40
    (account,) = await run_on(alone, lambda lg: lg.lookup_accounts([1]))
    assert account.debits_pending == 0
    await assert_books_hold(alone)


class Load:
    """Clients that book until stopped, and remember what was acknowledged and what is in doubt."""

    def __init__(self, url):
        self.url = url
        self.acknowledged, self.doubtful = set(), set()
        self.stopped = False

    async def client(self):
        while not self.stopped:
            connection = None
            try:
                connection = await asyncpg.connect(self.url, timeout=5)
                await connection.execute("SET ROLE hutong_app")
                lg = LedgerClient.on(connection)
                while not self.stopped:
                    batch = [move(1, 2), move(2, 3), move(3, 1, 2)]
                    ids = {t.id for t in batch}
                    self.doubtful |= ids
                    assert all(r.status is T.CREATED for r in await lg.create_transfers(batch))
                    self.acknowledged |= ids
                    self.doubtful -= ids
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError):
                await asyncio.sleep(0.05)
            finally:
                if connection is not None:
                    connection.terminate()

    async def check(self):
        async with Database.open(self.url, size=2) as database:
            kept = {t.id for t in await run_on(database, lambda lg: lg.lookup_transfers([*self.acknowledged]))}
            assert kept == self.acknowledged
            doubtful = await run_on(database, lambda lg: lg.lookup_transfers([*self.doubtful]))
            (account,) = await run_on(database, lambda lg: lg.lookup_accounts([1]))
            booked = len(kept) + len(doubtful)
            assert account.debits_posted * 3 == booked
            await assert_books_hold(database)


async def prepared(server_url):
    url = migrated_database(server_url)
    async with Database.open(url, size=2) as database:
        await run_on(database, lambda lg: lg.create_accounts([Account(n, ledger=1, code=1) for n in (1, 2, 3)]))
    return Load(url)


async def test_killed_backends_lose_nothing_and_double_nothing(server_url):
    load = await prepared(server_url)
    clients = [asyncio.create_task(load.client()) for _ in range(6)]
    killer = await asyncpg.connect(load.url)
    for _ in range(12):
        await asyncio.sleep(0.05)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database() AND random() < 0.5"
        )
    await killer.close()
    load.stopped = True
    await asyncio.gather(*clients)
    assert load.acknowledged
    await load.check()


async def test_a_server_stopped_at_once_under_load_loses_nothing(short_folder):
    server = EmbeddedServer(short_folder / "home")
    try:
        load = await prepared(await asyncio.to_thread(server.start))
        clients = [asyncio.create_task(load.client()) for _ in range(4)]
        for _ in range(2):
            await asyncio.sleep(0.7)
            stop_at_once(server)
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        load.stopped = True
        await asyncio.gather(*clients)
        assert len(load.acknowledged) > 30
        await load.check()
    finally:
        await asyncio.to_thread(server.stop, unless_used=False)


def stop_at_once(server):
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)  # what `pg_ctl stop -m immediate` sends
    while server.pid() == pid:
        time.sleep(0.02)
