"""Reading and writing differences and their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from hutong import db
from hutong.reconciliation.model import Difference
from hutong.reconciliation.statements import sql

SYSTEM = "hutong"
"""Stands in the history for what no person has done."""


@dataclass(frozen=True, slots=True)
class CaseEntry:
    """One step of a difference's history.

    Attributes:
        what: One term, such as "opened" or "matched".
        by: The public id of an operator, or `SYSTEM`.
    """

    difference_id: UUID
    what: str
    by: str = SYSTEM
    reason: str | None = None
    amount_minor: int | None = None
    voucher: UUID | None = None


def _rows(text: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(text) if text else []
    return rows


read = db.reader(Difference, sql["difference"], ours=_rows, theirs=_rows)


async def insert(tx: db.Tx, cases: Sequence[Difference]) -> None:
    """Write differences that are new."""
    if cases:
        await sql.insert_differences.execute(tx, rows=cases, **_texts(cases))


async def update(tx: db.Tx, cases: Sequence[Difference]) -> None:
    """Write the changed figures and state of differences that the caller has locked."""
    if cases:
        await sql.update_differences.execute(tx, rows=cases, **_texts(cases))


async def advance(tx: db.Tx, cases: Sequence[Difference], *, proposal_id: UUID | None = None) -> None:
    """Write the state, the decision and the suspense of differences that the caller has locked; their figures stay.

    Args:
        proposal_id: The proposal that all of them wait for; without it, each has its own.
    """
    if cases:
        proposals = [proposal_id or case.proposal_id for case in cases]
        await sql.advance_differences.execute(tx, rows=cases, proposal_id=proposals)


async def write_history(tx: db.Tx, entries: Sequence[CaseEntry], *, now: datetime) -> None:
    """Write what has happened to differences, in order."""
    if entries:
        await sql.insert_difference_entries.execute(tx, rows=entries, at=now)


def _texts(cases: Sequence[Difference]) -> dict[str, list[str | None]]:
    return {
        "ours": [orjson.dumps(case.ours).decode() if case.ours else None for case in cases],
        "theirs": [orjson.dumps(case.theirs).decode() if case.theirs else None for case in cases],
    }
