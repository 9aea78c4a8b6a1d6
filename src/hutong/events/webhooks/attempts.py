"""The log of delivery attempts: what was sent, what came back, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from hutong import db, ids
from hutong.clock import instant
from hutong.events.archive import outbox_key
from hutong.events.model import DeliveryAttempt, DeliveryAttemptState, DeliveryState, Endpoint, Scheme
from hutong.events.outbox import read_event
from hutong.events.statements import sql
from hutong.events.webhooks import legacy_form
from hutong.events.webhooks.client import webhook_body
from hutong.events.webhooks.queue import DeliveryResult
from hutong.telemetry import mask

_BODY_SHOWN = 1_024
_MASKED = "[masked]"
_STATES = {
    DeliveryState.DELIVERED: DeliveryAttemptState.DELIVERED,
    DeliveryState.PENDING: DeliveryAttemptState.FAILED,
    DeliveryState.DEAD: DeliveryAttemptState.DEAD,
}


async def log_attempts(tx: db.Tx, results: Sequence[DeliveryResult]) -> None:
    """Write the attempts of a batch to the log, each once, however often the batch is recorded."""
    await sql.insert_delivery_attempts.execute(
        tx,
        attempt_id=[r.attempt_id for r in results],
        endpoint_id=[r.claim.webhook.endpoint_id for r in results],
        event_id=[r.claim.webhook.event_id for r in results],
        number=[r.claim.attempts + 1 for r in results],
        state=[_STATES[r.state] for r in results],
        attempted_at=[r.attempted_at for r in results],
        duration_ms=[r.response.duration_ms for r in results],
        status=[r.response.status for r in results],
        error=[r.response.error for r in results],
        answer=[r.response.answer for r in results],
    )


async def list_delivery_attempts(
    tx: db.Tx,
    endpoint_id: UUID,
    *,
    event_id: UUID | None = None,
    state: DeliveryAttemptState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[DeliveryAttempt]:
    """Return the attempts to reach one endpoint, newest first.

    Args:
        event_id, state: Only attempts to deliver this event, with this result.
        after: The last attempt of the previous page.
    """
    key = None if event_id is None else await outbox_key(tx, event_id)
    rows = await sql.list_delivery_attempts.fetch(tx, endpoint_id, key, state, after, limit)
    return [
        DeliveryAttempt(
            attempt_id=row["attempt_id"],
            endpoint_id=row["endpoint_id"],
            event=read_event(row),
            number=row["number"],
            state=DeliveryAttemptState(row["state"]),
            attempted_at=row["attempted_at"],
            duration_ms=row["duration_ms"],
            status=row["status"],
            error=row["error"],
            answer=row["answer"],
        )
        for row in rows
    ]


def delivery_attempt_document(attempt: DeliveryAttempt, endpoint: Endpoint) -> dict[str, Any]:
    """Return the public form of an attempt: the request without signature and secrets, nothing of the answer."""
    name = attempt.event.name
    body, headers = webhook_body(name, attempt.event), {"content-type": "application/json"}
    if endpoint.scheme is Scheme.RSA2:
        merchant = ids.encode("mer", endpoint.merchant_id)
        fields = legacy_form.fields_of(orjson.loads(body), merchant=merchant, now=attempt.attempted_at)
        body = urlencode(fields).encode()
        headers = {"content-type": legacy_form.MEDIA_TYPE, "webhook-id": name}
    else:
        stamp = str(int(attempt.attempted_at.timestamp()))
        headers |= {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": _MASKED}
    return {
        "id": ids.encode("whd", attempt.attempt_id),
        "object": "webhook_delivery",
        "event_id": name,
        "event_type": attempt.event.type,
        "number": attempt.number,
        "state": attempt.state.value,
        "at": instant(attempt.attempted_at),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
        "request": {"url": mask(endpoint.url), "headers": headers, "body": mask(body.decode())[:_BODY_SHOWN]},
    }
