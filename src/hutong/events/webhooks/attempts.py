"""The log of tries: what was sent, what came back, how long it took."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from hutong import db, ids
from hutong.clock import instant
from hutong.events.model import DeliveryAttempt, DeliveryAttemptState, Endpoint, RecordedEvent, Scheme
from hutong.events.statements import sql as _sql
from hutong.events.webhooks import legacy_form as form
from hutong.events.webhooks.client import body_of
from hutong.telemetry import mask

_BODY_SHOWN = 1_024
_MASKED = "[masked]"
_OF_TRY = ("try_id", "endpoint_id", "number", "tried_at", "duration_ms", "status", "error", "answer")
_OF_EVENT = ("event_id", "type", "version", "merchant_id", "object_id", "object_seq", "data", "created_at")


async def list_delivery_attempts(
    tx: db.Tx,
    endpoint_id: UUID,
    *,
    event_id: UUID | None = None,
    state: DeliveryAttemptState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[DeliveryAttempt]:
    """The tries of one endpoint, newest first.

    Args:
        event_id, state: Only tries of this event, with this result.
        after: The last try already seen.
    """
    rows = await _sql.list_delivery_attempts.fetch(tx, endpoint_id, event_id, state, after, limit)
    return [
        DeliveryAttempt(
            **{name: row[name] for name in _OF_TRY},
            event=RecordedEvent(**{name: row[name] for name in _OF_EVENT}),
            state=DeliveryAttemptState(row["state"]),
        )
        for row in rows
    ]


def delivery_attempt_document(one: DeliveryAttempt, endpoint: Endpoint) -> dict[str, Any]:
    """The public form of a try: the request as it was, without signature and secrets, and no word of the answer."""
    name = ids.encode("evt", one.event.event_id)
    body, headers = body_of(name, one.event), {"content-type": "application/json"}
    if endpoint.scheme is Scheme.RSA2:
        merchant = ids.encode("mer", endpoint.merchant_id)
        body = urlencode(form.fields_of(orjson.loads(body), merchant=merchant, now=one.tried_at)).encode()
        headers = {"content-type": form.MEDIA_TYPE, "webhook-id": name}
    else:
        stamp = str(int(one.tried_at.timestamp()))
        headers |= {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": _MASKED}
    return {
        "id": ids.encode("whd", one.try_id),
        "object": "webhook_delivery",
        "event_id": name,
        "event_type": one.event.type,
        "number": one.number,
        "state": one.state.value,
        "at": instant(one.tried_at),
        "duration_ms": one.duration_ms,
        "status": one.status,
        "error": one.error,
        "request": {"url": mask(endpoint.url), "headers": headers, "body": mask(body.decode())[:_BODY_SHOWN]},
    }
