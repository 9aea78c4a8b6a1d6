"""The hot statements find their rows by index, with the plan made for the values and with the one kept for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from hutong import db
from hutong.db import Database, Tx

SQL = db.load_statements("hutong.payments")
MERCHANT = UUID(int=7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=10)


@pytest.fixture(scope="module")
async def filled(fresh_server_database: str) -> AsyncIterator[Tx]:
    """20,000 payments of ten merchants, most of them over."""
    async with Database.open(fresh_server_database, size=1, role=None) as database, database.transaction() as tx:
        await tx.execute(
            """
            INSERT INTO payments.payment (id, merchant_id, merchant_order_no, amount_minor, currency, subject, status,
                fee_ppm, checkout_token, expires_at, created_at, succeeded_at)
            SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(n % 10), 32, '0')::uuid, 'order-' || n, 1, 'CNY', 'x',
                CASE WHEN n % 100 = 0 THEN 'processing' ELSE 'succeeded' END, 0, 'x',
                $1::timestamptz + n * '1 s'::interval, $1, CASE WHEN n % 100 = 0 THEN NULL ELSE $1::timestamptz END
            FROM generate_series(1, 20000) AS n
            """,
            NOW,
        )
        await tx.execute(
            """
            INSERT INTO payments.attempt (id, payment_id, account_id, channel, method, state, created_at, finished_at,
                next_query_at)
            SELECT lpad(to_hex(n + 100000), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid,
                '00000000-0000-0000-0000-000000000001', 'x', 'x',
                CASE WHEN n % 100 = 0 THEN 'submitted' ELSE 'succeeded' END, $1,
                CASE WHEN n % 100 = 0 THEN NULL ELSE $1::timestamptz END,
                CASE WHEN n % 100 = 0 THEN $1::timestamptz + n * '1 s'::interval END
            FROM generate_series(1, 20000) AS n
            """,
            NOW,
        )
        await tx.execute(
            "INSERT INTO payments.timeline (payment_id, at, what) "
            "SELECT lpad(to_hex(n), 32, '0')::uuid, $1, 'attempt.submitted' FROM generate_series(1, 20000) AS n",
            NOW,
        )
        await tx.execute(
            """
            INSERT INTO payments.refund (id, payment_id, attempt_id, merchant_id, account_id, channel, kind,
                merchant_refund_no, amount_minor, currency, reason, route, state, hold_id, created_at, finished_at,
                next_query_at)
            SELECT lpad(to_hex(n + 200000), 32, '0')::uuid, p.id, a.id, p.merchant_id, a.account_id, 'x', 'refund',
                'refund-' || n, 1, 'CNY', 'x', 'original', CASE WHEN n % 100 = 0 THEN 'submitted' ELSE 'failed' END,
                p.id, $1, CASE WHEN n % 100 = 0 THEN NULL ELSE $1::timestamptz END,
                CASE WHEN n % 100 = 0 THEN $1::timestamptz + n * '1 s'::interval END
            FROM generate_series(1, 20000) AS n
            JOIN payments.payment AS p ON p.id = lpad(to_hex(n), 32, '0')::uuid
            JOIN payments.attempt AS a ON a.payment_id = p.id
            """,
            NOW,
        )
        await tx.execute(
            """
            INSERT INTO payments.metadata_entry (merchant_id, name, value, payment_id)
            SELECT p.merchant_id, n.name, n.value::text, p.id
            FROM payments.payment AS p
            CROSS JOIN LATERAL (VALUES ('shop', abs(hashtext(p.id::text)) % 50), ('table', 2)) AS n (name, value)
            """
        )
        await tx.execute("ANALYZE payments.metadata_entry")
        await tx.execute("ANALYZE payments.payment, payments.attempt, payments.timeline, payments.refund")
        yield tx


@pytest.fixture(scope="module")
def fresh_server_database(server_url: str) -> str:
    from support import migrated_database

    return migrated_database(server_url)


SOME = [UUID(int=n) for n in range(500, 564)]
HOT = {
    "claim_due_attempts": ((NOW + timedelta(seconds=500), LATER, 200, []), {"attempt_due_idx"}),
    "claim_due_refunds": ((NOW + timedelta(seconds=500), LATER, 200, []), {"refund_due_idx"}),
    "refunds_of_payments": ((SOME,), {"refund_payment_idx"}),
    "find_refunds": (([UUID(int=n.int + 200_000) for n in SOME], MERCHANT), {"refund_pkey"}),
    "find_refunds_by_no": (
        ([MERCHANT] * 64, [f"refund-{n}" for n in range(64)]),
        {"refund_merchant_refund_no_merchant_id_key"},
    ),
    "claim_expired": ((NOW + timedelta(seconds=500), 200), {"payment_due_idx"}),
    "claim_lapsing": ((NOW, 200), {"payment_lapse_idx"}),
    "claim_verifiable_attempts": ((NOW, LATER, 200, NOW, []), {"attempt_verify_idx"}),
    "list_attempts_in_doubt": ((100,), {"attempt_doubt_idx"}),
    "claim_attempt_alarms": ((NOW, 1, 100), {"attempt_doubt_idx"}),
    "list_refunds_in_doubt": ((100,), {"refund_doubt_idx"}),
    "claim_refund_alarms": ((NOW, 1, 100), {"refund_doubt_idx"}),
    "read_timeline": ((SOME,), {"timeline_pkey"}),
    "list_payments": ((MERCHANT, UUID(int=15_000), None, 21, None, None, None), {"payment_merchant_idx"}),
    "list_payments_by_metadata": (
        SQL.list_payments_by_metadata.values(
            merchant_id=MERCHANT,
            names=["shop", "table"],
            values=["1", "2"],
            least=None,
            after=UUID(int=15_000),
            status=None,
            begin=None,
            end=None,
            limit=21,
        ),
        {"metadata_entry_pkey", "payment_pkey"},
    ),
    "list_refunds": (
        SQL.list_refunds.values(
            merchant_id=MERCHANT, after_at=NOW, after_id=UUID(int=215_000), begin=None, state=None, limit=21
        ),
        {"refund_merchant_idx", "payment_pkey"},
    ),
    "find_by_order_no": (
        ([MERCHANT] * 64, [f"order-{n}" for n in range(64)]),
        {"payment_merchant_order_no_merchant_id_key"},
    ),
    "find_payments": ((SOME, MERCHANT), {"payment_pkey"}),
    "lock_payments": ((SOME,), {"payment_pkey"}),
    "lock_payments_of_attempts": (([UUID(int=n.int + 100_000) for n in SOME],), {"payment_pkey", "attempt_pkey"}),
    "find_attempts": ((SOME,), {"attempt_payment_idx"}),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_uses_its_index(filled: Tx, name: str, mode: str) -> None:
    arguments, wanted = HOT[name]
    await filled.execute(f"SET LOCAL plan_cache_mode = {mode}")
    plan = await _plan(filled, getattr(SQL, name).text, arguments)
    nodes = list(_nodes(plan))
    assert [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"] == []
    assert wanted <= {node["Index Name"] for node in nodes if "Index Name" in node}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_deep_page_is_found_in_the_index_and_not_by_reading_all_before_it(filled: Tx, mode: str) -> None:
    await filled.execute(f"SET LOCAL plan_cache_mode = {mode}")
    plan = await _plan(filled, SQL.list_payments.text, (MERCHANT, UUID(int=1_000), None, 21, None, None, None))
    (scan,) = [node for node in _nodes(plan) if node.get("Index Name") == "payment_merchant_idx"]
    assert "merchant_id, id) <" in scan["Index Cond"].replace("ROW(", "")


async def _plan(tx: Tx, text: str, arguments: tuple) -> Any:
    """The plan of a prepared statement, as the driver makes one."""
    statement = await tx.prepare(text)
    types = ", ".join(parameter.name for parameter in statement.get_parameters())
    await tx.execute(f"PREPARE hot ({types}) AS {text}")
    try:
        quoted = [await tx.fetchval("SELECT quote_nullable($1::text)", _literal(value)) for value in arguments]
        values = ", ".join(quoted)
        return orjson.loads(await tx.fetchval(f"EXPLAIN (FORMAT json) EXECUTE hot ({values})"))[0]["Plan"]
    finally:
        await tx.execute("DEALLOCATE hot")


def _literal(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        return "{" + ",".join(str(part) for part in value) + "}"
    return str(value)


def _nodes(node: Any) -> Any:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
