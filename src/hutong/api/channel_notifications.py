"""/channels/{account}/notifications: the address that channels notify."""

from __future__ import annotations

from collections import Counter as Tally

from fastapi import APIRouter, HTTPException, Request
from prometheus_client import Counter
from starlette.responses import Response

from hutong import channels, errors, ids, payments
from hutong.api.dependencies import Trail, Use
from hutong.api.problems import responses
from hutong.api.requests import BodyTooLarge, StrictRequest
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_REFUSED = Counter("hutong_notifications_refused_total", "Notifications that were refused.", ["channel", "reason"])
_REFUSALS = (channels.NotificationRefused, *payments.errors.NOTIFICATION_REFUSALS, errors.NotFound, BodyTooLarge)
"""Reasons not to accept a message: not authentic, of another amount, replayed, about no number of the account, longer
than any channel's."""

router = APIRouter(prefix="/channels", tags=["Channel notifications"])


@router.post(
    "/{account_id}/notifications",
    responses={
        200: {"description": "Accepted."},
        204: {"description": "Accepted."},
        400: {"description": "Refused, in the channel's own form and without a reason."},
        401: {"description": "Refused, in the channel's own form and without a reason."},
        **responses(codes="not_found overloaded outcome_unknown unavailable"),
    },
    summary="Accept a channel's notification",
)
async def accept_notification(request: Request, use: Use, trail: Trail, account_id: str) -> Response:
    """Receive a notification from a channel, proven by its signature; answer once its effect is committed."""
    headers = _headers(request)
    account = ids.decode("acc", account_id)
    channel = await use.accounts.get(account)
    try:
        body = await _body(request)
        answer = await use.lifecycle.notify(account, headers, body)
    except _REFUSALS as error:
        # A forger learns nothing from the answer; the reason stays in our log and in the journal.
        name = channel.capabilities.channel
        _REFUSED.labels(name, error.code).inc()
        _log.warning("notification_refused", channel=name, account=account_id, reason=error.code, detail=error.detail)
        trail.refused(request.scope, account_id, channel=name, reason=error.code, detail=error.detail)
        answer = channel.refusal
    return Response(answer.body, answer.status, headers=dict(answer.headers))


async def _body(request: Request) -> bytes:
    """Read the body.

    Errors:
        BodyTooLarge.
    """
    try:
        return await StrictRequest(request.scope, request.receive).body()
    except HTTPException as error:
        if isinstance(error.__cause__, BodyTooLarge):
            raise error.__cause__ from None
        raise


def _headers(request: Request) -> dict[str, str]:
    """Return the headers by name, without those that are sent twice.

    No channel sends a header of its signature twice, and two readers would take different ones: without it, the
    channel's own rule refuses the message. Proxies repeat headers that no channel reads.
    """
    sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"]]
    counts = Tally(name for name, _ in sent)
    return {name: value for name, value in sent if counts[name] == 1}
