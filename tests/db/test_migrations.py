"""Migrations: each runs once, also when several processes migrate, and a killed run leaves no obstacle."""

from __future__ import annotations

import importlib
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest

from hutong.db import Database, EmbeddedServer, migrate, pending_migrations
from hutong.errors import ConfigurationError, Unavailable
from support import create_database

ROLES = "hutong_api, hutong_worker, hutong_console"
MIGRATE = "import sys; from hutong.db import migrate; print(migrate(sys.argv[1]))"
CATALOG = """
    SELECT table_schema || '.' || table_name || '.' || column_name || ' ' || data_type || ' '
        || coalesce(column_default, '') || is_nullable
    FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
    UNION ALL
    SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype <> 'n' AND connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    UNION ALL
    SELECT grantee || ' ' || privilege_type || ' ' || table_schema || '.' || table_name
    FROM information_schema.role_table_grants WHERE grantee LIKE 'hutong\\_%'
    ORDER BY 1
"""


def run(url: str, *queries: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        for query in queries:
            cursor = connection.execute(query)  # type: ignore[call-overload]
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def owner() -> str:
    return f"owner_{secrets.token_hex(4)}"


def owned_database(server_url: str, owner: str, options: str) -> str:
    """A database of an ordinary user; the user's password has all that a URL must escape."""
    password = "p@ss:w/o?r#d%20 é"
    url = create_database(server_url)
    name = urlsplit(url).path.lstrip("/")
    run(url, f"CREATE ROLE {owner} LOGIN PASSWORD '{password}' {options}", f'ALTER DATABASE "{name}" OWNER TO {owner}')
    return urlunsplit(urlsplit(url)._replace(netloc=f"{owner}:{quote(password, safe='')}@"))


def test_migrating_again_does_nothing(each_server_url: str) -> None:
    url = create_database(each_server_url)
    names = pending_migrations(url)
    assert names
    assert names[0] == "db-0001.role"
    assert migrate(url) == names
    assert pending_migrations(url) == []
    assert migrate(url) == []


def test_processes_that_migrate_at_once_apply_each_migration_once(server_url: str) -> None:
    url = create_database(server_url)
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [url] * 4))
    assert len([names for names in applied if names]) == 1
    assert run(url, "SELECT count(*), count(DISTINCT migration_id) FROM _yoyo_migration") == [
        (len(max(applied, key=len)),) * 2
    ]


def test_databases_of_one_server_may_be_migrated_at_once(server_url: str) -> None:
    urls = [create_database(server_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(migrate, urls))


@pytest.mark.parametrize("stops_at", ["ACCESS EXCLUSIVE", "EXCLUSIVE"], ids=["the_first_look", "the_record"])
def test_a_killed_migration_leaves_nothing_in_the_way(server_url: str, stops_at: str) -> None:
    url = create_database(server_url)
    migrate(url, packages=["db"])
    names = pending_migrations(url)
    with psycopg.connect(url) as holder:
        holder.execute(f"LOCK TABLE _yoyo_migration IN {stops_at} MODE")  # type: ignore[call-overload]
        process = subprocess.Popen([sys.executable, "-c", MIGRATE, url], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 240
        while not run(url, "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '_yoyo_migration'::regclass"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.communicate()
    run(url, "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")  # as a killed one leaves it
    assert migrate(url) == names


def test_a_migration_that_got_another_name_is_not_applied_again(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("hutong.db.migrations")
    migrate(url := create_database(server_url))
    known = run(url, "SELECT migration_id, migration_hash FROM _yoyo_migration ORDER BY 1")
    # It had two names before this one, and the prefix was another too; each database knows it by one of them.
    monkeypatch.setitem(module.RENAMED, "books-0001.core", "books-0001.engine")
    monkeypatch.setitem(module.RENAMED, "books-0001.engine", "ledger-0001.core")
    for name in ("books-0001.core", "books-0001.engine"):
        aside = f"UPDATE _yoyo_migration SET migration_id = '{name}', "
        aside += f"migration_hash = encode(sha256('{name}'), 'hex') WHERE migration_id = 'ledger-0001.core'"
        run(url, aside)
        before = run(url, "SELECT migration_id FROM _yoyo_migration ORDER BY 1")
        assert pending_migrations(url) == []
        assert run(url, "SELECT migration_id FROM _yoyo_migration ORDER BY 1") == before
        assert migrate(url) == []
        assert run(url, "SELECT migration_id, migration_hash FROM _yoyo_migration ORDER BY 1") == known


def test_old_and_new_servers_get_the_same_schema(server_url: str, postgres15: str) -> None:
    catalogs = []
    for server in (server_url, postgres15):
        migrate(url := create_database(server))
        catalogs.append(run(url, CATALOG))
    assert catalogs[0] == catalogs[1]
    assert catalogs[0]


async def test_an_owner_who_may_create_roles_needs_no_administrator(each_server_url: str, owner: str) -> None:
    admin = each_server_url
    theirs = owned_database(admin, owner, "CREATEROLE")
    already_there = bool(run(admin, "SELECT 1 FROM pg_roles WHERE rolname = 'hutong_app'"))
    if already_there and int(str(run(admin, "SHOW server_version_num")[0][0])) >= 160000:
        run(admin, f"GRANT {ROLES} TO {owner}")  # made by another: since 16 only its maker or a member may use it
    assert migrate(theirs)
    async with Database.open(theirs) as database, database.transaction() as tx:
        assert await tx.fetchval("SELECT current_user || session_user") == f"hutong_console{owner}"


async def test_on_a_new_server_the_owner_makes_the_role_and_may_take_it(short_folder: Path, owner: str) -> None:
    server = EmbeddedServer(short_folder / "home")
    try:
        theirs = owned_database(server.start(), owner, "CREATEROLE")
        assert migrate(theirs)
        async with Database.open(theirs) as database, database.transaction() as tx:
            assert await tx.fetchval("SELECT current_user") == "hutong_console"
        poorer = owned_database(server.start(), f"{owner}_2", "NOCREATEROLE")
        with pytest.raises(ConfigurationError, match=f'GRANT {ROLES} TO "{owner}_2"') as refused:
            migrate(poorer)
        assert "CREATE ROLE" not in str(refused.value)  # they are there
    finally:
        server.stop(unless_used=False)


def test_an_owner_without_the_right_gets_the_statements_to_run(each_server_url: str, owner: str) -> None:
    migrate(create_database(each_server_url))  # the role is there, made by somebody else
    theirs = owned_database(each_server_url, owner, "NOCREATEROLE")
    with pytest.raises(ConfigurationError, match=f'GRANT {ROLES} TO "{owner}"') as refused:
        migrate(theirs)
    assert "p@ss" not in str(refused.value)
    run(each_server_url, f'GRANT {ROLES} TO "{owner}"')
    assert migrate(theirs)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        migrate("postgresql://nobody:secret@127.0.0.1:1/nothing")
