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
from hutong.http_responses import PROBLEM_MEDIA_TYPE, problem_response
from hutong.telemetry import get_logger

_log = get_logger(__name__)

_KINDS = {
    "missing": ("missing_parameter", "is required"),
    "extra_forbidden": ("unknown_parameter", "is not a field of this request"),
}
_STATUS_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


class Problem(BaseModel):
    """What every error answer looks like."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:hutong:error:invalid_parameter",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "detail": "amount_minor: Input should be greater than or equal to 1",
                    "code": "invalid_parameter",
                    "param": "amount_minor",
                    "request_id": "req_01kas0000000000000000000aa",
                }
            ]
        }
    )

    type: str = Field(description="A URN that holds the code.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One sentence for a person.")
    code: str = Field(description="Stable name of the error, for programs.")
    param: str | None = Field(description="The field, header or parameter at fault.")
    request_id: str = Field(description="Name this when asking about the request.")


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.HutongError)
    if isinstance(error, errors.InvariantBroken):
        _log.critical("invariant_broken", reason=error.detail)
        return problem_response(request, 500, error.code, "the books disagree; a person has been called")
    retry_after_s = error.retry_after_s if isinstance(error, errors.Unavailable) else None
    return problem_response(
        request, error.http_status, error.code, error.detail, param=error.param, retry_after_s=retry_after_s
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if place[0] == "header":
        place = [part.title() for part in place]
    if first["type"] == "json_invalid":
        return problem_response(
            request, 400, "invalid_json", f"the body is not JSON: {first['ctx']['error']}", param="body"
        )
    param = ".".join(place[1:]) or place[0]
    code, text = _KINDS.get(first["type"], ("invalid_parameter", first["msg"]))
    return problem_response(request, 422, code, _printable(f"{param}: {text}"), param=_printable(param))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if isinstance(error.__cause__, errors.HutongError):
        return await _expected(request, error.__cause__)
    code = _STATUS_CODES.get(error.status_code, "invalid_request")
    answer = problem_response(request, error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route of this path only.
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    routes: Sequence[APIRoute] = request.app.state.routes
    return {
        method for route in routes if route.path_regex.match(request.scope["path"]) for method in route.methods or ()
    }


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected_error", path=request.url.path, exc_info=error)
    answer = problem_response(request, 500, "internal_error", "something went wrong here; it has been logged")
    answer.headers["X-Request-Id"] = request.scope.get("request_id", "")  # this answer passes no middleware
    return answer


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:512]


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make an application answer every error with a problem document."""
    app.state.routes = routes
    app.add_exception_handler(errors.HutongError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of error answers."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def as_http(error: errors.HutongError) -> HTTPException:
    """Wrap an error so that it survives FastAPI's reading of bodies; raise it `from` the error."""
    return HTTPException(error.http_status, error.detail)
