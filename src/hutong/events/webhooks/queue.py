"""The queue of deliveries in the database: claim what is due, mark what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from hutong import db
from hutong.events.model import DeliveryState, Scheme
from hutong.events.statements import sql as _sql
from hutong.events.webhooks.client import Message, Outcome

if TYPE_CHECKING:
    import asyncpg

_RESTS = tuple(timedelta(milliseconds=ms) for ms in (100, 200, 400, 800, 1000))


@dataclass(slots=True)
class EndpointSlots:
    """What one worker has on its way to one endpoint, and how much it may have.

    Half the places are lost with each failure, and one is won by each success. With one place left, failures make it
    rest, longer and longer, for a second at most: an endpoint that is down is not run into, and one that comes back
    gets its backlog at the pace at which it answers.

    Attributes:
        failures: How many tries have failed in a row at one place.
        rests_until: It gets nothing before.
    """

    in_flight: int
    places: int
    failures: int = 0
    rests_until: datetime | None = None

    def free_at(self, now: datetime) -> int:
        """How many may be on their way at this moment."""
        return 0 if self.rests_until is not None and now < self.rests_until else self.places

    def succeeded(self, most: int) -> None:
        """One more place."""
        self.places = min(self.places + 1, most)
        self.failures, self.rests_until = 0, None

    def failed(self, now: datetime) -> None:
        """Fewer places, and a rest when there are none to lose."""
        if self.places == 1:
            self.rests_until = now + _RESTS[min(self.failures, len(_RESTS) - 1)]
            self.failures += 1
        self.places = max(self.places // 2, 1)


@dataclass(frozen=True, slots=True)
class Claim:
    """One try to make, ours alone until `until`.

    Attributes:
        attempts: How many were made before.
        disabled: The endpoint gets none.
        failing: The endpoint's last tries have failed.
    """

    message: Message
    object_id: UUID
    attempts: int
    disabled: bool
    failing: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim; PENDING, with `next_at`, means that it failed and comes again.

    Attributes:
        try_id: Its name in the log; the same when the result is marked once more.
    """

    try_id: UUID
    claim: Claim
    state: DeliveryState
    next_at: datetime | None
    tried_at: datetime | None
    outcome: Outcome


async def claim(
    tx: db.Tx, *, now: datetime, until: datetime, free: int, places: int, lanes: Mapping[UUID, EndpointSlots]
) -> list[Claim]:
    """Take deliveries that are due, none twice, and of one object and endpoint only the first that is pending.

    Args:
        free: Most to take in all; endpoints with little on its way come first.
        places: Most on its way to an endpoint that `lanes` does not hold.
        lanes: Endpoints that have something on its way, or fewer places.
    """
    await _sql.keep_to_indexes.execute(tx)
    rows = await _sql.claim_deliveries.fetch(
        tx,
        now,
        until,
        free,
        places,
        list(lanes),
        [lane.in_flight for lane in lanes.values()],
        [lane.free_at(now) for lane in lanes.values()],
    )
    return [_claim_of(row, until) for row in rows]


async def finish(tx: db.Tx, results: Sequence[Result]) -> None:
    """Mark results, one statement for all and a second one if some failed.

    Repeat:
        A result marked before, or of a claim that has passed to another, changes nothing; but a success counts
        whoever holds the claim.
    """
    if not results:
        return
    ordered = sorted(results, key=lambda r: (r.claim.message.event_id, r.claim.message.endpoint_id))
    await _sql.finish_deliveries.execute(
        tx,
        [r.claim.message.event_id for r in ordered],
        [r.claim.message.endpoint_id for r in ordered],
        [r.claim.until for r in ordered],
        [r.state.value for r in ordered],
        [r.next_at for r in ordered],
        [r.tried_at for r in ordered],
        [r.outcome.status for r in ordered],
        [r.outcome.error for r in ordered],
        [r.outcome.duration_ms for r in ordered],
    )
    failed = [r for r in ordered if r.state is DeliveryState.PENDING]
    if failed:
        await _sql.postpone_successors.execute(
            tx,
            [r.claim.message.endpoint_id for r in failed],
            [r.claim.object_id for r in failed],
            [r.claim.message.object_seq for r in failed],
            [r.next_at for r in failed],
        )


async def backlog(tx: db.Tx) -> tuple[int, datetime | None]:
    """How many deliveries are pending, and when the first of them falls or fell due."""
    [row] = await _sql.backlog.fetch(tx)
    return row["pending"], row["oldest_at"]


def _claim_of(row: asyncpg.Record, until: datetime) -> Claim:
    message = Message(
        event_id=row["event_id"],
        type=row["type"],
        object_seq=row["object_seq"],
        data=row["data"],
        created_at=row["created_at"],
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        sealed_secret=row["sealed_secret"],
        version=row["version"],
        merchant_id=row["merchant_id"],
        scheme=Scheme(row["scheme"]),
        sealed_previous=row["sealed_previous"],
    )
    return Claim(message, row["object_id"], row["attempts"], row["disabled"], row["failing"], until)
