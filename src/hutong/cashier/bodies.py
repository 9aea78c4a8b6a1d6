"""The small bodies that pages send."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from hutong.errors import InvalidRequest
from hutong.http_requests import refuse_doubled

FORM = "application/x-www-form-urlencoded"


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the body of a request.

    Errors:
        InvalidRequest: it is larger than `bytes_max`; the rest is not read.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise InvalidRequest(f"the body is larger than {bytes_max} bytes")
    return body


def read_form(body: bytes, *, fields_max: int) -> dict[str, str]:
    """Return the fields of a form, each of which is there once.

    Errors:
        InvalidRequest: it is no form, has more fields, or has one twice.
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=fields_max)
    except ValueError as error:
        raise InvalidRequest("the body is not a form", param="body") from error
    refuse_doubled(name for name, _ in pairs)
    return dict(pairs)
