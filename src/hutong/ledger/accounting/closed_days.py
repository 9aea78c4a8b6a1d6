"""The days that are closed: figures of others may still change."""

from __future__ import annotations

from datetime import date

from hutong import db
from hutong.errors import Conflict
from hutong.ledger.statements import sql as _sql


async def require_closed(tx: db.Tx, day: date, *, param: str = "day") -> None:
    """Refuse a day that is not closed, because its figures may change.

    Errors:
        Conflict: the day is not closed.
    """
    closed = await _sql.closed_days.fetchrow(tx)
    first, last = (closed["first"], closed["last"]) if closed is not None else (None, None)
    if first is None or last is None:
        raise Conflict(f"the day {day} is not closed; no day is", param=param)
    if not first <= day <= last:
        raise Conflict(f"the day {day} is not closed; the days from {first} to {last} are", param=param)
