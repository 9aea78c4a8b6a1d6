"""The outcomes of attempts, for routing: it decides where an attempt goes and does not know how the attempt ended."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from hutong import db, routing
from hutong.payments.model import AttemptState
from hutong.payments.statements import sql

_PAID = {AttemptState.SUCCEEDED: True, AttemptState.FAILED: False, AttemptState.CLOSED: False}


async def attempt_outcomes(tx: db.Tx, attempt_ids: Collection[UUID]) -> dict[UUID, routing.AttemptOutcome]:
    """Return the outcomes of attempts, by id."""
    outcomes = {}
    for row in await sql.find_attempt_outcomes.fetch(tx, attempt_ids):
        state = AttemptState(row["state"])
        outcomes[row["id"]] = routing.AttemptOutcome(state, row["code"], _PAID.get(state))
    return outcomes
