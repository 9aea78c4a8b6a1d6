"""/channels/{account}/notifications: notifications from channels."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from hutong import channels, ids
from hutong.api.dependencies import Use
from hutong.api.problems import responses
from hutong.api.strict_json import StrictRequest

router = APIRouter(prefix="/channels", tags=["Channel notifications"])


@router.post(
    "/{account_id}/notifications",
    responses={
        200: {"description": "Accepted."},
        204: {"description": "Accepted."},
        **responses(400, 401, 404, 409, 413, 422, 503),
    },
    summary="Receive a channel's notification",
)
async def notify(request: Request, use: Use, account_id: str) -> Response:
    """Receive a notification from a channel, proven by its signature; answer once its effect is committed."""
    body = await StrictRequest(request.scope, request.receive).body()
    # A header sent twice is one with both values (RFC 9110, 5.3), so that no two readers can see different ones.
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    answer: channels.HttpAnswer = await use.lifecycle.notify(ids.decode("acc", account_id), headers, body)
    return Response(answer.body, answer.status, headers=dict(answer.headers))
