"""A database made by an earlier version keeps every row, and its schema becomes that of a fresh one.

`before_the_move.sql.gz` is a dump of PostgreSQL 15 after a demonstration, and a shop that did what the demonstration
does not: orders with items, refunds of each kind, a surplus, manual capture, a webhook endpoint that never answers, a
published routing configuration, a trial, blocks, a change of a code, an overdraft, seals. To be restored by psql.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from hutong import ledger
from hutong.clock import SystemClock
from hutong.db import Database, embedded_system, migrate, pending_migrations
from hutong.ledger.model import QueryFilter, QueryFilterFlags
from support import create_database

HERE = Path(__file__).parent
DUMP = HERE / "before_the_move.sql.gz"
SCHEMA = (HERE / "schema_of.sql").read_text()

MOVED: dict[str, str] = {
    "payments.customer": "customers.customer",
    "query": "search",
    "query.bill": "search.payment_record",
    "query_rebuild": "search_shadow",
    "query_rebuild.bill": "search_shadow.payment_record",
}
"""Tables that have another name now, `schema.table`; a name without a table moves a whole schema."""
COLUMNS: dict[str, dict[str, str]] = {
    "payments.attempt": {"learnt_by": "source"},
    "payments.refund": {"learnt_by": "source"},
    "payments.timeline": {"learnt_by": "source"},
    "search.payment_record": {"words": "folded"},
    "search.profile": {"words": "folded"},
}
"""Columns that have another name now, by the table's present name."""
MOVED_COLUMNS: dict[str, dict[str, tuple[str, str, str]]] = {
    "payments.attempt": {"decision": ("routing.decision", "attempt_id", "record")},
}
"""Columns that have a table of their own now, by the former table's present name: that table, the column that holds the
former row's id, the column that holds the value. A value that was null has no row."""
REPLACED_COLUMNS: dict[str, dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "merchants.merchant": {"enabled": ("disabled_at", lambda disabled_at: disabled_at is None)},
}
"""Columns that another one says more than: its name, and the former value by its value."""
FAILED = 98304
MERGED: dict[str, tuple[str, dict[str, str], int]] = {
    "ledger.failed_transfer": ("ledger.transfer", {"status": "user_data_32"}, FAILED),
}
"""Tables whose rows stand in another table now, by the former name: that table, columns that have another name there,
and the flags that those rows have."""
REWRITTEN: dict[str, str] = {"operators.audit_head": "the journal goes on"}
"""Tables whose rows a migration changes on purpose, by their present names, and why; they still keep their number."""
GROWN = {"operators.audit": "states operators and keys, and the proposals that are void"}
"""Tables to which a migration adds rows, and why; none of their rows changes."""

TABLES = r"""
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT LIKE 'pg\_%'
    AND n.nspname <> 'information_schema' AND c.relname !~ '^_?yoyo'
"""
FAIL_TRANSFERS = """
INSERT INTO ledger.failed_transfer
SELECT overlay(id::text placing 'ffff' from 33)::uuid, 54, timestamp + 1000000000
FROM ledger.transfer ORDER BY timestamp DESC LIMIT 3
"""
"""Failed ids, which the dump has none of."""
CNY = 156
RECEIVABLES = QueryFilter(0, 0, 0, 0, 1101, 0, 0, 100, QueryFilterFlags.NONE)
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def upgraded(each_server_url: str) -> str:
    """The URL of the database of old, as it was, beside a fresh one on the same server."""
    migrate(create_database(each_server_url))  # so that the role is there to which the dump gives rights
    url = create_database(each_server_url)
    psql = embedded_system.reachable_binaries(embedded_system.server_user()) / "psql"
    options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction", "--output=/dev/null"]
    done = subprocess.run(
        [psql, *options, url], input=gzip.decompress(DUMP.read_bytes()), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return url


def rows(url: str) -> Rows:
    """Every row of every table as a document, by the table's name."""
    with psycopg.connect(url) as connection:
        found: Rows = {}
        for schema, table in connection.execute(TABLES).fetchall():
            query = SQL("SELECT to_jsonb(t) FROM {}.{} t").format(Identifier(schema), Identifier(table))
            found[f"{schema}.{table}"] = [row[0] for row in connection.execute(query)]
        return found


def schema(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(SCHEMA).fetchall()]  # type: ignore[arg-type]


def present_name(table: str) -> str:
    if table in MOVED:
        return MOVED[table]
    home, _, name = table.partition(".")
    return f"{MOVED.get(home, home)}.{name}"


def counted(documents: list[dict[str, Any]], columns: list[str]) -> Counter[str]:
    """The rows, with nothing but these columns, and how often each is there."""
    return Counter(json.dumps([document[column] for column in columns]) for document in documents)


def test_no_table_loses_or_changes_a_row(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        connection.execute(FAIL_TRANSFERS)
    before = rows(upgraded)
    assert sum(map(len, before.values())) > 1_000
    migrate(upgraded)
    after = rows(upgraded)
    for table, (home, renamed, flags) in MERGED.items():
        documents = before.pop(table)
        assert documents, f"the dump has nothing in {table}"
        merged = [document for document in after[home] if document["flags"] == flags]
        after[home] = [document for document in after[home] if document["flags"] != flags]
        kept = list(documents[0])
        assert counted(merged, [renamed.get(column, column) for column in kept]) == counted(documents, kept), table
    for table, documents in before.items():
        now = present_name(table)
        assert now in after, f"{table} is gone"
        assert len(after[now]) == len(documents) or now in GROWN, table
        if not documents or now in REWRITTEN:
            continue
        renamed, moved = COLUMNS.get(now, {}), MOVED_COLUMNS.get(now, {})
        replaced = REPLACED_COLUMNS.get(now, {})
        kept = [column for column in documents[0] if column not in moved and column not in replaced]
        present = [renamed.get(column, column) for column in kept]
        assert set(present) <= set(after[now][0]), f"{table} has lost a column"
        is_kept = Counter.__ge__ if now in GROWN else Counter.__eq__
        assert is_kept(counted(after[now], present), counted(documents, kept)), table
        for column, (home, owner, value) in moved.items():
            values = {document["id"]: document[column] for document in documents if document[column] is not None}
            assert values, f"the dump has nothing in {table}.{column}"
            assert {document[owner]: document[value] for document in after[home]} == values
        for column, (name, former) in replaced.items():
            values = {document["id"]: document[column] for document in documents}
            assert {document["id"]: former(document[name]) for document in after[now]} == values
    for table, columns in COLUMNS.items():
        assert columns.keys().isdisjoint(after[table][0]), "a renamed column is there under both names"


def test_the_schema_becomes_that_of_a_fresh_database(upgraded: str, each_server_url: str) -> None:
    migrate(upgraded)
    migrate(fresh := create_database(each_server_url))
    found, wanted = schema(upgraded), schema(fresh)
    assert len(wanted) > 500
    assert sorted(set(found) - set(wanted)) == sorted(set(wanted) - set(found)) == []
    assert found == wanted


def test_what_was_applied_under_an_older_name_is_not_applied_again(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        known = {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")}
    pending = pending_migrations(upgraded)
    with psycopg.connect(upgraded) as connection:
        assert {row[0] for row in connection.execute("SELECT migration_id FROM _yoyo_migration")} == known
    assert migrate(upgraded) == pending
    assert pending_migrations(upgraded) == []
    assert migrate(upgraded) == []


def test_a_database_of_old_knows_its_migrations_by_their_present_names(upgraded: str, each_server_url: str) -> None:
    migrate(upgraded)
    migrate(fresh := create_database(each_server_url))
    applied = []
    for url in (upgraded, fresh):
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT migration_id, migration_hash FROM _yoyo_migration ORDER BY 1").fetchall()
            applied.append(found)
    assert applied[0] == applied[1]


async def test_the_books_hold_and_go_on(upgraded: str) -> None:
    migrate(upgraded)
    async with Database.open(upgraded, size=1) as database, database.transaction() as tx:
        now = SystemClock().now()
        assert (await ledger.check_invariants(tx, now=now)).problems == []
        verdict = await ledger.verify(tx)
        assert verdict.problems == []
        assert verdict.rows > 50
        lg = ledger.Ledger(tx, clock=SystemClock().now_ns)
        one, other = [account for account in await lg.query_accounts(RECEIVABLES) if account.ledger == CNY][:2]
        transfer = ledger.Transfer(
            id=ledger.id(), debit_account_id=one.id, credit_account_id=other.id, amount=1, ledger=CNY, code=99
        )
        (result,) = await lg.create_transfers([transfer])
        assert result.status is ledger.CreateTransferStatus.CREATED
        assert (await ledger.check_invariants(tx, now=now)).problems == []


async def test_records_that_an_upgrade_makes_come_after_the_numbers_of_another_server(upgraded: str) -> None:
    """The database was restored from a server whose transactions had come much further."""
    kept = 10**9
    with psycopg.connect(upgraded) as connection:
        changed = connection.execute("UPDATE ledger.day_cut SET began_xact = %s RETURNING day", [kept]).fetchall()
        assert changed
    migrate(upgraded)
    now = SystemClock().now()
    async with Database.open(upgraded, size=1) as database:
        while await database.run(lambda tx: ledger.seal(tx, now=now)):
            pass
        verdict = await database.run(ledger.verify)
        assert (verdict.problems, verdict.unsealed) == ([], 0)
        assert await database.pool.fetchval("SELECT min(xact) FROM ledger.account_change") > kept
