"""The middleware around every request: its id and its metrics."""

from __future__ import annotations

import re
import time

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hutong import ids

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_SECONDS = Histogram(
    "hutong_http_request_seconds",
    "Time to answer an HTTP request, by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class RequestObserver:
    """Gives each request an id (the caller's own if it is well formed), returns the id, and measures the request."""

    def __init__(self, app: ASGIApp, *, identifiers: ids.Ids) -> None:
        self._app = app
        self._ids = identifiers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = sent_id.decode() if _REQUEST_ID.fullmatch(sent_id) else ids.encode("req", self._ids.new())
        scope["request_id"] = request_id
        status = 500
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            _SECONDS.labels(scope["method"], route, status).observe(time.perf_counter() - started)
