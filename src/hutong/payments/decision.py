"""Why attempts went where they did, as kept with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from hutong import db, ids, routing
from hutong.clock import instant
from hutong.payments.model import AttemptState
from hutong.payments.statements import sql

DECISION_PREFIX = "rtd"
"""A decision has the number of its attempt."""


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision and what came of it.

    Attributes:
        record: As routing wrote it down; None for an attempt older than routing.
    """

    attempt_id: UUID
    payment_id: UUID
    account_id: UUID
    state: AttemptState
    code: str | None
    created_at: datetime
    record: str | None


async def find_decisions(tx: db.Tx, identifier: UUID) -> list[LoggedDecision]:
    """The decisions of a payment, first to last, or the one of an attempt."""
    return [_decided(row) for row in await sql.find_decisions.fetch(tx, identifier)]


async def decisions_between(tx: db.Tx, start: datetime, end: datetime) -> AsyncIterator[LoggedDecision]:
    """All decisions of a span of time, in its order; rows are read as they are needed."""
    async for row in sql.decisions_between.cursor(tx, ids.least(start), ids.least(end)):
        yield _decided(row)


def decision_document(decided: LoggedDecision) -> dict[str, Any]:
    """The one public form of a decision."""
    assert decided.record is not None, "an attempt older than routing has no decision"
    record = routing.read_record(decided.record)
    names = {verdict.account_id: verdict.name for verdict in record.verdicts}
    return {
        "id": ids.encode(DECISION_PREFIX, decided.attempt_id),
        "object": "routing_decision",
        "payment_id": ids.encode("pay", decided.payment_id),
        "attempt_id": ids.encode("att", decided.attempt_id),
        "decided_at": instant(record.ask.at),
        "chosen": None if record.chosen is None else names[record.chosen],
        "how": record.how,
        "configuration": record.version,
        "pin": record.pin or None,
        "arm": record.arm,
        "method": record.ask.method,
        "amount_minor": record.ask.amount_minor,
        "currency": record.ask.currency,
        "merchant": record.ask.merchant,
        "institution": record.ask.institution or None,
        "formula": record.formula or None,
        "outcome": decided.state,
        "code": decided.code,
        "candidates": [
            {
                "account": verdict.name,
                "refused": verdict.refused or None,
                "score": verdict.score,
                "factors": dict(verdict.factors),
                "explanation": verdict.explanation or None,
                "explanation_zh": verdict.explanation_zh or None,
            }
            for verdict in record.verdicts
        ],
    }


def _decided(row: asyncpg.Record) -> LoggedDecision:
    return LoggedDecision(
        row["id"],
        row["payment_id"],
        row["account_id"],
        AttemptState(row["state"]),
        row["code"],
        row["created_at"],
        row["decision"],
    )
