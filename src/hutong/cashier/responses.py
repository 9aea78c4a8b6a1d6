"""What every answer has in common: its headers, and how an error is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hutong.cashier import page
from hutong.cashier import translations as words
from hutong.errors import HutongError, NotFound, Unavailable
from hutong.http_responses import problem_response, security_headers
from hutong.telemetry import get_logger

SECURITY = {
    **security_headers(page.CONTENT_SECURITY_POLICY),
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}

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
    retry_after_s = error.retry_after_s if isinstance(error, Unavailable) else None
    if not _for_people(request):
        if isinstance(error, NotFound):
            return problem_response(request, status, NotFound.code, "there is no such payment")
        hidden = status >= HTTPStatus.INTERNAL_SERVER_ERROR and retry_after_s is None
        detail = "an unexpected error occurred" if hidden else error.detail
        return problem_response(request, status, error.code, detail, param=error.param, retry_after_s=retry_after_s)
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
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
