"""Keys whose difference has ended for good without a partner."""

from __future__ import annotations

from uuid import UUID

from hutong import db
from hutong.reconciliation.model import DifferenceAction
from hutong.reconciliation.statements import sql

CLOSING = frozenset({DifferenceAction.WRITE_OFF, DifferenceAction.ADJUST_FEE, DifferenceAction.PAIR})
"""The actions after which nothing more is to come. After the others a booking or a row follows, which matches."""


async def closed_keys(tx: db.Tx, account_id: UUID) -> list[tuple[str, str, str]]:
    """Return layer, side and key of what has ended for good: a run drops these rows from those that wait."""
    rows = await sql.closed_keys.fetch(tx, account_id=account_id, actions=sorted(CLOSING))
    return [(row["layer"], row["side"], row["key"]) for row in rows]
