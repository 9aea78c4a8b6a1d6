"""The entrance of every request: its id and its metrics, and the strict reading of its JSON.

Strict is: no duplicate names, no numbers that JSON does not have, no other media types, no converted values.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hutong import ids
from hutong.api.guesses import Guesses
from hutong.api.problems import as_http
from hutong.api.traces import Traces
from hutong.errors import InvalidParameter, InvalidRequest
from hutong.foreign_text import clean_text
from hutong.http_requests import (
    InvalidJson,
    check_media_type,
    decode_json,
    refuse_doubled,
    refuse_doubled_headers,
    refuse_foreign_origin,
)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_SECONDS = Histogram(
    "hutong_http_request_seconds",
    "Time to answer an HTTP request, by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class RequestObserver:
    """Gives each request an id (the caller's own if it is well formed), returns the id, and measures the request.

    Routes are matched on the path as it was sent: an encoded slash or line end is no other spelling of an address.
    Answers are not kept by caches unless they say so themselves. Guesses of keys and links are slowed, and what is
    denied leaves a trace; a channel's notifications have a log and a metric of their own.
    """

    def __init__(self, app: ASGIApp, *, identifiers: ids.Ids, guesses: Guesses, traces: Traces) -> None:
        self._traces = traces
        self._app = app
        self._ids = identifiers
        self._guesses = guesses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent_id.decode() if _REQUEST_ID.fullmatch(sent_id) else ids.encode("req", self._ids.new())
        scope["request_id"] = request_id
        scope["path"] = scope["raw_path"].decode("ascii")
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
                is_guess = status == 401 or (status == 404 and scope["path"].startswith("/pay/"))
                if (is_guess or status == 403) and not scope["path"].startswith("/channels/"):
                    self._traces.denied(scope, status)
                if is_guess:
                    await self._guesses.slow(scope["client"][0] if scope["client"] else "")
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            _SECONDS.labels(scope["method"], route, status).observe(time.perf_counter() - started)


class BodyTooLarge(InvalidRequest):
    """A body that is larger than any request needs."""

    code = "body_too_large"
    http_status = 413


BODY_LIMIT = 256 * 1024
_SAFE_METHODS = frozenset({"GET", "HEAD"})


class StrictRequest(Request):
    """A request whose body is bounded and whose JSON has one meaning."""

    async def body(self) -> bytes:
        """Read the body, up to the limit.

        Errors:
            HTTPException: caused by BodyTooLarge.
        """
        if not hasattr(self, "_body"):
            chunks: list[bytes] = []
            size = 0
            async for chunk in self.stream():
                size += len(chunk)
                if size > BODY_LIMIT:
                    error = BodyTooLarge(f"the body is larger than {BODY_LIMIT} bytes", param="body")
                    raise as_http(error) from error
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """Decode the body.

        Errors:
            HTTPException: caused by InvalidJson.
        """
        if not hasattr(self, "_json"):
            try:
                self._json = decode_json(await self.body())
            except InvalidJson as error:
                raise as_http(error) from error
        return self._json


class UnknownParameter(InvalidParameter):
    """A parameter that does not exist."""

    code = "unknown_parameter"


def _check_query(request: Request, names: set[str]) -> None:
    sent = [name for name, _ in request.query_params.multi_items()] if request.scope["query_string"] else []
    for name in sent:
        if name not in names:
            shown = name.encode("utf-8", "replace").decode()[:64]
            raise UnknownParameter(f"`{shown}` is not a parameter of this request", param=shown)
    refuse_doubled(sent)


def _refuse_body(request: Request) -> None:
    """Refuse a body where none is read: what it says would have no effect."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise InvalidRequest("the request has a body, and this operation takes none", param="body")


def _query_names(dependant: Dependant) -> set[str]:
    """Return the names of the query parameters of a route and of its dependencies."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query_names(inner) for inner in dependant.dependencies))


class StrictRoute(APIRoute):
    """A route that reads its body as a StrictRequest and refuses other media types and unknown parameters."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        names = _query_names(self.dependant)

        async def strict(request: Request) -> Response:
            _check_query(request, names)
            refuse_doubled_headers(name for name, _ in request.scope["headers"])
            if request.method not in _SAFE_METHODS:
                refuse_foreign_origin(request.headers)
            if takes_body:
                check_media_type(request.headers.get("content-type", ""), "application/json")
            else:
                _refuse_body(request)
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


BINARY = "application/octet-stream"
BINARY_BODY = {
    "requestBody": {
        "required": True,
        "content": {BINARY: {"schema": {"type": "string", "format": "binary"}, "example": "(the bytes of the file)"}},
    }
}
"""The description of a body that is a file."""


class UploadRoute(APIRoute):
    """A route whose body is a file: the operation checks its media type, reads the stream, and bounds it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        names = _query_names(self.dependant)

        async def strict(request: Request) -> Response:
            _check_query(request, names)
            refuse_doubled_headers(name for name, _ in request.scope["headers"])
            refuse_foreign_origin(request.headers)
            return await handler(request)

        return strict


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
"""Beyond these an instant has no id, or another time zone could not show it."""


def _instant(value: object) -> datetime:
    """Read an instant. It is kept in UTC: the same instant in another offset makes the same request."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("is not an RFC 3339 instant such as 2026-01-01T12:00:00Z")
    try:
        instant = datetime.fromisoformat(value.upper())
    except ValueError as error:
        raise ValueError("is not an instant that exists, such as 2026-01-01T12:00:00Z") from error
    if not _EARLIEST <= instant <= _LATEST:
        raise ValueError("is not between 1970 and 9998")
    return instant.astimezone(UTC)


Text = Annotated[str, AfterValidator(clean_text)]
OptionalText = Annotated[str, AfterValidator(lambda text: text and clean_text(text))]
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]


class RequestModel(BaseModel):
    """The body of a request: types are not converted, and unknown fields are refused."""

    model_config = ConfigDict(strict=True, extra="forbid")
