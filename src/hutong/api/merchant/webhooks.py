"""/v1/webhook-endpoints"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from hutong import events, ids
from hutong.api.dependencies import Caller, Use
from hutong.api.paging import Limit, cut, id_cursor, list_answer, page_answer, read_cursor
from hutong.api.problems import responses
from hutong.api.responses import json_answer
from hutong.api.schemas import payment as schema
from hutong.api.schemas import webhook as webhook_schema
from hutong.api.strict_json import StrictRoute
from hutong.errors import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["Webhooks"], route_class=StrictRoute)


@router.post(
    "",
    status_code=201,
    response_model=webhook_schema.NewWebhookEndpointObject,
    responses=responses(400, 401, 409, 413, 415, 422, 503),
    summary="Create a webhook endpoint",
)
async def create_endpoint(
    use: Use,
    merchant: Caller,
    body: Annotated[
        webhook_schema.WebhookEndpointCreate,
        Body(openapi_examples={"all": {"value": schema.example(webhook_schema.WebhookEndpointCreate)}}),
    ],
) -> Response:
    """Have events sent to an address of yours, signed by the rules of Standard Webhooks.

    The answer holds the secret that verifies them, which is not shown again, or a public key that verifies them.
    """
    async with use.database.transaction() as tx:
        new = await events.create_endpoint(
            tx,
            endpoint_id=use.ids.new(),
            merchant_id=merchant.merchant_id,
            url=body.url,
            types=body.types,
            scheme=events.Scheme(body.scheme),
            now=use.clock.now(),
            vault=use.vault,
            allow_private=use.sandbox,
        )
    return json_answer({**events.endpoint_document(new.endpoint), "secret": new.secret}, 201)


@router.get(
    "",
    response_model=webhook_schema.WebhookEndpointList,
    responses=responses(400, 401, 422, 503),
    summary="List webhook endpoints",
)
async def list_endpoints(use: Use, merchant: Caller) -> Response:
    """Your endpoints, oldest first, disabled ones included."""
    async with use.database.transaction() as tx:
        found = await events.list_endpoints(tx, merchant.merchant_id)
    return list_answer(events.endpoint_document(endpoint) for endpoint in found)


@router.delete(
    "/{endpoint_id}",
    response_model=webhook_schema.WebhookEndpointObject,
    responses=responses(400, 401, 404, 422, 503),
    summary="Disable a webhook endpoint",
)
async def disable_endpoint(use: Use, merchant: Caller, endpoint_id: str) -> Response:
    """Send nothing more to this endpoint. Disabling it again changes nothing."""
    async with use.database.transaction() as tx:
        endpoint = await events.disable_endpoint(
            tx, merchant.merchant_id, ids.decode("whe", endpoint_id), now=use.clock.now()
        )
    return json_answer(events.endpoint_document(endpoint))


@router.post(
    "/{endpoint_id}/enable",
    response_model=webhook_schema.WebhookEndpointObject,
    responses=responses(400, 401, 404, 409, 422, 503),
    summary="Enable a webhook endpoint",
)
async def enable_endpoint(use: Use, merchant: Caller, endpoint_id: str) -> Response:
    """Send to a disabled endpoint again, from now on. What it has missed is sent on request: replay it."""
    async with use.database.transaction() as tx:
        endpoint = await events.enable_endpoint(tx, merchant.merchant_id, ids.decode("whe", endpoint_id))
    return json_answer(events.endpoint_document(endpoint))


@router.post(
    "/{endpoint_id}/rotate",
    response_model=webhook_schema.NewWebhookEndpointObject,
    responses=responses(400, 401, 404, 413, 415, 422, 503),
    summary="Rotate a webhook endpoint's secret",
)
async def rotate_endpoint(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    body: Annotated[
        webhook_schema.WebhookEndpointRotate,
        Body(openapi_examples={"day": {"value": schema.example(webhook_schema.WebhookEndpointRotate)}}),
    ],
) -> Response:
    """Make a new secret. For a while requests carry a signature by either, so that you may change yours at any time.

    The legacy form has room for one signature: it changes to the new key when the overlap ends.
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
    response_model=webhook_schema.WebhookReplayed,
    responses=responses(400, 401, 404, 409, 413, 415, 422, 503),
    summary="Replay events",
)
async def replay(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    body: Annotated[
        webhook_schema.WebhookReplay,
        Body(openapi_examples={"failed": {"value": schema.example(webhook_schema.WebhookReplay)}}),
    ],
) -> Response:
    """Have events sent again, under the ids they have: one, those of a time, or all that were given up.

    Works through 1,000 events a call; go on with `next_cursor` while `has_more`. Events older than the endpoint are
    sent too, so a new endpoint can be brought up to date.
    """
    identifier = ids.decode("whe", endpoint_id)
    wanted = events.ReplayRequest.between(body.begin, body.end, failed=body.failed)
    if body.event_id is not None:
        wanted = events.ReplayRequest.one(_decode("evt", body.event_id, "event_id"))
    if body.cursor is not None:
        wanted = wanted.after(_decode("evt", body.cursor, "cursor"))
    async with use.database.transaction() as tx:
        done = await events.replay(tx, merchant.merchant_id, identifier, wanted, now=use.clock.now())
    if body.event_id is not None and not done.seen:
        raise InvalidParameter("names no event that this endpoint wants", param="event_id")
    more = done.last is not None and body.event_id is None
    return json_answer(
        {
            "object": "webhook_replay",
            "replayed": done.count,
            "has_more": more,
            "next_cursor": ids.encode("evt", done.last) if more and done.last else None,
        }
    )


@router.get(
    "/{endpoint_id}/deliveries",
    response_model=webhook_schema.WebhookDeliveryList,
    responses=responses(400, 401, 404, 422, 503),
    summary="List deliveries",
)
async def list_deliveries(
    use: Use,
    merchant: Caller,
    endpoint_id: str,
    limit: Limit = 20,
    cursor: Annotated[str | None, id_cursor("whd")] = None,
    event_id: Annotated[
        str | None, Query(pattern=webhook_schema.EVENT_ID, description="Only tries of this event.")
    ] = None,
    state: Annotated[
        Literal["delivered", "failed", "dead"] | None, Query(description="Only tries that ended so.")
    ] = None,
) -> Response:
    """Every try to deliver an event to this endpoint, newest first: what was sent, what came back, how long it took."""
    identifier = ids.decode("whe", endpoint_id)
    async with use.database.transaction() as tx:
        endpoint = await events.find_endpoint(tx, merchant.merchant_id, identifier)
        found = await events.list_delivery_attempts(
            tx,
            identifier,
            event_id=None if event_id is None else _decode("evt", event_id, "event_id"),
            state=None if state is None else events.DeliveryAttemptState(state),
            after=read_cursor("whd", cursor),
            limit=limit + 1,
        )
    page, next_cursor = cut(found, limit, lambda attempt: ids.encode("whd", attempt.try_id))
    return page_answer((events.delivery_attempt_document(attempt, endpoint) for attempt in page), next_cursor)


def _decode(prefix: str, text: str, param: str) -> UUID:
    try:
        return ids.decode(prefix, text)
    except NotFound as error:
        raise InvalidParameter("is no such id", param=param) from error
