"""What may stand as a channel's address in the credentials of an account."""

from __future__ import annotations

from pydantic import ValidationInfo


def after_scheme(value: str, info: ValidationInfo) -> str:
    """What follows the scheme, which is https: without TLS answers could be anybody's. A sandbox may use http."""
    sandbox = bool((info.context or {}).get("sandbox"))
    scheme, _, rest = value.partition("://")
    if scheme != "https" and not (sandbox and scheme == "http"):
        raise ValueError("must start with https:// (http:// is for sandbox accounts)")
    return rest


def base_url(value: str, info: ValidationInfo) -> str:
    """A scheme and a host, as they came."""
    rest = after_scheme(value, info)
    if not rest or any(character in rest for character in "/?#@ ") or not rest.isascii():
        raise ValueError("must be a scheme and a host, without a path")
    return value
