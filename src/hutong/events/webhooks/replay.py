"""Replays: events that are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.errors import Conflict
from hutong.events.archive import outbox_key, require_unarchived
from hutong.events.statements import sql
from hutong.events.webhooks.endpoints import find_endpoint
from hutong.ids import least

REPLAY_MAX = 1_000
"""The most events of one call."""

_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """The events to send again: all from `first` to `last`, both included.

    Attributes:
        failed: Only events whose delivery is dead.
    """

    first: UUID = _FIRST
    last: UUID = _LAST
    failed: bool = False

    @classmethod
    def one(cls, event_id: UUID) -> ReplayRequest:
        """Return the request for one event."""
        return cls(event_id, event_id)

    @classmethod
    def between(cls, begin: datetime | None, end: datetime | None, *, failed: bool = False) -> ReplayRequest:
        """Return the request for events recorded from `begin` on and before `end`, by the milliseconds in their ids."""
        return cls(
            _FIRST if begin is None else least(begin),
            _LAST if end is None else UUID(int=max(least(end).int - 1, 0)),
            failed,
        )

    def after(self, event_id: UUID) -> ReplayRequest:
        """Return the request for the events after this one."""
        return ReplayRequest(max(self.first, UUID(int=min(event_id.int + 1, _LAST.int))), self.last, self.failed)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of one call.

    Attributes:
        count: The events that will be sent again.
        seen: The events that matched.
        last: The event after which to continue; None if there are no more.
    """

    count: int
    seen: int
    last: UUID | None


async def replay(
    tx: db.Tx,
    merchant_id: UUID | None,
    endpoint_id: UUID,
    request: ReplayRequest,
    *,
    now: datetime,
    limit: int = REPLAY_MAX,
) -> ReplayResult:
    """Have events sent to an endpoint again, with all their attempts, under their existing ids.

    Args:
        merchant_id: The merchant that the endpoint must belong to; None, for operators, means any.
        request: The events; only types that the endpoint subscribes to are sent.

    Effects:
        Makes deliveries pending, and creates those of events older than the endpoint. An object's events are sent in
        order among themselves. Deliveries that are pending already are not changed.

    Errors:
        NotFound: there is no such endpoint.
        Conflict: the endpoint is disabled.
        EventArchived: the first of the events are in the archive. A request without a beginning starts at the first
            event in the database.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    if endpoint.disabled_at is not None:
        raise Conflict("the webhook endpoint is disabled; enable it first")
    if request.first == request.last:
        request = ReplayRequest.one(await outbox_key(tx, request.first))
    if request.first != _FIRST:
        await require_unarchived(tx, request.first)
    if request.failed:
        rows = await sql.replay_dead.fetch(tx, endpoint_id, request.first, request.last, limit, now)
    else:
        rows = await sql.replay_events.fetch(
            tx, endpoint.merchant_id, endpoint_id, request.first, request.last, list(endpoint.types), limit, now
        )
    last = max((row["event_id"] for row in rows), default=None)
    return ReplayResult(sum(row["replayed"] for row in rows), len(rows), last if len(rows) == limit else None)
