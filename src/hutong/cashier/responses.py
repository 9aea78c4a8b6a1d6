"""What every answer has in common: its headers, and how an error is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hutong.cashier import page
from hutong.cashier import translations as words
from hutong.cashier.headers import SECURITY
from hutong.errors import HutongError, NotFound, Unavailable
from hutong.telemetry import get_logger

Handler = Callable[[Request], Awaitable[Response]]

log = get_logger(__name__)


def guarded(handler: Handler) -> Handler:
    """The same handler with the security headers on whatever it answers, errors included."""

    async def answer(request: Request) -> Response:
        try:
            response = await handler(request)
        except HutongError as error:
            response = _refusal(request, error)
        except Exception as error:  # the payer gets a page with our headers, whatever went wrong
            log.error("cashier_failed", exc_info=error)
            response = _refusal(request, HutongError("unexpected"))
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        return response

    return answer


def _refusal(request: Request, error: HutongError) -> Response:
    """An error as a page for people or a problem document for the script.

    Nothing of the request or of the error's own words is shown for NotFound, so that a wrong token and an absent
    payment cannot be told apart.
    """
    status = error.http_status
    headers = {"retry-after": str(error.retry_after_s)} if isinstance(error, Unavailable) else {}
    if not _for_people(request):
        shown = NotFound("there is no such payment") if isinstance(error, NotFound) else error
        return Response(_problem(shown), status, headers, media_type="application/problem+json")
    language = words.chosen(request)
    title, detail = language.broken, language.broken_detail
    if isinstance(error, NotFound):
        title, detail = language.not_found, language.not_found_detail
    elif isinstance(error, Unavailable):
        title, detail = language.busy, language.busy_detail
    elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
        title, detail = language.refused, language.refused_detail
    headers["content-language"] = language.tag
    return HTMLResponse(page.render_message(title, detail, language), status, headers)


def _for_people(request: Request) -> bool:
    """A status is only ever asked for by a script, and only a script sends JSON."""
    return not request.url.path.endswith("/status") and "json" not in request.headers.get("content-type", "")


def _problem(error: HutongError) -> bytes:
    """RFC 9457."""
    hidden = error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, Unavailable)
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(error.http_status).phrase,
        "status": error.http_status,
        "code": error.code,
        "detail": "something went wrong" if hidden else error.detail,
    }
    return orjson.dumps(problem | ({"param": error.param} if error.param else {}))
