"""Attempts and refunds in doubt: counted by age, listed, and reported once at each age, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from prometheus_client import Gauge

from hutong import db, ids
from hutong.clock import instant
from hutong.payments.model import AttemptState, PollingPolicy
from hutong.payments.refunds.model import RefundMethod, RefundState
from hutong.payments.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_ATTEMPTS = Gauge(
    "hutong_attempts_in_doubt", "Attempts without a final channel answer, by their age in doubt.", ["age"]
)
_REFUNDS = Gauge("hutong_refunds_in_doubt", "Refunds without a channel answer, by their age in doubt.", ["age"])

AGES = (
    ("under 1 min", timedelta(0)),
    ("1 to 5 min", timedelta(minutes=1)),
    ("5 min to 1 h", timedelta(minutes=5)),
    ("1 h to 1 day", timedelta(hours=1)),
    ("over 1 day", timedelta(days=1)),
)
_REPORTED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class AttemptInDoubt:
    """An attempt whose channel owes an answer."""

    attempt_id: UUID
    payment_id: UUID
    channel: str
    method: str
    state: AttemptState
    doubt_since: datetime
    next_query_at: datetime
    channel_code: str | None


@dataclass(frozen=True, slots=True)
class RefundInDoubt:
    """A refund whose channel owes an answer."""

    refund_id: UUID
    payment_id: UUID
    channel: str
    route: RefundMethod
    state: RefundState
    doubt_since: datetime
    next_query_at: datetime
    channel_code: str | None


_read_attempt = db.reader(AttemptInDoubt, sql["attempt_in_doubt"])
_read_refund = db.reader(RefundInDoubt, sql["refund_in_doubt"])


async def in_doubt_documents(tx: db.Tx, *, now: datetime, limit: int) -> dict[str, list[dict[str, Any]]]:
    """Return the attempts and the refunds in doubt as operators see them, the oldest doubts first."""
    attempts, refunds = await list_in_doubt(tx, limit=limit)
    return {
        "attempts": [
            {"attempt_id": ids.encode("att", attempt.attempt_id), **_columns(attempt, now, method=attempt.method)}
            for attempt in attempts
        ],
        "refunds": [
            {"refund_id": ids.encode("ref", refund.refund_id), **_columns(refund, now, route=refund.route.value)}
            for refund in refunds
        ],
    }


def _columns(doubt: AttemptInDoubt | RefundInDoubt, now: datetime, **way: str) -> dict[str, Any]:
    return {
        "payment_id": ids.encode("pay", doubt.payment_id),
        "channel": doubt.channel,
        **way,
        "state": doubt.state.value,
        "age_s": int((now - doubt.doubt_since).total_seconds()),
        "next_query_at": instant(doubt.next_query_at),
        "channel_code": doubt.channel_code,
    }


async def list_in_doubt(tx: db.Tx, *, limit: int = 100) -> tuple[list[AttemptInDoubt], list[RefundInDoubt]]:
    """Return the attempts and the refunds in doubt, the oldest doubts first, at most `limit` of each."""
    attempts = await sql.list_attempts_in_doubt.fetch(tx, limit)
    refunds = await sql.list_refunds_in_doubt.fetch(tx, limit)
    return [_read_attempt(row) for row in attempts], [_read_refund(row) for row in refunds]


async def report_in_doubt(tx: db.Tx, *, now: datetime, policy: PollingPolicy) -> dict[str, int]:
    """Count what is in doubt, and report what has reached an age at which a person should look.

    Effects:
        Sets the gauges; logs `attempt_in_doubt` and `refund_in_doubt` once for each attempt or refund and age.

    Returns:
        How many attempts and refunds there are, by age.
    """
    starts = [now - age for _, age in reversed(AGES[1:])]
    attempts = _by_age(await sql.count_attempts_in_doubt.fetch(tx, starts))
    refunds = _by_age(await sql.count_refunds_in_doubt.fetch(tx, starts))
    for age in attempts:
        _ATTEMPTS.labels(age).set(attempts[age])
        _REFUNDS.labels(age).set(refunds[age])
    for level, doubt_age in reversed(list(enumerate(policy.doubt_alarms, 1))):
        for row in await sql.claim_attempt_alarms.fetch(tx, now - doubt_age, level, _REPORTED_AT_ONCE):
            _log.error("attempt_in_doubt", attempt=ids.encode("att", row["id"]), **_alarm(row, now))
        for row in await sql.claim_refund_alarms.fetch(tx, now - doubt_age, level, _REPORTED_AT_ONCE):
            _log.error("refund_in_doubt", refund=ids.encode("ref", row["id"]), **_alarm(row, now))
    return {age: attempts[age] + refunds[age] for age in attempts}


def _alarm(row: asyncpg.Record, now: datetime) -> dict[str, Any]:
    age_s = int((now - row["doubt_since"]).total_seconds())
    return {"channel": row["channel"], "state": row["state"], "age_s": age_s}


def _by_age(rows: Sequence[asyncpg.Record]) -> dict[str, int]:
    """Return counts by the names of the ages; the buckets are numbered from the oldest age."""
    counts = {row["bucket"]: row["count"] for row in rows}
    return {name: counts.get(len(AGES) - position, 0) for position, (name, _) in enumerate(AGES)}
