"""The one strict reading of requests, which all servers share: JSON, named values, media types, origins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

from hutong.errors import InvalidParameter, InvalidRequest


class UnsupportedMediaType(InvalidRequest):
    """A body that is not declared as what the request takes."""

    code = "unsupported_media_type"
    http_status = 415


class InvalidJson(InvalidRequest):
    """A body that is not JSON, or that two parsers may read differently."""

    code = "invalid_json"


class ForeignOrigin(InvalidRequest):
    """A request that a page of another site sends in the name of a browser's user."""

    code = "foreign_origin"
    http_status = 403


_UNIQUE_HEADERS = frozenset(
    {b"authorization", b"content-type", b"idempotency-key", b"origin", b"sec-fetch-site", b"x-checkout-token"}
)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidJson(f"the body holds {name}, which is not a JSON number", param="body")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidJson("an object in the body has a field twice", param="body")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def decode_json(body: bytes) -> Any:
    """Decode a body that has one meaning.

    Errors:
        InvalidJson.
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except RecursionError:
        raise InvalidJson("the body is nested too deeply", param="body") from None
    except ValueError:  # not UTF-8, not JSON, or an integer of thousands of digits
        raise InvalidJson("the body is not valid JSON in UTF-8", param="body") from None


def refuse_doubled(names: Iterable[str]) -> None:
    """Refuse parameters of which one is sent twice.

    Errors:
        InvalidParameter: it names the parameter.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidParameter(f"the parameter `{name}` is sent twice", param=name)
        seen.add(name)


def refuse_doubled_headers(names: Iterable[bytes]) -> None:
    """Refuse a request that repeats a header of which our servers read one: two readers would take different ones.

    Args:
        names: As they were sent.

    Errors:
        InvalidRequest: it names the header.
    """
    seen: set[bytes] = set()
    for name in map(bytes.lower, names):
        if name in seen and name in _UNIQUE_HEADERS:
            header = name.decode().title()
            raise InvalidRequest(f"the header {header} is sent twice", param=header)
        seen.add(name)


def check_media_type(content_type: str, *allowed: str) -> str:
    """Return the media type of a body.

    Errors:
        UnsupportedMediaType: it is none of the allowed ones, or not in UTF-8.
    """
    media_type, _, rest = content_type.partition(";")
    name, _, charset = rest.strip().partition("=")
    declared = charset.strip('"').lower() if name.strip().lower() == "charset" else "utf-8"
    if media_type.strip().lower() not in allowed or declared not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(f"`Content-Type` is not {' or '.join(allowed)} in UTF-8", param="Content-Type")
    return media_type.strip().lower()


def refuse_foreign_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a page of another site makes a browser send. Programs send neither header.

    A form of a page without referrers comes from the origin `null`; then, as behind a proxy that changes `Host`, the
    browser's own verdict decides.

    Args:
        headers: By lower-case name.

    Errors:
        ForeignOrigin.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        is_own = site in ("same-origin", "none")
    else:
        origin = headers.get("origin")
        is_own = origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host"))
    if not is_own:
        raise ForeignOrigin("the request comes from a page of another site", param="Origin")
