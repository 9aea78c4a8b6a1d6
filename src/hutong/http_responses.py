"""Problem documents (RFC 9457) and security headers: the parts of HTTP answers that API and cashier share."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.requests import Request
from starlette.responses import Response

PROBLEM_MEDIA_TYPE = "application/problem+json"
REPLAYED: Mapping[str, str] = {"Idempotent-Replayed": "true"}
"""The header of an answer that was given before, under the same idempotency key."""


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    param: str | None = None,
    retry_after_s: int | None = None,
    extensions: Mapping[str, object] | None = None,
) -> Response:
    """Build the answer to a request that failed: a problem document that carries the request's id.

    Args:
        extensions: Members that only this error has.
    """
    document = {
        "type": f"urn:hutong:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "param": param,
        "request_id": request.scope.get("request_id", ""),
        **(extensions or {}),
    }
    headers = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(document), status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def security_headers(content_security_policy: str) -> Mapping[str, str]:
    """Return the headers of a page that people open: its policy, and nothing for foreign sites to read or embed."""
    return {
        "content-security-policy": content_security_policy,
        "referrer-policy": "no-referrer",  # an address may hold a token
        "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
