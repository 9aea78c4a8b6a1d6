"""/channels/{account}/notifications: where channels call us."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from hutong import channels, ids
from hutong.api.problem import responses
from hutong.api.services import Use
from hutong.api.strict import StrictRequest

router = APIRouter(prefix="/channels", tags=["Channel notifications"])


@router.post(
    "/{account_id}/notifications",
    responses={200: {"description": "Taken.", "content": {}}, **responses(401, 404, 409, 413, 422, 503)},
    summary="Take a channel's notification",
)
async def notify(request: Request, use: Use, account_id: str) -> Response:
    """Called by channels only. Proven by the channel's signature; answered once the effect is committed."""
    body = await StrictRequest(request.scope, request.receive).body()
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
    answer: channels.HttpAnswer = await use.flow.notify(ids.decode("acc", account_id), headers, body)
    return Response(answer.body, answer.status, headers=dict(answer.headers))
