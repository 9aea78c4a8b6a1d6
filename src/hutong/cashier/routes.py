"""The routes under /pay."""

from __future__ import annotations

import re
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hutong import ids
from hutong.cashier import assets, page, theme, translations
from hutong.cashier.bodies import FORM, read_body, read_form
from hutong.cashier.model import Checkout, CheckoutView, IdentityAnswer
from hutong.cashier.rate_limit import RateLimit
from hutong.cashier.responses import guarded
from hutong.channels import Device
from hutong.clock import Clock
from hutong.errors import InvalidParameter, InvalidRequest, NotFound
from hutong.http_requests import check_media_type, decode_json, refuse_doubled, refuse_foreign_origin

BODY_BYTES_MAX = 4_096
IMMUTABLE = "public, max-age=31536000, immutable"
TOKEN_HEADER = "x-checkout-token"  # noqa: S105 - the name of a header

_TOKEN = re.compile(r"[\x21-\x7e]{1,256}")
_METHOD = re.compile(r"[a-z0-9_]{1,64}")


def create_router(checkout: Checkout, clock: Clock, *, sandbox: bool = False) -> APIRouter:
    """Build the cashier's routes, all under /pay and none in the API's description.

    Args:
        checkout: The life cycle behind the page.
        clock: Paces the requests of each link; the page's own time is the view's `server_time`.
        sandbox: Whether every page says that no real money moves.
    """
    limit, page_of = RateLimit(clock), partial(guarded, sandbox=sandbox)
    all_methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return APIRouter(
        routes=[
            Route("/pay/static/{name}", page_of(_static), methods=["GET"]),
            Route("/pay/themes/{name}", page_of(_theme), methods=["GET"]),
            Route("/pay/{payment_id}", page_of(partial(_page, checkout, sandbox)), methods=["GET"]),
            Route("/pay/{payment_id}", page_of(_come_back), methods=["POST"]),
            Route("/pay/{payment_id}/status", page_of(partial(_status, checkout, limit)), methods=["GET"]),
            Route("/pay/{payment_id}/identified", page_of(partial(_identified, checkout, limit)), methods=["GET"]),
            Route("/pay/{payment_id}/attempts", page_of(partial(_attempts, checkout, limit)), methods=["POST"]),
            Route("/pay/{rest:path}", page_of(_not_found), methods=all_methods),
        ],
        include_in_schema=False,
    )


async def _page(checkout: Checkout, sandbox: bool, request: Request) -> Response:
    """Answer with the whole page, which is complete before its script runs and without it."""
    refuse_doubled(name for name, _ in request.query_params.multi_items())
    token = _token(request.query_params.get("token"))
    view = await checkout.view(_payment_id(request), token, device=_device(request))
    texts = translations.of_request(request)
    changing = request.query_params.get("change") == "1"
    html = page.render(view, token, texts, changing=changing, sandbox=sandbox)
    headers = {"content-language": texts.tag, "content-security-policy": page.policy(view)}
    return HTMLResponse(html, headers=headers)


async def _come_back(request: Request) -> Response:
    """Lead a payer whom a channel's page sends back with a form to the page itself.

    UnionPay posts its `frontUrl`. The form proves nothing about the payment, so it is not even read.
    """
    refuse_doubled(name for name, _ in request.query_params.multi_items())
    return RedirectResponse(f"{request.url.path}?{request.url.query}", status_code=303)


async def _status(checkout: Checkout, limit: RateLimit, request: Request) -> Response:
    """Answer with the state that an open page follows; 304 while nothing has changed."""
    payment_id, token = _payment_id(request), _token(request.headers.get(TOKEN_HEADER))
    limit.count(payment_id, token)
    view = await checkout.view(payment_id, token, device=_device(request))
    return _state_response(view, translations.of_request(request), request.headers.get("if-none-match", ""))


async def _attempts(checkout: Checkout, limit: RateLimit, request: Request) -> Response:
    """Start an attempt by a method: JSON from the page's script, a form where scripts do not run.

    Repeat:
        A running attempt by the same method is continued, so ten clicks are one attempt.
    """
    refuse_foreign_origin(request.headers)
    fields = await _fields(request)
    payment_id, token = _payment_id(request), _token(request.headers.get(TOKEN_HEADER) or fields.get("token"))
    method = fields.get("method")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise InvalidParameter("`method` is not the name of a payment method", param="method")
    limit.count(payment_id, token)
    payer_ip = request.client.host if request.client else None
    url = await checkout.identify_url(payment_id, token, method)
    if url is not None:
        return RedirectResponse(url, status_code=303) if _is_form(request) else JSONResponse({"redirect": url})
    view = await checkout.pay(payment_id, token, method, payer_ip=payer_ip, device=_device(request))
    if _is_form(request):
        language = fields.get("lang")
        query = urlencode({"token": token} | ({"lang": language} if language in translations.LANGUAGES else {}))
        return RedirectResponse(f"/pay/{ids.encode('pay', payment_id)}?{query}", status_code=303)
    return _state_response(view, translations.of_request(request), "")


async def _identified(checkout: Checkout, limit: RateLimit, request: Request) -> Response:
    """Take a payer back whom a channel has identified, start the attempt, and lead to the page."""
    query = request.query_params
    refuse_doubled(name for name, _ in query.multi_items())
    payment_id, token = _payment_id(request), _token(query.get("token"))
    limit.count(payment_id, token)
    method = query.get("method", "")
    if not _METHOD.fullmatch(method):
        raise InvalidParameter("`method` is not the name of a payment method", param="method")
    answer = IdentityAnswer(method, query.get("account", ""), query.get("code", ""), query.get("state", ""))
    payer_ip = request.client.host if request.client else None
    await checkout.pay_identified(payment_id, token, answer, payer_ip=payer_ip)
    page_query = urlencode({"token": token})
    return RedirectResponse(f"/pay/{ids.encode('pay', payment_id)}?{page_query}", status_code=303)


async def _static(request: Request) -> Response:
    """Answer with a static file. Under another hash it is absent: the page that asks would refuse this content."""
    asset = assets.by_url().get(request.url.path)
    if asset is None:
        raise NotFound("no file has this address")
    return Response(asset.body, media_type=asset.media_type, headers={"cache-control": IMMUTABLE})


async def _theme(request: Request) -> Response:
    """Answer with the style of a merchant's color, which its address alone determines."""
    found = theme.by_url(request.url.path)
    if found is None:
        raise NotFound("no file has this address")
    return Response(found.body, media_type=found.media_type, headers={"cache-control": IMMUTABLE})


async def _not_found(_request: Request) -> Response:
    raise NotFound("no page has this address")


def _state_response(view: CheckoutView, texts: translations.Translations, known_etags: str) -> Response:
    body, etag = page.encoded(page.state(view, texts))
    if etag in known_etags:
        return Response(status_code=304, headers={"etag": etag})
    return Response(body, media_type="application/json", headers={"etag": etag})


def _payment_id(request: Request) -> UUID:
    return ids.decode("pay", request.path_params["payment_id"])


def _device(request: Request) -> Device:
    return Device.of(request.headers.get("user-agent", ""), request.headers.get("sec-ch-ua-mobile", ""))


def _token(value: Any) -> str:
    """Return a token that is safe to compare; a value that cannot be one opens no payment."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise NotFound("this is not the token of a payment")
    return value


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def _fields(request: Request) -> dict[str, Any]:
    """Read the fields of a small body, JSON or a form."""
    body = await read_body(request, BODY_BYTES_MAX)
    media_type = check_media_type(request.headers.get("content-type", ""), "application/json", FORM)
    if media_type == FORM:
        return read_form(body, fields_max=8)
    fields = decode_json(body)
    if not isinstance(fields, dict):
        raise InvalidRequest("the body is not a JSON object", param="body")
    return fields
