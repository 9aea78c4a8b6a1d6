"""The database refuses what the code's tables of transitions do not allow."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

import hutong
from hutong.clock import ManualClock
from hutong.db import Tx
from hutong.payments.model import ATTEMPT_TRANSITIONS, PAYMENT_TRANSITIONS, AttemptState, PaymentStatus
from hutong.payments.refunds.model import REFUND_TRANSITIONS

MIGRATIONS = Path(hutong.__file__).parent / "payments/migrations"
MIGRATION = "".join(path.read_text() for path in sorted(MIGRATIONS.glob("*.sql")))
OPEN = ("created", "submitted", "unknown", "authorized")


def _function(name: str) -> str:
    return re.split(rf"CREATE (?:OR REPLACE )?FUNCTION payments.{name}", MIGRATION)[-1].split("$$;")[0]


def _edges(name: str) -> set[tuple[str, str]]:
    return set(re.findall(r"ROW\('(\w+)', '(\w+)'\)", _function(name)))


def test_the_payment_trigger_holds_the_codes_table() -> None:
    assert _edges("refuse_payment_transition") == {(a, b) for a, bs in PAYMENT_TRANSITIONS.items() for b in bs}


def test_the_attempt_trigger_holds_the_codes_table() -> None:
    late = {("failed", "succeeded"), ("closed", "succeeded")}  # these only as surplus, written apart
    assert _edges("refuse_attempt_transition") | late == {(a, b) for a, bs in ATTEMPT_TRANSITIONS.items() for b in bs}


def test_the_refund_trigger_holds_the_codes_table() -> None:
    assert _edges("refuse_refund_transition") == {(a, b) for a, bs in REFUND_TRANSITIONS.items() for b in bs}


@pytest.mark.parametrize("before", PaymentStatus)
@pytest.mark.parametrize("after", PaymentStatus)
async def test_a_payment_goes_only_where_it_may(tx: Tx, clock: ManualClock, before: str, after: str) -> None:
    payment_id = await _payment(tx, clock, before)
    update = (
        "UPDATE payments.payment SET status = $2::text, "
        "succeeded_at = CASE WHEN $2::text = 'succeeded' THEN $3::timestamptz END, "
        "closed_at = CASE WHEN $2::text = 'closed' THEN $3::timestamptz END WHERE id = $1"
    )
    if before == after or after in PAYMENT_TRANSITIONS[PaymentStatus(before)]:
        assert await tx.execute(update, payment_id, after, clock.now()) == "UPDATE 1"
    else:
        with pytest.raises(asyncpg.CheckViolationError, match="does not go from"):
            await tx.execute(update, payment_id, after, clock.now())


@pytest.mark.parametrize(("before", "after"), list(itertools.product(AttemptState, AttemptState)))
@pytest.mark.parametrize("surplus", [False, True])
async def test_an_attempt_goes_only_where_it_may(
    tx: Tx, clock: ManualClock, before: str, after: str, surplus: bool
) -> None:
    attempt_id = await _attempt(tx, clock, await _payment(tx, clock, "processing"), before)
    update = (
        "UPDATE payments.attempt SET state = $2::text, surplus = $3, "
        "finished_at = CASE WHEN NOT $2::text = ANY ($5::text[]) THEN $4::timestamptz END, "
        "next_query_at = CASE WHEN $2::text = ANY ($5::text[]) THEN $4::timestamptz END WHERE id = $1"
    )
    late = before in ("failed", "closed")
    allowed = (before == after and not surplus) or after in ATTEMPT_TRANSITIONS[AttemptState(before)]
    if surplus and after != "succeeded":
        allowed = False
    if late and after == "succeeded" and not surplus:
        allowed = False
    if allowed:
        assert await tx.execute(update, attempt_id, after, surplus, clock.now(), list(OPEN)) == "UPDATE 1"
    else:
        with pytest.raises(asyncpg.CheckViolationError):
            await tx.execute(update, attempt_id, after, surplus, clock.now(), list(OPEN))


async def test_two_counted_successes_of_one_payment_are_refused(tx: Tx, clock: ManualClock) -> None:
    payment_id = await _payment(tx, clock, "processing")
    await _attempt(tx, clock, payment_id, "succeeded")
    with pytest.raises(asyncpg.UniqueViolationError):
        await _attempt(tx, clock, payment_id, "succeeded")


@pytest.mark.parametrize(("state", "asked"), [("created", False), ("unknown", False), ("closed", True)])
async def test_what_is_open_is_asked_about_and_what_is_final_is_not(
    tx: Tx, clock: ManualClock, state: str, asked: bool
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await _attempt(tx, clock, await _payment(tx, clock, "processing"), state, asked=asked)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("payment", "amount_minor"), ("payment", "currency"), ("payment", "merchant_id"),
        ("payment", "merchant_order_no"), ("payment", "fee_ppm"), ("payment", "checkout_token"),
        ("payment", "expires_at"), ("attempt", "payment_id"), ("attempt", "account_id"), ("attempt", "method"),
    ],
)  # fmt: skip
async def test_the_application_cannot_change_what_was_ordered(tx: Tx, table: str, column: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(f"UPDATE payments.{table} SET {column} = {column}")


@pytest.mark.parametrize("table", ["payment", "attempt"])
async def test_the_application_cannot_delete_payments(tx: Tx, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tx.execute(f"DELETE FROM payments.{table}")


async def _payment(tx: Tx, clock: ManualClock, status: str) -> object:
    return await tx.fetchval(
        "INSERT INTO payments.payment (id, merchant_id, merchant_order_no, amount_minor, currency, subject, status, "
        "fee_ppm, checkout_token, expires_at, created_at, capture_method, authorized_at, succeeded_at, closed_at) "
        "VALUES ($1::uuid, $1, 'x', 1, 'CNY', 'x', $2::text, 0, 'x', $3::timestamptz, $3, 'manual', $3, "
        "CASE WHEN $2 = 'succeeded' THEN $3 END, CASE WHEN $2 = 'closed' THEN $3 END) RETURNING id",
        uuid4(), status, clock.now(),
    )  # fmt: skip


async def _attempt(tx: Tx, clock: ManualClock, payment_id: object, state: str, *, asked: bool | None = None) -> object:
    is_open = state in OPEN
    return await tx.fetchval(
        "INSERT INTO payments.attempt (id, payment_id, account_id, channel, method, state, created_at, finished_at, "
        "next_query_at) VALUES ($1::uuid, $2, $1, 'x', 'x', $3, $4::timestamptz, "
        "CASE WHEN NOT $5 THEN $4 END, CASE WHEN $6 THEN $4 END) "
        "RETURNING id",
        uuid4(), payment_id, state, clock.now(), is_open, is_open if asked is None else asked,
    )  # fmt: skip


async def test_the_database_lets_no_more_go_back_than_was_captured(tx: Tx) -> None:
    definition = await tx.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'payment_refunds_within'"
    )
    assert definition == "CHECK (((amount_refunded_minor + amount_refunding_minor) <= amount_captured_minor))"
