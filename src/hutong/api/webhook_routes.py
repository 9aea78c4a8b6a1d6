"""/v1/webhook-endpoints"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body
from starlette.responses import Response

from hutong import events, ids
from hutong.api import schema, webhook_schema
from hutong.api.problem import responses
from hutong.api.services import Caller, Use
from hutong.api.strict import StrictRoute
from hutong.payments import instant

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

    The answer holds the secret that verifies them; it is not shown again.
    """
    async with use.database.transaction() as tx:
        new = await events.create_endpoint(
            tx,
            endpoint_id=use.ids.new(),
            merchant_id=merchant.merchant_id,
            url=body.url,
            types=body.types,
            now=use.clock.now(),
            vault=use.vault,
            allow_private=use.sandbox,
        )
    return _json({**_document(new.endpoint), "secret": new.secret}, 201)


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
    return _json({"object": "list", "data": [_document(endpoint) for endpoint in found]})


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
    return _json(_document(endpoint))


def _document(endpoint: events.Endpoint) -> dict[str, Any]:
    return {
        "id": ids.encode("whe", endpoint.endpoint_id),
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "types": list(endpoint.types),
        "enabled": endpoint.disabled_at is None,
        "created_at": instant(endpoint.created_at),
    }


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
