"""The queue of deliveries in the database: due deliveries are claimed, their results recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from hutong import db
from hutong.events.model import DeliveryState, Scheme
from hutong.events.statements import sql
from hutong.events.webhooks.client import Webhook, WebhookResponse
from hutong.ids import least

if TYPE_CHECKING:
    import asyncpg

_FIRST = UUID(int=0)
_RESTS = tuple(timedelta(milliseconds=ms) for ms in (100, 200, 400, 800, 1000))


@dataclass(slots=True)
class EndpointSlots:
    """The deliveries of one worker in flight to one endpoint, and the most that it may have.

    Each failure halves the slots, and each success adds one. With one slot left, failures make the endpoint rest,
    longer and longer, for a second at most: an endpoint that is down is not overrun, and one that comes back gets its
    backlog at the pace at which it answers.

    Attributes:
        failures: The attempts that have failed in a row with one slot.
        rests_until: The endpoint gets nothing before.
    """

    in_flight: int
    slots: int
    failures: int = 0
    rests_until: datetime | None = None

    def slots_at(self, now: datetime) -> int:
        """Return how many deliveries may be in flight at this moment. A rest is short, whatever the clock does."""
        rests = self.rests_until is not None and timedelta(0) < self.rests_until - now <= _RESTS[-1]
        return 0 if rests else self.slots

    def succeeded(self, most: int) -> None:
        """Add a slot, up to `most`."""
        self.slots = min(self.slots + 1, most)
        self.failures, self.rests_until = 0, None

    def failed(self, now: datetime) -> None:
        """Halve the slots, or rest if there is only one."""
        if self.slots == 1:
            self.rests_until = now + _RESTS[min(self.failures, len(_RESTS) - 1)]
            self.failures += 1
        self.slots = max(self.slots // 2, 1)


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery to attempt, ours alone until `until`.

    Attributes:
        attempts: The number of earlier attempts.
        disabled: The endpoint is disabled, so nothing is sent.
        failing: The endpoint's last attempts have failed.
    """

    webhook: Webhook
    object_id: UUID
    attempts: int
    disabled: bool
    failing: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of a claimed delivery. PENDING, with `next_at`, means that it failed and is attempted again.

    Attributes:
        attempt_id: The attempt's id in the log; the same when the result is recorded again.
        attempted_at: None if nothing was sent.
    """

    attempt_id: UUID
    claim: ClaimedDelivery
    state: DeliveryState
    next_at: datetime | None
    attempted_at: datetime | None
    response: WebhookResponse


async def claim_deliveries(
    tx: db.Tx,
    *,
    now: datetime,
    until: datetime,
    free: int,
    endpoint_slots: int,
    by_endpoint: Mapping[UUID, EndpointSlots],
    since: datetime | None = None,
) -> list[ClaimedDelivery]:
    """Claim due deliveries, none twice, and of one object and endpoint only the first that is pending.

    Args:
        free: The most to claim in all; endpoints with few deliveries in flight come first.
        endpoint_slots: The most in flight to an endpoint that `by_endpoint` does not list.
        by_endpoint: The endpoints that have deliveries in flight, or fewer slots.
        since: Only deliveries of events recorded from this instant on; None claims all.
    """
    await sql.keep_to_indexes.execute(tx)
    rows = await sql.claim_deliveries.fetch(
        tx,
        now=now,
        until=until,
        free=free,
        first_id=_FIRST if since is None else least(since),
        endpoint_slots=endpoint_slots,
        endpoint_ids=list(by_endpoint),
        in_flight=[slots.in_flight for slots in by_endpoint.values()],
        slots=[slots.slots_at(now) for slots in by_endpoint.values()],
    )
    return [_read_claim(row, until) for row in rows]


async def finish_deliveries(tx: db.Tx, results: Sequence[DeliveryResult]) -> None:
    """Record results, with one statement for all and a second one if some failed.

    Repeat:
        A result recorded before, or of a claim that has passed to another worker, changes nothing. A success counts
        whichever worker has the claim.
    """
    if not results:
        return
    ordered = sorted(results, key=lambda r: (r.claim.webhook.event_id, r.claim.webhook.endpoint_id))
    await sql.finish_deliveries.execute(
        tx,
        event_id=[r.claim.webhook.event_id for r in ordered],
        endpoint_id=[r.claim.webhook.endpoint_id for r in ordered],
        claimed_until=[r.claim.until for r in ordered],
        state=[r.state.value for r in ordered],
        next_at=[r.next_at for r in ordered],
        last_at=[r.attempted_at for r in ordered],
        status=[r.response.status for r in ordered],
        error=[r.response.error for r in ordered],
        duration_ms=[r.response.duration_ms for r in ordered],
    )
    failed = [r for r in ordered if r.state is DeliveryState.PENDING]
    if failed:
        await sql.postpone_successors.execute(
            tx,
            [r.claim.webhook.endpoint_id for r in failed],
            [r.claim.object_id for r in failed],
            [r.claim.webhook.object_seq for r in failed],
            [r.next_at for r in failed],
        )


async def read_backlog(tx: db.Tx) -> tuple[int, datetime | None]:
    """Return the number of pending deliveries, and the instant at which the first of them is or was due."""
    [row] = await sql.read_backlog.fetch(tx)
    return row["pending"], row["oldest_at"]


def _read_claim(row: asyncpg.Record, until: datetime) -> ClaimedDelivery:
    webhook = Webhook(
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
        public_id=row["public_id"],
    )
    return ClaimedDelivery(webhook, row["object_id"], row["attempts"], row["disabled"], row["failing"], until)
