"""The table of runs, read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.clock import instant
from hutong.reconciliation.model import RUN_PREFIX, Run
from hutong.reconciliation.statements import sql

read_run = db.reader(Run, sql["run"], totals=json.loads)


async def list_runs(
    tx: db.Tx, *, account_id: UUID | None = None, day: date | None = None, before: UUID | None = None, limit: int
) -> list[Run]:
    """Return the last run of each day, those first that were made last.

    Args:
        before: Only runs made before this one.
    """
    rows = await sql.list_runs.fetch(tx, account_id=account_id, day=day, before=before, limit=limit)
    return [read_run(row) for row in rows]


def run_document(run: Run, account: str) -> dict[str, Any]:
    """Return the form for operators.

    Args:
        account: The public id of the account.
    """
    rest = asdict(run)
    del rest["run_id"]
    return (
        {"id": ids.encode(RUN_PREFIX, run.run_id), "object": "reconciliation_run"}
        | rest
        | {
            "account_id": account,
            "day": run.day.isoformat(),
            "finished_at": instant(run.finished_at),
        }
    )
