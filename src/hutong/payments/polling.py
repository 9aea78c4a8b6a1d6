"""Finding what is due: claims that many workers may make at once, in batches, without a timer for each payment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from hutong import db
from hutong.payments.model import Attempt
from hutong.payments.statements import sql
from hutong.payments.store import read_attempt

SWEEP_LIMIT = 500
"""How much one claim takes: large enough to be cheap, small enough to be done before anybody waits for its locks."""

_CLAIM_LEASE = timedelta(seconds=15)
"""How long a worker keeps others from asking about the same attempt. Two that ask do no harm; a dead one delays."""
_VERIFY_AGAIN = timedelta(hours=1)
_VERIFY_FOR = timedelta(days=3)


async def claim_due(database: db.Database, *, now: datetime, limit: int) -> list[Attempt]:
    """Take attempts that are to be asked about, those longest due first; others skip them for the time of the lease."""

    async def claim(tx: db.Tx) -> list[Attempt]:
        return [read_attempt(row) for row in await sql.claim_due_attempts.fetch(tx, now, now + _CLAIM_LEASE, limit)]

    return await database.run(claim)


async def claim_verifiable(database: db.Database, *, now: datetime, limit: int) -> list[Attempt]:
    """The same for attempts that ended unpaid a day ago and are to be asked about once more."""

    async def claim(tx: db.Tx) -> list[Attempt]:
        rows = await sql.claim_verifiable_attempts.fetch(tx, now, now + _VERIFY_AGAIN, limit, now - _VERIFY_FOR)
        return [read_attempt(row) for row in rows]

    return await database.run(claim)


async def sweep_plans(tx: db.Tx, *, now: datetime) -> dict[str, Any]:
    """How PostgreSQL goes about the claims just now, for showing: plans by the statement's name."""
    wanted = {
        "claim_expired": (sql.claim_expired.text, (now, SWEEP_LIMIT)),
        "claim_lapsing": (sql.claim_lapsing.text, (now, SWEEP_LIMIT)),
        "claim_due_attempts": (sql.claim_due_attempts.text, (now, now + _CLAIM_LEASE, SWEEP_LIMIT)),
    }
    plans = {}
    for name, (text, arguments) in wanted.items():
        plan = orjson.loads(await tx.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *arguments))[0]["Plan"]
        plans[name] = [_step(node) for node in _nodes(plan)]
    return plans


def _step(node: dict[str, Any]) -> str:
    return " ".join(str(node[key]) for key in ("Node Type", "Index Name", "Relation Name") if key in node)


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in _nodes(child))]
