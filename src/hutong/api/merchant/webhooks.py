"""Routes of `/v1/webhook-endpoints`: endpoints, their secrets, deliveries and replays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from hutong import db, events, ids
from hutong.api.dependencies import Caller, Use
from hutong.api.paging import Limit, cut, id_cursor, list_answer, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.requests import StrictRoute
from hutong.api.responses import json_answer
from hutong.api.schemas.event import EVENT_TYPES
from hutong.api.schemas.fields import example_body
from hutong.api.schemas.webhook import (
    EVENT_ID,
    NewWebhookEndpointObject,
    WebhookDeliveryList,
    WebhookEndpointCreate,
    WebhookEndpointList,
    WebhookEndpointObject,
    WebhookEndpointRotate,
    WebhookEndpointUpdate,
    WebhookReplay,
    WebhookReplayed,
)
from hutong.errors import InvalidParameter, NotFound

_TYPE_NAMES = frozenset(event.name for event in EVENT_TYPES)

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["Webhooks"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=NewWebhookEndpointObject,
    responses=responses(400, 401, 409, 413, 415, 422, 503),
    summary="Create a webhook endpoint",
)
async def create_webhook_endpoint(
    use: Use,
    merchant: Caller,
    body: Annotated[
        WebhookEndpointCreate,
        example_body(WebhookEndpointCreate),
    ],
) -> Response:
    """Have events sent to an address of yours, signed by the rules of Standard Webhooks.

    The answer contains the secret that verifies the signatures, which is not shown again, or a public key.
    """
    _check_types(body.types)
    async with use.database.transaction() as tx:
        new = await events.create_endpoint(
            tx,
            endpoint_id=use.ids.new(),
            merchant_id=merchant.merchant_id,
            url=body.url,
            types=body.types,
            scheme=body.scheme,
            description=body.description,
            now=use.clock.now(),
            vault=use.vault,
            allow_private=use.sandbox,
        )
    return json_answer({**events.endpoint_document(new.endpoint), "secret": new.secret}, 201)


@router.get(
    "",
    response_model=WebhookEndpointList,
    responses=responses(400, 401, 422, 503),
    summary="List webhook endpoints",
)
async def list_webhook_endpoints(use: Use, merchant: Caller) -> Response:
    """Return your endpoints, oldest first, disabled ones included."""
    async with use.database.transaction() as tx:
        endpoints = await events.list_endpoints(tx, merchant.merchant_id)
    return list_answer(events.endpoint_document(endpoint) for endpoint in endpoints)


@router.get(
    "/{endpoint_id}",
    response_model=WebhookEndpointObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Get a webhook endpoint",
)
async def get_webhook_endpoint(use: Use, merchant: Caller, endpoint_id: str) -> Response:
    """Return one endpoint, without its secret."""
    async with use.database.transaction() as tx:
        endpoint = await events.find_endpoint(tx, merchant.merchant_id, ids.decode("whe", endpoint_id))
    return json_answer(events.endpoint_document(endpoint))


@router.patch(
    "/{endpoint_id}",
    response_model=WebhookEndpointObject,
    responses=responses(404, codes="conflict"),
    summary="Change a webhook endpoint",
)
async def update_webhook_endpoint(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    body: Annotated[WebhookEndpointUpdate, example_body(WebhookEndpointUpdate)],
) -> Response:
    """Change the address, the types or the description of an endpoint, or disable or enable it. Its secret stays.

    Deliveries that are waiting go to the new address; events of a type that you add are sent from now on.
    """
    _check_types(body.types or [])
    change = events.EndpointChange(body.url, body.types, body.description, body.enabled)

    async def work(tx: db.Tx) -> dict[str, Any]:
        endpoint = await events.change_endpoint(
            tx,
            merchant.merchant_id,
            ids.decode("whe", endpoint_id),
            change,
            now=use.clock.now(),
            allow_private=use.sandbox,
        )
        return events.endpoint_document(endpoint)

    return json_answer(await use.database.run(work))


@router.delete(
    "/{endpoint_id}",
    response_model=WebhookEndpointObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Disable a webhook endpoint",
)
async def disable_webhook_endpoint(use: Use, merchant: Caller, endpoint_id: str) -> Response:
    """Send nothing more to this endpoint. A repetition changes nothing."""
    async with use.database.transaction() as tx:
        endpoint = await events.disable_endpoint(
            tx, merchant.merchant_id, ids.decode("whe", endpoint_id), now=use.clock.now()
        )
    return json_answer(events.endpoint_document(endpoint))


@router.post(
    "/{endpoint_id}/enable",
    response_model=WebhookEndpointObject,
    responses=responses(400, 401, 404, 409, 422, 503),
    summary="Enable a webhook endpoint",
)
async def enable_webhook_endpoint(use: Use, merchant: Caller, endpoint_id: str) -> Response:
    """Send events to a disabled endpoint again, from now on. Replay the events that it has missed."""
    async with use.database.transaction() as tx:
        endpoint = await events.enable_endpoint(tx, merchant.merchant_id, ids.decode("whe", endpoint_id))
    return json_answer(events.endpoint_document(endpoint))


@router.post(
    "/{endpoint_id}/rotate",
    response_model=NewWebhookEndpointObject,
    responses=responses(400, 401, 404, 413, 415, 422, 503),
    summary="Rotate a webhook endpoint's secret",
)
async def rotate_webhook_secret(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    body: Annotated[
        WebhookEndpointRotate,
        example_body(WebhookEndpointRotate),
    ],
) -> Response:
    """Make a new secret. During the overlap requests carry a signature by each, so that you can switch at any time.

    The legacy form carries one signature: it changes to the new key when the overlap ends.
    """
    async with use.database.transaction() as tx:
        new = await events.rotate_endpoint(
            tx,
            merchant.merchant_id,
            ids.decode("whe", endpoint_id),
            overlap=timedelta(hours=body.overlap_hours),
            now=use.clock.now(),
            vault=use.vault,
        )
    return json_answer({**events.endpoint_document(new.endpoint), "secret": new.secret})


@router.post(
    "/{endpoint_id}/replay",
    response_model=WebhookReplayed,
    responses=responses(404, codes="conflict event_archived"),
    summary="Replay events",
)
async def replay_events(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    body: Annotated[
        WebhookReplay,
        example_body(WebhookReplay),
    ],
) -> Response:
    """Have events sent again, under their existing ids: one event, those of a period, or all undeliverable ones.

    One call covers 1,000 events; continue with `next_cursor` while `has_more`. Events older than the endpoint are sent
    too, so that a new endpoint can be brought up to date.
    """
    identifier = ids.decode("whe", endpoint_id)
    request = events.ReplayRequest.between(body.begin, body.end, failed=body.failed)
    if body.event_id is not None:
        request = events.ReplayRequest.one(_decode("evt", body.event_id, "event_id"))
    if body.cursor is not None:
        request = request.after(_decode("evt", body.cursor, "cursor"))
    async with use.database.transaction() as tx:
        result = await events.replay(tx, merchant.merchant_id, identifier, request, now=use.clock.now())
    if body.event_id is not None and not result.seen:
        raise InvalidParameter("event_id is not the id of an event that this endpoint receives", param="event_id")
    more = result.last is not None and body.event_id is None
    return json_answer(
        {
            "object": "webhook_replay",
            "replayed": result.count,
            "has_more": more,
            "next_cursor": ids.encode("evt", result.last) if more and result.last else None,
        }
    )


@router.get(
    "/{endpoint_id}/deliveries",
    response_model=WebhookDeliveryList,
    responses=responses(400, 401, 404, 422, 503),
    summary="List deliveries",
)
async def list_webhook_deliveries(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("whd")] = None,
    event_id: Annotated[str | None, Query(pattern=EVENT_ID, description="Only attempts to deliver this event.")] = None,
    state: Annotated[events.DeliveryAttemptState | None, Query(description="Only attempts with this result.")] = None,
) -> Response:
    """Return the attempts to deliver events to this endpoint, newest first: request, status of the answer, duration."""
    identifier = ids.decode("whe", endpoint_id)
    async with use.database.transaction() as tx:
        endpoint = await events.find_endpoint(tx, merchant.merchant_id, identifier)
        attempts = await events.list_delivery_attempts(
            tx,
            identifier,
            event_id=None if event_id is None else _decode("evt", event_id, "event_id"),
            state=state,
            after=read_cursor("whd", cursor),
            limit=limit + 1,
        )
    page, next_cursor = cut(attempts, limit, lambda attempt: ids.encode("whd", attempt.attempt_id))
    return page_answer((events.delivery_attempt_document(attempt, endpoint) for attempt in page), next_cursor)


def _check_types(types: Sequence[str]) -> None:
    unknown = next((name for name in types if name not in _TYPE_NAMES), None)
    if unknown is not None:
        raise InvalidParameter(f"`types` has `{unknown}`, and there is no such event type", param="types")


def _decode(prefix: str, text: str, param: str) -> UUID:
    try:
        return ids.decode(prefix, text)
    except NotFound as error:
        raise InvalidParameter(f"{param} is not a valid id", param=param) from error
