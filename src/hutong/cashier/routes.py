"""The addresses under /pay."""

from __future__ import annotations

import re
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import UUID

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hutong import ids
from hutong.cashier import assets, page
from hutong.cashier import translations as words
from hutong.cashier.model import Checkout, CheckoutView
from hutong.cashier.rate_limit import Limit
from hutong.cashier.responses import guarded
from hutong.clock import Clock
from hutong.errors import InvalidParameter, InvalidRequest, NotFound

BODY_BYTES_MAX = 4_096
IMMUTABLE = "public, max-age=31536000, immutable"
TOKEN_HEADER = "x-checkout-token"  # noqa: S105 - the name of a header

_TOKEN = re.compile(r"[\x21-\x7e]{1,256}")
_METHOD = re.compile(r"[a-z0-9_]{1,64}")


def create_router(checkout: Checkout, clock: Clock) -> APIRouter:
    """The cashier's addresses, all under /pay and none in the API's description.

    Args:
        checkout: The life cycle behind the page.
        clock: Paces how often one link may ask; the page's own time is the view's `server_time`.
    """
    limit = Limit(clock)
    everything_else = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return APIRouter(
        routes=[
            Route("/pay/static/{name}", guarded(_static), methods=["GET"]),
            Route("/pay/{payment_id}", guarded(partial(_page, checkout)), methods=["GET"]),
            Route("/pay/{payment_id}/status", guarded(partial(_status, checkout, limit)), methods=["GET"]),
            Route("/pay/{payment_id}/attempts", guarded(partial(_attempts, checkout, limit)), methods=["POST"]),
            Route("/pay/{rest:path}", guarded(_nothing), methods=everything_else),
        ],
        include_in_schema=False,
    )


async def _page(checkout: Checkout, request: Request) -> Response:
    """The page as a whole; it reads well before its script runs, and without it."""
    token = _token(request.query_params.get("token"))
    view = await checkout.view(_payment_id(request), token)
    language = words.chosen(request)
    html = page.render(view, token, language, changing=request.query_params.get("change") == "1")
    headers = {"content-language": language.tag, "content-security-policy": page.policy(view)}
    return HTMLResponse(html, headers=headers)


async def _status(checkout: Checkout, limit: Limit, request: Request) -> Response:
    """The state that an open page follows; 304 while nothing has changed."""
    payment_id, token = _payment_id(request), _token(request.headers.get(TOKEN_HEADER))
    limit.spend(payment_id, token)
    view = await checkout.view(payment_id, token)
    return _state(view, words.chosen(request), request.headers.get("if-none-match", ""))


async def _attempts(checkout: Checkout, limit: Limit, request: Request) -> Response:
    """Start paying by a method: JSON from the page's script, a form where there is none.

    Repeat:
        The running attempt by the same method is the answer, so ten clicks are one attempt.
    """
    fields = await _fields(request)
    payment_id, token = _payment_id(request), _token(request.headers.get(TOKEN_HEADER) or fields.get("token"))
    method = fields.get("method")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise InvalidParameter("method is not the name of a payment method", param="method")
    limit.spend(payment_id, token)
    payer_ip = request.client.host if request.client else None
    view = await checkout.pay(payment_id, token, method, payer_ip=payer_ip)
    if _is_form(request):
        language = fields.get("lang")
        query = urlencode({"token": token} | ({"lang": language} if language in words.LANGUAGES else {}))
        return RedirectResponse(f"/pay/{ids.encode('pay', payment_id)}?{query}", status_code=303)
    return _state(view, words.chosen(request), "")


async def _static(request: Request) -> Response:
    """A file of ours. An address with another hash is absent: the page that wants it would refuse this content."""
    asset = assets.by_url().get(request.url.path)
    if asset is None:
        raise NotFound("there is no such file")
    return Response(asset.body, media_type=asset.media_type, headers={"cache-control": IMMUTABLE})


async def _nothing(_request: Request) -> Response:
    raise NotFound("there is no such page")


def _state(view: CheckoutView, language: words.Words, known: str) -> Response:
    body, etag = page.encoded(page.state(view, language))
    if etag in known:
        return Response(status_code=304, headers={"etag": etag})
    return Response(body, media_type="application/json", headers={"etag": etag})


def _payment_id(request: Request) -> UUID:
    return ids.decode("pay", request.path_params["payment_id"])


def _token(given: Any) -> str:
    """A token that may be compared; what cannot be one names no payment."""
    if not isinstance(given, str) or not _TOKEN.fullmatch(given):
        raise NotFound("this is not a token")
    return given


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


async def _fields(request: Request) -> dict[str, Any]:
    """The fields of a small JSON or form body."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise InvalidRequest("the body is too long")
    try:
        if _is_form(request):
            return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=8).items()}
        fields = orjson.loads(body)
    except ValueError as error:
        raise InvalidRequest("the body is neither JSON nor a form") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("the body is not a JSON object")
    return fields
