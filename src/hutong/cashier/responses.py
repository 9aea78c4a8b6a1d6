"""The cashier's answers: security headers on each of them, and errors as pages or problem documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from hutong import payments
from hutong.cashier import page, translations
from hutong.errors import HutongError, NotFound, OutcomeUnknown, Unavailable
from hutong.http_requests import refuse_doubled_headers
from hutong.http_responses import problem_response, security_headers
from hutong.telemetry import get_logger

SECURITY_HEADERS = {
    **security_headers(page.CONTENT_SECURITY_POLICY),
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Of an address, which holds a token, channels get the origin alone; WeChat Pay's H5 page requires that much.
    "referrer-policy": "strict-origin",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]

_log = get_logger(__name__)


def guarded(handler: Handler, *, sandbox: bool = False) -> Handler:
    """Wrap a handler so that every answer, errors included, carries the security headers.

    Args:
        sandbox: Whether pages that report an error say that no real money moves.
    """

    async def answer(request: Request) -> Response:
        try:
            refuse_doubled_headers(name for name, _ in request.headers.raw)
            response = await handler(request)
        except HutongError as error:
            response = _error_response(request, error, sandbox=sandbox)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the payer gets a page with our headers
            _log.error("cashier_failed", exc_info=error)
            response = _error_response(request, HutongError("an unexpected error occurred"), sandbox=sandbox)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return answer


def _error_response(request: Request, error: HutongError, *, sandbox: bool) -> Response:
    """Answer with a page for people, or with a problem document for the page's script.

    A NotFound shows nothing of the request and none of the error's own text, so that a wrong token and an absent
    payment look the same.
    """
    status = error.http_status
    retry_after_s = error.retry_after_s if isinstance(error, (Unavailable, OutcomeUnknown)) else None
    if isinstance(error, payments.errors.AttemptInProgress):
        retry_after_s = error.wait_s
    if not _wants_page(request):
        if isinstance(error, NotFound):
            return problem_response(request, status, NotFound.code, "there is no such payment")
        is_internal = status >= HTTPStatus.INTERNAL_SERVER_ERROR and retry_after_s is None
        detail = "an unexpected error occurred" if is_internal else error.detail
        extensions = error.extensions
        if isinstance(error, payments.errors.AttemptInProgress):
            extensions = {**extensions, "text": in_progress(error, translations.of_request(request))}
        return problem_response(
            request, status, error.code, detail, param=error.param, retry_after_s=retry_after_s, extensions=extensions
        )
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    texts = translations.of_request(request)
    title, detail = texts.broken, texts.broken_detail
    if isinstance(error, NotFound):
        title, detail = texts.not_found, texts.not_found_detail
    elif isinstance(error, (Unavailable, OutcomeUnknown)):
        title, detail = texts.busy, texts.busy_detail
    elif isinstance(error, payments.errors.AttemptInProgress):
        title, detail = texts.refused, in_progress(error, texts)
    elif status < HTTPStatus.INTERNAL_SERVER_ERROR:
        title, detail = texts.refused, texts.refused_detail
    headers["content-language"] = texts.tag
    return HTMLResponse(page.render_message(title, detail, texts, sandbox=sandbox), status, headers)


def in_progress(error: payments.errors.AttemptInProgress, texts: translations.Translations) -> str:
    """Say which open order the payer may still pay, and for how long another method has to wait."""
    wallet = texts.wallets.get(error.wallet or "", error.wallet or "")
    if error.wait_s is None:
        return texts.in_progress_unknown.format(wallet=wallet)
    return texts.in_progress.format(wallet=wallet, minutes=-(-error.wait_s // 60))


def _wants_page(request: Request) -> bool:
    """Tell people from scripts: only a script requests a status or sends JSON."""
    return not request.url.path.endswith("/status") and "json" not in request.headers.get("content-type", "")
