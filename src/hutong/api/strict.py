"""Reading JSON strictly: no doubled keys, no numbers that JSON does not have, no other media types."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from hutong.api.problem import as_http
from hutong.errors import InvalidRequest


class UnsupportedMediaType(InvalidRequest):
    """The body is not declared as JSON."""

    code = "unsupported_media_type"
    http_status = 415


class BodyTooLarge(InvalidRequest):
    """The body is larger than any request needs to be."""

    code = "body_too_large"
    http_status = 413


class InvalidJson(InvalidRequest):
    """The body is not JSON, or JSON that two readers may understand differently."""

    code = "invalid_json"


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number", param="body")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJson("an object names a field twice", param="body")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


BODY_LIMIT = 256 * 1024


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
                    error = BodyTooLarge(f"a body has at most {BODY_LIMIT} bytes", param="body")
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
                self._json = _DECODER.decode((await self.body()).decode("utf-8"))
            except InvalidJson as error:
                raise as_http(error) from error
            except RecursionError:
                deep = InvalidJson("the body is nested too deeply", param="body")
                raise as_http(deep) from deep
            except ValueError:  # not UTF-8, not JSON, or an integer of thousands of digits
                wrong = InvalidJson("the body is not JSON in UTF-8", param="body")
                raise as_http(wrong) from wrong
        return self._json


class StrictRoute(APIRoute):
    """A route that reads bodies with StrictRequest and takes JSON only."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        takes_body = self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_body:
                media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                if media_type != "application/json":
                    raise UnsupportedMediaType("send application/json", param="Content-Type")
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
