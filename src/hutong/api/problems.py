"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response

from hutong import errors
from hutong.api.error_codes import ERROR_CODES
from hutong.api.schemas.open_names import ErrorCode, PaymentMethod, Wallet
from hutong.field_errors import field_of, sentence
from hutong.http_responses import PROBLEM_MEDIA_TYPE, REPLAYED, problem_response
from hutong.telemetry import get_logger

_log = get_logger(__name__)

_VALIDATION_CODES = {"missing": "missing_parameter", "extra_forbidden": "unknown_parameter"}
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_STATUS_DETAILS = {
    404: "nothing has this address",
    405: "this address does not take the method of the request; the header `Allow` lists those that it takes",
}


class RunningOrder(BaseModel):
    """An order that can still be paid, for which another method has to wait."""

    method: PaymentMethod | None = Field(description="The method of its attempt.")
    wallet: Wallet | None = Field(description="The brand by which payers know that method.")
    wait_s: int | None = Field(description="In how many seconds it ends at the latest; null if that is unknown.")


class Problem(BaseModel):
    """The body of every error answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:hutong:error:invalid_parameter",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "`amount_minor` must be at least 1",
                    "code": "invalid_parameter",
                    "param": "amount_minor",
                    "request_id": "req_01kas0000000000000000000aa",
                }
            ]
        }
    )

    type: str = Field(description="A URN that ends with the code.")
    title: str = Field(description="The HTTP status as text.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One sentence for people.")
    code: ErrorCode
    param: str | None = Field(description="The field, header or parameter at fault.")
    request_id: str = Field(description="Quote this id in questions about the request.")
    methods: list[PaymentMethod] | None = Field(
        default=None, description="With `method_unknown` alone: the payment methods that exist."
    )
    running: RunningOrder | None = Field(
        default=None, description="With `attempt_in_progress` alone: the order that can still be paid."
    )


async def _answer_expected_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.HutongError)
    if isinstance(error, errors.InvariantBroken):
        _log.critical("invariant_broken", reason=error.detail)
        return problem_response(request, 500, error.code, "an accounting check failed; an operator has been alerted")
    retry_after_s = error.retry_after_s if isinstance(error, (errors.Unavailable, errors.OutcomeUnknown)) else None
    answer = problem_response(
        request,
        error.http_status,
        error.code,
        error.detail,
        param=error.param,
        retry_after_s=retry_after_s,
        extensions=error.extensions,
    )
    if error.is_replayed:
        answer.headers.update(REPLAYED)
    return answer


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem_response(
            request, 400, "invalid_json", f"the body is not valid JSON: {first['ctx']['error']}", param="body"
        )
    code = _VALIDATION_CODES.get(first["type"], "invalid_parameter")
    return problem_response(request, 422, code, _printable(sentence(first)), param=_printable(field_of(first["loc"])))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if isinstance(error.__cause__, errors.HutongError):
        return await _answer_expected_error(request, error.__cause__)
    code = _STATUS_CODES.get(error.status_code, "invalid_request")
    answer = problem_response(request, error.status_code, code, _STATUS_DETAILS.get(error.status_code, error.detail))
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route of this path only.
        answer.headers["Allow"] = ", ".join(sorted(_allowed_methods(request)))
    return answer


def _allowed_methods(request: Request) -> set[str]:
    routes: Sequence[APIRoute] = request.app.state.routes
    return {
        method for route in routes if route.path_regex.match(request.scope["path"]) for method in route.methods or ()
    }


async def _answer_unexpected_error(request: Request, error: Exception) -> Response:
    _log.error("unexpected_error", path=request.url.path, exc_info=error)
    answer = problem_response(request, 500, "internal_error", "an unexpected error occurred; it has been logged")
    answer.headers["X-Request-Id"] = request.scope.get("request_id", "")  # this answer passes no middleware
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:512]


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make the application answer every error with a problem document."""
    app.state.routes = routes
    app.add_exception_handler(errors.HutongError, _answer_expected_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(StarletteHTTPException, _answer_http_exception)
    app.add_exception_handler(Exception, _answer_unexpected_error)


def responses(*statuses: int, codes: str = "") -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of error answers.

    Args:
        codes: The codes, separated by blanks, that belong to what the operation does. Those that any operation may
            answer with, such as `invalid_parameter` and `unavailable`, follow from the statuses.
    """
    own: dict[int, list[str]] = {}
    for code in codes.split():
        own.setdefault(ERROR_CODES[code].status, []).append(code)
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}},
            OWN_CODES: own.get(status, []),
        }
        for status in sorted({*statuses, *own})
    }


def replayed(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of answers that may be repeated under an idempotency key."""
    text = "`true` if this is the first answer under your `Idempotency-Key`, given again."
    header = {"description": text, "schema": {"type": "string", "const": "true"}}
    return {status: {"headers": dict.fromkeys(REPLAYED, header)} for status in statuses}


OWN_CODES = "x-codes"
"""Where a route's entry has the codes of its own; the finished description has an example of each instead."""

_PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def as_http(error: errors.HutongError) -> HTTPException:
    """Wrap an error so that it survives FastAPI's reading of bodies; raise it `from` the error."""
    return HTTPException(error.http_status, error.detail)
