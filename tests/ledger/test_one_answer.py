"""One id, one answer, permanently: across connections, after failures, in the archive; and reversals at once."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from hutong import ledger
from hutong.clock import ManualClock, SystemClock
from hutong.db import Database
from hutong.ids import Ids
from hutong.ledger import Account, CreateTransferStatus, Transfer, TransferFlags, codec
from hutong.ledger.model import TRANSIENT, AccountFlags, QueryFilter, QueryFilterFlags
from support import SEED
from support.fixtures.ledger import LedgerClient

T = CreateTransferStatus
LIMITED = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
PENDING = TransferFlags.PENDING


@pytest.fixture
async def alone(fresh_database_url):
    async with Database.open(fresh_database_url, size=24) as opened:
        yield opened


@pytest.fixture
async def owner(fresh_database_url):
    connection = await asyncpg.connect(fresh_database_url)
    yield connection
    await connection.close()


async def books(database, accounts=8, limited=()):
    lg = LedgerClient(database.run)
    await lg.create_accounts(
        [Account(n, ledger=1, code=1, flags=LIMITED if n in limited else 0) for n in range(1, accounts + 1)]
    )
    return lg


def move(debit, credit, amount=1, **fields):
    return Transfer(**{"id": ledger.id(), "ledger": 1, "code": 1, **fields},
                    debit_account_id=debit, credit_account_id=credit, amount=amount)  # fmt: skip


async def assert_books_hold(database):
    while await database.run(lambda tx: ledger.seal(tx, now=SystemClock().now())):
        pass
    assert (await database.run(ledger.verify)).problems == []


def agree(answers):
    """Whether answers to one id, given in any order, have a serial order: one effect and one answer."""
    first = [answer for answer in answers if answer is T.CREATED or answer in TRANSIENT]
    later = [answer for answer in answers if answer not in first]
    if first == [T.CREATED]:
        return all(answer.name.startswith("EXISTS") for answer in later)
    return len(first) == 1 and set(later) <= {T.ID_ALREADY_FAILED}


@pytest.mark.parametrize("size", [1, 200])  # small batches travel as arrays, large ones by COPY
async def test_an_id_that_fails_on_one_connection_and_is_booked_on_another_has_one_answer(alone, size):
    """Their accounts have nothing in common, so only the id itself makes the two wait for each other."""
    lg = await books(alone, limited={3})
    for _ in range(12):
        one = [move(1, 2) for _ in range(size)]
        other = [move(3, 4, id=event.id) for event in one]  # account 3 has nothing
        unknown = [move(77, 4, id=event.id) for event in one]
        results = await asyncio.gather(*(lg.create_transfers(batch) for batch in (one, other, unknown, one)))
        for answers in zip(*([result.status for result in batch] for batch in results), strict=True):
            assert agree(answers), answers
        again = await asyncio.gather(*(lg.create_transfers(batch) for batch in (one, other, unknown)))
        for first, *others in zip(*([result.status for result in batch] for batch in again), strict=True):
            assert {first} == {T.ID_ALREADY_FAILED} == set(others) or (
                first is T.EXISTS and set(others) == {T.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID}
            )
    await assert_books_hold(alone)


async def test_the_answer_waits_for_the_transaction_that_has_the_id_first(alone):
    lg = await books(alone, limited={3})
    event = move(1, 2)
    async with alone.transaction() as tx:
        (result,) = await ledger.Ledger(tx, clock=SystemClock().now_ns).create_transfers([event])
        assert result.status is T.CREATED
        second = asyncio.create_task(lg.create_transfers([move(3, 4, id=event.id)]))
        assert not (await asyncio.wait([second], timeout=0.3))[0]
    assert (await second)[0].status is T.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    failing = move(3, 4)
    async with alone.transaction() as tx:
        (result,) = await ledger.Ledger(tx, clock=SystemClock().now_ns).create_transfers([failing])
        assert result.status is T.EXCEEDS_CREDITS
        second = asyncio.create_task(lg.create_transfers([move(1, 2, id=failing.id)]))
        assert not (await asyncio.wait([second], timeout=0.3))[0]
    assert (await second)[0].status is T.ID_ALREADY_FAILED


@hypothesis_seed(SEED)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    script=st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 5),  # which of six ids
                st.integers(1, 9), st.integers(1, 9),  # account 9 does not exist
                st.integers(1, 3), st.booleans(),
            ),
            min_size=1, max_size=4,
        ),
        min_size=4, max_size=10,
    )
)  # fmt: skip
async def test_random_batches_over_few_ids_give_each_id_one_answer(database, script):
    base = ledger.id()
    lg = LedgerClient(database.run)
    await lg.create_accounts([Account(base + n, ledger=1, code=1, flags=LIMITED if n > 5 else 0) for n in range(1, 9)])
    ids = [ledger.id() for _ in range(6)]
    batches = [
        [move(base + debit, base + credit, amount, id=ids[n], flags=PENDING if pending else 0)
         for n, debit, credit, amount, pending in batch]
        for batch in script
    ]  # fmt: skip
    results = await asyncio.gather(*(lg.create_transfers(batch) for batch in batches))
    answers: dict[int, list[CreateTransferStatus]] = {}
    for batch, statuses in zip(batches, results, strict=True):
        for event, result in zip(batch, statuses, strict=True):
            if result.status is not T.ACCOUNTS_MUST_BE_DIFFERENT:  # says nothing of the id
                answers.setdefault(event.id, []).append(result.status)
    for given_ in answers.values():
        assert agree(given_), given_
    kept = {t.id for t in await lg.lookup_transfers(ids)}
    assert kept == {number for number, given_ in answers.items() if T.CREATED in given_}


async def test_a_failed_id_is_under_the_seal_and_shown_to_nobody(alone):
    lg = await books(alone, limited={3})
    failed = move(3, 4, user_data_128=9)
    assert (await lg.create_transfers([failed]))[0].status is T.EXCEEDS_CREDITS
    assert await lg.lookup_transfers([failed.id]) == []
    query = QueryFilter(user_data_128=0, user_data_64=0, user_data_32=0, ledger=0, code=0, timestamp_min=0,
                               timestamp_max=0, limit=10, flags=QueryFilterFlags.NONE)  # fmt: skip
    assert await lg.query_transfers(query) == []
    assert await alone.run(lambda tx: ledger.seal(tx, now=SystemClock().now())) == 1
    await assert_books_hold(alone)


async def reverse(database, *ids, clock=None):
    clock = clock or SystemClock()
    made = Ids(clock)
    return await database.run(
        lambda tx: ledger.reverse(tx, ids, reason="wrong", by="ops", new_id=made.new, now=clock.now())
    )


async def test_reversals_at_once_under_a_limit_are_reversed_once_and_already_reversed_else(alone):
    lg = await books(alone, limited={2})
    for _ in range(8):
        event = move(1, 2, 100)
        await lg.create_transfers([event])
        results = [batch[0] for batch in await asyncio.gather(*(reverse(alone, event.id) for _ in range(4)))]
        assert sorted(result.status.value for result in results) == ["already_reversed"] * 3 + ["reversed"]
        assert len({result.reversal_id for result in results}) == 1
    (account,) = await lg.lookup_accounts([2])
    assert account.debits_posted == account.credits_posted == 800
    await assert_books_hold(alone)


async def test_crossing_lists_of_reversals_end_and_reverse_each_once(alone):
    rnd = random.Random(SEED)
    lg = await books(alone, limited={2, 4, 6})
    events = [move(debit, debit + 1, 5) for debit in (1, 3, 5, 1, 3, 5)]
    await lg.create_transfers(events)
    ids = [event.id for event in events]
    lists = [rnd.sample(ids, 4) for _ in range(8)]
    results = await asyncio.gather(*(reverse(alone, *numbers) for numbers in lists))
    statuses: dict[int, list[str]] = {}
    for numbers, answers in zip(lists, results, strict=True):
        for number, answer in zip(numbers, answers, strict=True):
            statuses.setdefault(number, []).append(answer.status.value)
    for given_ in statuses.values():
        assert sorted(given_) == ["already_reversed"] * (len(given_) - 1) + ["reversed"]
    await assert_books_hold(alone)


async def test_a_reversal_has_a_code_of_its_own_and_is_not_reversed(alone):
    lg = await books(alone)
    event = move(1, 2, 7, code=10, user_data_128=5)
    await lg.create_transfers([event])
    ((first,), (again,)) = (await reverse(alone, event.id), await reverse(alone, event.id))
    assert (first.status.value, again.status.value, again.reversal_id) == (
        "reversed", "already_reversed", first.reversal_id,
    )  # fmt: skip
    (opposite,) = await lg.lookup_transfers([first.reversal_id.int])
    assert (opposite.debit_account_id, opposite.credit_account_id, opposite.amount) == (2, 1, 7)
    assert (opposite.code, opposite.user_data_32, opposite.user_data_128) == (ledger.EventCode.REVERSAL, 10, 5)
    (refused,) = await reverse(alone, first.reversal_id.int)
    assert (refused.status.value, refused.reversal_id) == ("is_reversal", None)
    assert (await lg.lookup_accounts([1]))[0].debits_posted == 7


async def archived(owner):
    """Two accounts whose bookings, one posted hold and one failed id are in the archive; returns the events."""
    clock = ManualClock(SystemClock().now())
    (first, *_) = await ledger.make_partitions(owner, now=clock.now())
    lg = LedgerClient.on(owner, clock)
    await lg.create_accounts([Account(n, ledger=1, code=1, flags=LIMITED if n == 3 else 0) for n in (1, 2, 3)])
    plain, held, failed = move(1, 2, 100), move(1, 2, 30, flags=PENDING), move(3, 1, 5)
    post = Transfer(ledger.id(), pending_id=held.id, amount=20, flags=TransferFlags.POST_PENDING_TRANSFER)
    assert [r.status for r in await lg.create_transfers([plain, held, failed, post])] == [
        T.CREATED, T.CREATED, T.EXCEEDS_CREDITS, T.CREATED,
    ]  # fmt: skip
    async with owner.transaction():
        while await ledger.seal(owner, now=clock.now()):
            pass
    await owner.fetchval("SELECT ledger.archive_partition($1, $2)", first, clock.now())
    assert await owner.fetchval("SELECT count(*) FROM ledger.transfer") == 0
    return lg, plain, held, failed, post


async def test_archived_ids_are_answered_one_by_one_and_spoil_no_batch(owner):
    lg, plain, held, failed, post = await archived(owner)
    new = move(2, 1, 1, id=ledger.id() + (40 << 30 << 80))  # of a partition that is not archived
    other = move(1, 2, 99, id=plain.id)
    never_seen = move(1, 2, 1)  # of the archived range
    again = Transfer(ledger.id() + (40 << 30 << 80), pending_id=held.id, flags=TransferFlags.VOID_PENDING_TRANSFER)
    batch = [plain, other, new, failed, never_seen, held, post, again]
    assert [result.status for result in await lg.create_transfers(batch)] == [
        T.EXISTS, T.EXISTS_WITH_DIFFERENT_AMOUNT, T.CREATED, T.ID_ALREADY_FAILED, T.ID_ALREADY_FAILED, T.EXISTS,
        T.EXISTS, T.PENDING_TRANSFER_ALREADY_POSTED,
    ]  # fmt: skip
    large = [move(2, 1, 1, id=new.id + 1 + n) for n in range(200)]
    results = await lg.create_transfers([plain, *large])
    assert [result.status for result in results] == [T.EXISTS, *[T.CREATED] * 200]


async def test_archived_bookings_are_looked_up_queried_and_reversed(owner, alone):
    lg, plain, held, _, post = await archived(owner)
    found = await lg.lookup_transfers([plain.id, held.id, post.id])
    assert [(t.id, t.amount) for t in found] == [(plain.id, 100), (held.id, 30), (post.id, 20)]
    clock = SystemClock()
    async with owner.transaction():
        future = Ids(ManualClock(clock.now().replace(year=clock.now().year + 1)))
        results = await ledger.reverse(
            owner, [plain.id, held.id, post.id], reason="wrong", by="ops", new_id=future.new, now=clock.now()
        )
    assert [result.status.value for result in results] == ["reversed", "not_booked", "reversed"]
    (account,) = await lg.lookup_accounts([1])
    assert (account.debits_posted, account.credits_posted) == (120, 120)
    await assert_books_hold(alone)


async def test_a_backend_terminated_while_rows_are_copied_is_a_lost_connection(
    alone, owner, fresh_database_url, monkeypatch
):
    await books(alone)
    pid = owner.get_server_pid()
    pack = codec.pack_rows

    def broken(*arguments):
        with psycopg.connect(fresh_database_url, autocommit=True) as killer:
            for number, packed in enumerate(pack(*arguments)):
                if number == 1:
                    killer.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
                yield packed

    monkeypatch.setattr(codec, "pack_rows", broken)
    events = [move(1, 2) for _ in range(2_000)]
    await owner.transaction().start()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, OSError)):
        await ledger.Ledger(owner, clock=SystemClock().now_ns).create_transfers(events)
    assert await LedgerClient(alone.run).lookup_transfers([events[0].id]) == []


async def test_what_the_driver_says_of_a_connection_that_broke_is_a_lost_connection(alone, monkeypatch):
    async def broken(*_):
        raise asyncpg.InternalClientError("cannot switch to state 15")

    await books(alone)
    monkeypatch.setattr("hutong.ledger.ledger.write", broken)
    async with alone.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="lost while it wrote the transfers"):
            await ledger.Ledger(connection, clock=SystemClock().now_ns).create_transfers([move(1, 2)])
        await transaction.rollback()
