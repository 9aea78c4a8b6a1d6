"""A link to the database that dies without a farewell stops nobody for long, and what was committed is kept."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from hutong.db import Coalescer, Database, pool, time_limit
from hutong.errors import OutcomeUnknown, Unavailable
from support.fakes.faulty_link import FaultyLink

LIMIT_S = 3.0
"""The limit of transactions here, as 8 s is that of a process that serves."""
PATIENT_S = 60.0
"""The limit of work that must succeed, on a machine that is busy with other things too."""


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_COMMIT_LIMIT_S", PATIENT_S)
    monkeypatch.setattr(pool, "_ROLLBACK_LIMIT_S", 1.0)
    monkeypatch.setattr(pool, "_RELEASE_LIMIT_S", 1.0)
    monkeypatch.setattr(pool, "CONNECT_LIMIT_S", LIMIT_S)


@pytest.fixture
async def table(database_url: str) -> AsyncIterator[str]:
    name = f"public.link_{secrets.token_hex(4)}"
    async with Database.open(database_url, role=None) as owner:
        await owner.pool.execute(f"CREATE TABLE {name} (n int PRIMARY KEY)")
        await owner.pool.execute(f"GRANT SELECT, INSERT ON {name} TO hutong_app")
        yield name
        await owner.pool.execute(f"DROP TABLE {name}")


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[FaultyLink]:
    async with FaultyLink(database_url) as opened:
        yield opened


@pytest.fixture
async def far(link: FaultyLink) -> AsyncIterator[Database]:
    """A database behind the link, with several connections in its pool."""
    async with Database.open(link.url, size=4, limit_s=LIMIT_S) as opened:
        with time_limit(PATIENT_S):
            await asyncio.gather(*(opened.run(lambda tx: tx.fetchval("SELECT pg_sleep(0.05)")) for _ in range(4)))
        yield opened
        link.cut()


async def rows(database: Database, table: str) -> list[int]:
    return [row["n"] for row in await database.pool.fetch(f"SELECT n FROM {table} ORDER BY n")]


async def serves_again(database: Database, table: str) -> float:
    """Wait until a transaction succeeds; return how long that took."""
    begin = time.monotonic()
    while True:
        with suppress(Unavailable):
            async with database.transaction() as tx:
                await tx.fetch(f"SELECT n FROM {table}")
            return time.monotonic() - begin


@pytest.mark.parametrize(("up", "down"), [(True, True), (True, False), (False, True)])
async def test_a_silent_link_ends_a_transaction_within_its_limit_and_new_connections_serve(
    far: Database, link: FaultyLink, database: Database, table: str, up: bool, down: bool
) -> None:
    with pytest.raises(Unavailable):
        async with asyncio.timeout(PATIENT_S), far.transaction() as tx:
            link.swallow(up=up, down=down)
            await tx.execute(f"INSERT INTO {table} VALUES (1)")
    assert await rows(database, table) == []
    link.heal()
    # Four idle connections are as dead as the first one: none of them may cost its own time-out.
    assert await serves_again(far, table) < 2 * LIMIT_S


async def test_all_connections_that_died_at_once_are_replaced_at_once(
    far: Database, link: FaultyLink, table: str
) -> None:
    link.swallow()
    begun = [asyncio.create_task(far.run(lambda tx: tx.fetch(f"SELECT n FROM {table}"))) for _ in range(4)]
    await asyncio.sleep(0.1)
    link.heal()
    results = await asyncio.wait_for(asyncio.gather(*begun, return_exceptions=True), PATIENT_S)
    assert [type(result) for result in results] == [Unavailable] * 4
    assert await serves_again(far, table) < 2 * LIMIT_S


async def test_a_commit_without_an_answer_is_unknown_and_the_work_is_there_whole(
    far: Database, link: FaultyLink, database: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_COMMIT_LIMIT_S", 2.0)
    with pytest.raises(OutcomeUnknown):
        async with asyncio.timeout(PATIENT_S), far.transaction() as tx:
            await tx.execute(f"INSERT INTO {table} VALUES (1), (2)")
            link.swallow(up=False)
    assert await rows(database, table) == [1, 2]


async def test_a_connection_that_dies_after_the_commit_does_not_hide_the_result(
    far: Database, link: FaultyLink, database: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = asyncpg.transaction.Transaction.commit

    async def commit_and_go_silent(self: asyncpg.transaction.Transaction) -> None:
        await commit(self)
        link.swallow()

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", commit_and_go_silent)
    with time_limit(PATIENT_S):
        assert await far.run(lambda tx: tx.execute(f"INSERT INTO {table} VALUES (1)")) == "INSERT 0 1"
        monkeypatch.undo()
        assert await rows(database, table) == [1]
        link.heal()
        assert await far.run(lambda tx: tx.fetchval("SELECT 1")) == 1


async def test_a_committed_batch_is_not_run_again_when_its_connection_breaks(
    far: Database, link: FaultyLink, database: Database, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = asyncpg.transaction.Transaction.commit

    async def commit_and_break(self: asyncpg.transaction.Transaction) -> None:
        await commit(self)
        if self._connection in inserting:  # others may commit at the same time
            link.cut()
            await asyncio.sleep(0.05)

    runs, inserting = 0, []

    async def write(tx: Any, commands: Sequence[int]) -> None:
        await tx.execute(f"INSERT INTO {table} SELECT unnest($1::int[])", commands)
        inserting.append(tx._con)

    async def insert(commands: Sequence[int]) -> list[int]:
        nonlocal runs
        runs += 1
        with time_limit(PATIENT_S):
            await far.run(lambda tx: write(tx, commands))
        return list(commands)

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", commit_and_break)
    queue = Coalescer(insert, name="broken_after_commit", in_flight=1)
    assert await asyncio.gather(*(queue.submit(n) for n in range(8))) == list(range(8))
    assert runs == 1
    assert await rows(database, table) == list(range(8))


@pytest.mark.parametrize("callers", [1, 8])
async def test_what_fails_after_the_commit_is_unknown_and_the_batch_is_not_run_again(
    database: Database, table: str, callers: int
) -> None:
    runs = 0

    async def insert_and_stumble(commands: Sequence[int]) -> list[int]:
        nonlocal runs
        runs += 1
        await database.run(lambda tx: tx.execute(f"INSERT INTO {table} SELECT unnest($1::int[])", commands))
        raise ValueError("the answers cannot be made")

    queue = Coalescer(insert_and_stumble, name="stumbles_after_commit", in_flight=1)
    results = await asyncio.gather(*(queue.submit(n) for n in range(callers)), return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown] * callers
    assert runs == 1
    assert await rows(database, table) == list(range(callers))


@pytest.mark.parametrize("callers", [1, 8])
async def test_whatever_fails_once_the_commit_is_sent_is_unknown_to_one_caller_as_to_many(
    database: Database, table: str, callers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = asyncpg.transaction.Transaction.commit
    runs = 0

    async def commit_and_lose_track(self: asyncpg.transaction.Transaction) -> None:
        await commit(self)
        raise AttributeError("the driver has lost its connection")

    async def insert(commands: Sequence[int]) -> list[int]:
        nonlocal runs
        runs += 1
        await database.run(lambda tx: tx.execute(f"INSERT INTO {table} SELECT unnest($1::int[])", commands))
        return list(commands)

    monkeypatch.setattr(asyncpg.transaction.Transaction, "commit", commit_and_lose_track)
    queue = Coalescer(insert, name="lost_in_commit", in_flight=1)
    results = await asyncio.gather(*(queue.submit(n) for n in range(callers)), return_exceptions=True)
    monkeypatch.undo()
    assert [type(result) for result in results] == [OutcomeUnknown] * callers
    assert runs == 1
    assert await rows(database, table) == list(range(callers))


async def test_what_the_server_refuses_at_the_commit_is_no_unknown_outcome(
    database: Database, database_url: str, table: str
) -> None:
    async with Database.open(database_url, role=None) as owner:
        await owner.pool.execute(f"ALTER TABLE {table} ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED")
        await owner.pool.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table.removeprefix('public.')}_pkey")
    with pytest.raises(asyncpg.UniqueViolationError):
        await database.run(lambda tx: tx.execute(f"INSERT INTO {table} VALUES (1), (1)"))
    assert await rows(database, table) == []


async def test_a_delayed_link_is_not_taken_for_a_dead_one(far: Database, link: FaultyLink, table: str) -> None:
    link.delay_s = 0.05
    with time_limit(PATIENT_S):
        async with far.transaction() as tx:
            await tx.execute(f"INSERT INTO {table} VALUES (1)")
    assert await rows(far, table) == [1]


async def test_a_server_that_lives_ends_a_long_statement_by_itself_and_keeps_the_connection(far: Database) -> None:
    async with far.transaction() as tx:
        before = tx.get_server_pid()
    with pytest.raises(Unavailable, match="took too long"):
        async with far.transaction() as tx:
            await tx.execute("SELECT pg_sleep(30)")
    async with far.transaction() as tx:
        assert tx.get_server_pid() == before


async def test_work_with_a_limit_of_its_own_may_take_longer(far: Database) -> None:
    with time_limit(60):
        async with far.transaction() as tx:
            assert await tx.fetchval("SELECT 1 FROM pg_sleep($1)", LIMIT_S + 0.5) == 1
    async with far.transaction() as tx:
        assert await tx.fetchval("SHOW statement_timeout") == "2s"


async def test_work_with_a_limit_of_its_own_can_read_one_state_of_the_database(far: Database) -> None:
    with time_limit(60):
        async with far.transaction() as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            assert await tx.fetchval("SHOW transaction_isolation") == "repeatable read"
            assert await tx.fetchval("SHOW statement_timeout") == "59s"


@pytest.mark.parametrize("stops", [True, False])
async def test_the_place_of_a_handler_that_is_stuck_is_taken_by_the_next_batch(stops: bool) -> None:
    stuck = asyncio.Event()

    async def handle(commands: Sequence[int]) -> list[int]:
        while commands[0] == 0 and not stuck.is_set():
            with suppress(*(() if stops else (asyncio.CancelledError,))):
                await stuck.wait()
        return list(commands)

    queue = Coalescer(handle, name="stuck", in_flight=1, limit_s=0.2)
    with pytest.raises(OutcomeUnknown):
        await queue.submit(0)
    assert await asyncio.wait_for(queue.submit(1), 60) == 1
    stuck.set()
    await queue.close()
