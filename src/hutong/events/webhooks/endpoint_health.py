"""Marking results, writing the log of tries, and giving up an endpoint that has failed for days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.events.model import DeliveryAttemptState, DeliveryState, Endpoint, Event
from hutong.events.outbox import record
from hutong.events.statements import sql as _sql
from hutong.events.webhooks.endpoints import disable_failing, endpoint_document
from hutong.events.webhooks.queue import Result, finish

FAILING_MAX = timedelta(days=5)
"""For how long every try may fail before the endpoint is disabled, when the next delivery is given up."""

ENDPOINT_DISABLED = "webhook_endpoint.disabled"
_STATES = {
    DeliveryState.DELIVERED: DeliveryAttemptState.DELIVERED,
    DeliveryState.PENDING: DeliveryAttemptState.FAILED,
    DeliveryState.DEAD: DeliveryAttemptState.DEAD,
}


async def settle(tx: db.Tx, results: Sequence[Result], *, now: datetime, new_id: Callable[[], UUID]) -> list[Endpoint]:
    """Mark a batch of results, log the tries, and disable endpoints that have failed for FAILING_MAX.

    Effects:
        Tells the merchant's other endpoints of each that is disabled, by `webhook_endpoint.disabled`.

    Repeat:
        Changes nothing.

    Returns:
        The endpoints disabled by this.
    """
    await finish(tx, results)
    tried = [result for result in results if result.tried_at is not None]
    if not tried:
        return []
    await _log_tries(tx, tried)
    failing = await _note_health(tx, tried)
    if not failing:
        return []
    disabled = await disable_failing(tx, failing, now=now, since=now - FAILING_MAX)
    told = [
        Event(new_id(), ENDPOINT_DISABLED, one.merchant_id, one.endpoint_id, endpoint_document(one)) for one in disabled
    ]
    await record(tx, told, now=now)
    return disabled


async def _log_tries(tx: db.Tx, tried: Sequence[Result]) -> None:
    await _sql.insert_tries.execute(
        tx,
        [r.try_id for r in tried],
        [r.claim.message.endpoint_id for r in tried],
        [r.claim.message.event_id for r in tried],
        [r.claim.attempts + 1 for r in tried],
        [_STATES[r.state] for r in tried],
        [r.tried_at for r in tried],
        [r.outcome.duration_ms for r in tried],
        [r.outcome.status for r in tried],
        [r.outcome.error for r in tried],
        [r.outcome.answer for r in tried],
    )


async def _note_health(tx: db.Tx, tried: Sequence[Result]) -> list[UUID]:
    """Note which endpoints have failed and which have not; one success in a batch is a success.

    Returns:
        Those that may have failed long enough: where a delivery was given up. One failure after days of silence is not
        days of failure.
    """
    succeeded = {r.claim.message.endpoint_id for r in tried if r.state is DeliveryState.DELIVERED}
    first: dict[UUID, datetime | None] = {}
    for result in sorted(tried, key=lambda r: (r.claim.message.endpoint_id, r.tried_at)):
        first.setdefault(result.claim.message.endpoint_id, result.tried_at)
    await _sql.note_health.execute(tx, list(first), [one in succeeded for one in first], list(first.values()))
    return sorted({r.claim.message.endpoint_id for r in tried if r.state is DeliveryState.DEAD} - succeeded)
