"""The health of endpoints: those that have failed for days are disabled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from hutong import db
from hutong.events.model import DeliveryState, Endpoint, Event
from hutong.events.outbox import record
from hutong.events.statements import sql
from hutong.events.webhooks.endpoints import disable_failing, endpoint_document
from hutong.events.webhooks.queue import DeliveryResult

FAILING_MAX = timedelta(days=5)
"""The time for which every attempt may fail before the endpoint is disabled, at the next delivery that becomes dead."""

ENDPOINT_DISABLED = "webhook_endpoint.disabled"


async def record_health(
    tx: db.Tx, results: Sequence[DeliveryResult], *, now: datetime, new_id: Callable[[], UUID]
) -> list[Endpoint]:
    """Record which endpoints failed and which succeeded, and disable those that have failed for FAILING_MAX.

    Effects:
        Emits `webhook_endpoint.disabled` to the merchant's other endpoints for each endpoint that is disabled.

    Repeat:
        Changes nothing.

    Returns:
        The endpoints disabled by this call.
    """
    failing = await _record_results(tx, results)
    if not failing:
        return []
    disabled = await disable_failing(tx, failing, now=now, since=now - FAILING_MAX)
    events = [
        Event(new_id(), ENDPOINT_DISABLED, endpoint.merchant_id, endpoint.endpoint_id, endpoint_document(endpoint))
        for endpoint in disabled
    ]
    await record(tx, events, now=now)
    return disabled


async def _record_results(tx: db.Tx, results: Sequence[DeliveryResult]) -> list[UUID]:
    """Record the health of the endpoints of a batch; one success in a batch is a success.

    Returns:
        The endpoints that may have failed long enough: those with a dead delivery. One failure after days without
        events is not days of failure.
    """
    succeeded = {r.claim.webhook.endpoint_id for r in results if r.state is DeliveryState.DELIVERED}
    first: dict[UUID, datetime | None] = {}
    for result in sorted(results, key=lambda r: (r.claim.webhook.endpoint_id, r.attempted_at)):
        first.setdefault(result.claim.webhook.endpoint_id, result.attempted_at)
    successes = [endpoint_id in succeeded for endpoint_id in first]
    await sql.record_health.execute(tx, list(first), successes, list(first.values()))
    return sorted({r.claim.webhook.endpoint_id for r in results if r.state is DeliveryState.DEAD} - succeeded)
