"""Sending events once more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.errors import Conflict
from hutong.events.archive import refuse_archived
from hutong.events.statements import sql as _sql
from hutong.events.webhooks.endpoints import find_endpoint
from hutong.ids import least

REPLAY_MAX = 1_000
"""Events of one call."""

_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """Which events to send again: all from `first` to `last`, both included.

    Attributes:
        failed: Only those whose delivery is dead.
    """

    first: UUID = _FIRST
    last: UUID = _LAST
    failed: bool = False

    @classmethod
    def one(cls, event_id: UUID) -> ReplayRequest:
        """One event."""
        return cls(event_id, event_id)

    @classmethod
    def between(cls, begin: datetime | None, end: datetime | None, *, failed: bool = False) -> ReplayRequest:
        """What was recorded from `begin` on and before `end`, going by the milliseconds in the events' ids."""
        return cls(
            _FIRST if begin is None else least(begin),
            _LAST if end is None else UUID(int=least(end).int - 1),
            failed,
        )

    def after(self, event_id: UUID) -> ReplayRequest:
        """What is left after this event."""
        return ReplayRequest(max(self.first, UUID(int=event_id.int + 1)), self.last, self.failed)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How many will be sent again, of how many that were wanted; `last` is where to go on if there may be more."""

    count: int
    seen: int
    last: UUID | None


async def replay(
    tx: db.Tx,
    merchant_id: UUID | None,
    endpoint_id: UUID,
    wanted: ReplayRequest,
    *,
    now: datetime,
    limit: int = REPLAY_MAX,
) -> ReplayResult:
    """Have events sent to an endpoint again, with all their tries, under the ids they have.

    Args:
        merchant_id: Whose the endpoint must be; None, for operators, anybody's.
        wanted: Among them only what the endpoint's types want.

    Effects:
        Makes deliveries pending; those of events older than the endpoint are new. An object's events go in order
        among themselves. What is pending already is left as it is.

    Errors:
        NotFound: there is no such endpoint.
        Conflict: it is disabled.
        EventArchived: the first of the events are in the archive. Without a beginning, those at hand are meant.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    if endpoint.disabled_at is not None:
        raise Conflict("the webhook endpoint is disabled; enable it first")
    if wanted.first != _FIRST:
        await refuse_archived(tx, wanted.first)
    if wanted.failed:
        rows = await _sql.replay_dead.fetch(tx, endpoint_id, wanted.first, wanted.last, limit, now)
    else:
        rows = await _sql.replay_events.fetch(
            tx, endpoint.merchant_id, endpoint_id, wanted.first, wanted.last, list(endpoint.types), limit, now
        )
    last = max((row["event_id"] for row in rows), default=None)
    return ReplayResult(sum(row["replayed"] for row in rows), len(rows), last if len(rows) == limit else None)
