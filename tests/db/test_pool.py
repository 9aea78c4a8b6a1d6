"""Transactions: whole or not at all, retried where that is safe, and honest when the server is gone."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest

from hutong.db import Database, EmbeddedServer, Tx, pool
from hutong.db import embedded_system as system
from hutong.errors import ConfigurationError, OutcomeUnknown, Unavailable
from support import create_database


@pytest.fixture(scope="module")
async def table(database_url: str) -> AsyncIterator[str]:
    """A table of two rows to fight about."""
    name = f"public.fight_{secrets.token_hex(4)}"
    async with Database.open(database_url, role=None) as owner, owner.transaction() as tx:
        await tx.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, n int NOT NULL)")
        await tx.execute(f"GRANT SELECT, INSERT, UPDATE ON {name} TO hutong_app")
    yield name
    async with Database.open(database_url, role=None) as owner, owner.transaction() as tx:
        await tx.execute(f"DROP TABLE {name}")


@pytest.fixture
async def rows(table: str, database: Database) -> str:
    async with database.transaction() as tx:
        await tx.execute(f"INSERT INTO {table} VALUES (1, 0), (2, 0) ON CONFLICT (id) DO UPDATE SET n = 0")
    return table


async def numbers(database: Database, table: str) -> list[int]:
    async with database.transaction() as tx:
        return [row["n"] for row in await tx.fetch(f"SELECT n FROM {table} ORDER BY id")]


async def test_a_transaction_commits_when_its_block_ends(database: Database, rows: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(f"UPDATE {rows} SET n = 1")
    assert await numbers(database, rows) == [1, 1]


async def test_a_transaction_rolls_back_when_its_block_raises(database: Database, rows: str) -> None:
    with pytest.raises(ValueError, match="no"):
        async with database.transaction() as tx:
            await tx.execute(f"UPDATE {rows} SET n = 1")
            raise ValueError("no")
    assert await numbers(database, rows) == [0, 0]


async def test_a_cancelled_transaction_rolls_back_and_gives_its_connection_back(
    database_url: str, table: str, rows: str
) -> None:
    async with Database.open(database_url, size=1) as narrow:
        started = asyncio.Event()

        async def work() -> None:
            async with narrow.transaction() as tx:
                await tx.execute(f"UPDATE {rows} SET n = 1")
                started.set()
                await tx.execute("SELECT pg_sleep(30)")

        task = asyncio.create_task(work())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await numbers(narrow, rows) == [0, 0]


async def test_a_deadlock_is_resolved_by_running_the_loser_again(database: Database, rows: str) -> None:
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    async def swap(first: int, second: int) -> None:
        met = False

        async def work(tx: Tx) -> None:
            nonlocal met, runs
            runs += 1
            await tx.execute(f"UPDATE {rows} SET n = n + 1 WHERE id = {first}")
            if not met:
                met = True
                await both_hold_one.wait()
            await tx.execute(f"UPDATE {rows} SET n = n + 1 WHERE id = {second}")

        await database.run(work)

    await asyncio.gather(swap(1, 2), swap(2, 1))
    assert runs > 2, "the deadlock did not happen, or the loser did not run again"
    assert await numbers(database, rows) == [2, 2]


async def test_a_serialization_failure_is_run_again(database: Database, rows: str) -> None:
    both_have_read = asyncio.Barrier(2)
    runs = 0

    async def add_one() -> None:
        met = False

        async def work(tx: Tx) -> None:
            nonlocal met, runs
            runs += 1
            await tx.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            n = await tx.fetchval(f"SELECT n FROM {rows} WHERE id = 1")
            if not met:
                met = True
                await both_have_read.wait()
            await tx.execute(f"UPDATE {rows} SET n = $1 WHERE id = 1", n + 1)

        await database.run(work)

    await asyncio.gather(add_one(), add_one())
    assert runs == 3
    assert (await numbers(database, rows))[0] == 2


async def test_endless_contention_is_unavailable_and_leaves_nothing(
    database: Database, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_RETRIES", 3)
    runs = 0

    async def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await tx.execute(f"UPDATE {rows} SET n = 9")
        await tx.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$")

    with pytest.raises(Unavailable):
        await database.run(work)
    assert runs == 3
    assert await numbers(database, rows) == [0, 0]


async def test_an_error_of_the_work_itself_is_not_tried_again(database: Database, rows: str) -> None:
    runs = 0

    async def work(tx: Tx) -> None:
        nonlocal runs
        runs += 1
        await tx.execute(f"INSERT INTO {rows} VALUES (1, 1)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.run(work)
    assert runs == 1


async def test_the_application_can_neither_change_tables_nor_leave_its_role_by_accident(database: Database) -> None:
    for _ in range(3):  # also on a connection that was used and reset
        async with database.transaction() as tx:
            assert await tx.fetchval("SELECT current_user") == "hutong_console"
            assert await tx.fetchval("SHOW timezone") == "UTC"
            assert not await tx.fetchval("SELECT has_schema_privilege('public', 'CREATE')")
    async with database.transaction() as tx:
        await tx.execute("SET timezone = 'Asia/Shanghai'")
    for _ in range(40):
        async with database.transaction() as tx:
            assert await tx.fetchval("SHOW timezone") == "UTC"


# A server that goes away


@asynccontextmanager
async def own_server(folder: Path) -> AsyncIterator[tuple[EmbeddedServer, str]]:
    server = EmbeddedServer(folder / "home")
    try:
        yield server, server.start()
    finally:
        server.stop(unless_used=False)


async def test_a_server_that_is_gone_is_unavailable_and_one_that_is_back_is_used(short_folder: Path) -> None:
    async with own_server(short_folder) as (server, url), Database.open(url, role=None, size=4) as database:
        async with database.transaction() as tx:
            await tx.execute("CREATE TABLE kept (n int)")
        async with asyncio.TaskGroup() as group:  # so that the pool holds several connections that will be dead
            for n in range(4):
                group.create_task(database.run(lambda tx, n=n: tx.execute(f"INSERT INTO kept VALUES ({n})")))
        (postmaster,) = system.postgres_processes(server._place().data).server

        with pytest.raises(Unavailable):
            async with database.transaction() as tx:
                await tx.execute("INSERT INTO kept VALUES (99)")
                postmaster.kill()
                postmaster.wait(60)
                system.end(system.postgres_processes(server._place().data).children)
                await tx.execute("SELECT 1")
        for _ in range(6):
            with pytest.raises(Unavailable):
                async with database.transaction():
                    raise AssertionError("there is no server")
        with pytest.raises(Unavailable):
            async with Database.open(url, role=None):
                raise AssertionError("there is no server")

        await asyncio.to_thread(server.start)
        async with database.transaction() as tx:
            assert await tx.fetchval("SELECT count(*) FROM kept") == 4


async def terminate(database_url: str, pid: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def test_a_connection_lost_before_the_commit_means_that_nothing_was_done(
    database: Database, database_url: str, rows: str
) -> None:
    with pytest.raises(Unavailable):
        async with database.transaction() as tx:
            await tx.execute(f"UPDATE {rows} SET n = 5")
            await terminate(database_url, tx.get_server_pid())
            await tx.execute(f"UPDATE {rows} SET n = 6")
    assert await numbers(database, rows) == [0, 0]


async def test_a_connection_lost_during_the_commit_means_that_nobody_knows(
    database: Database, database_url: str, rows: str
) -> None:
    with pytest.raises(OutcomeUnknown):
        async with database.transaction() as tx:
            await tx.execute(f"UPDATE {rows} SET n = 5")
            await terminate(database_url, tx.get_server_pid())
    assert await numbers(database, rows) == [0, 0]


async def test_an_error_of_the_work_keeps_its_name_when_the_connection_is_lost_as_well(
    database: Database, database_url: str
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await terminate(database_url, tx.get_server_pid())
            _ = 1 // 0


async def test_a_mistake_in_using_the_driver_is_not_called_unavailable(database: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError):
        async with database.transaction() as tx:
            await asyncio.gather(tx.fetch("SELECT pg_sleep(0.1)"), tx.fetch("SELECT 1"))


async def test_a_time_out_of_the_work_is_not_called_unavailable(database: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.transaction() as tx:
            await tx.execute("SELECT pg_sleep(30)")


async def test_no_free_connection_is_unavailable(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT_LIMIT_S", 0.1)
    async with Database.open(database_url, size=1) as narrow, narrow.transaction():
        with pytest.raises(Unavailable):
            async with narrow.transaction():
                raise AssertionError("there is only one connection")


# A server that it refuses


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(short_folder: Path, setting: str) -> None:
    async with own_server(short_folder) as (_, url):
        async with Database.open(url, role=None) as database:
            await database.pool.execute(f"ALTER SYSTEM SET {setting} = off")
            await database.pool.execute("SELECT pg_reload_conf()")
        with pytest.raises(ConfigurationError, match=f"{setting} off") as refused:
            async with Database.open(url, role=None):
                raise AssertionError("opened")
        assert refused.value.param == "HUTONG_DATABASE_URL"


async def test_each_new_connection_is_looked_at(fresh_database_url: str) -> None:
    name = urlsplit(fresh_database_url).path.lstrip("/")
    async with Database.open(fresh_database_url, size=2) as database, database.transaction():
        with psycopg.connect(fresh_database_url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="synchronous_commit off"):
            async with database.transaction():
                raise AssertionError("the second connection was not looked at")


async def test_an_old_server_is_refused(postgres15: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MINIMUM_VERSION", 16)
    with pytest.raises(ConfigurationError, match="16 or later"):
        async with Database.open(postgres15, role=None):
            raise AssertionError("opened")


async def test_the_oldest_supported_server_is_taken(each_server_url: str) -> None:
    async with Database.open(each_server_url, role=None) as database, database.transaction() as tx:
        assert await tx.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("fault", ["password", "database", "role", "scheme"])
async def test_an_address_that_does_not_let_us_in_is_named(server_url: str, fault: str) -> None:
    password = urlsplit(server_url).password
    assert password
    url = {
        "password": server_url.replace(password, "wrong-password"),
        "database": server_url.replace("/hutong?", "/nothing?"),
        "role": create_database(server_url),
        "scheme": server_url.replace("postgresql://", "mysql://"),
    }[fault]
    with pytest.raises(ConfigurationError) as refused:
        async with Database.open(url, role="no_such_role" if fault == "role" else None):
            raise AssertionError("opened")
    assert refused.value.param == "HUTONG_DATABASE_URL"
    assert password not in str(refused.value)
    assert "wrong-password" not in str(refused.value)
