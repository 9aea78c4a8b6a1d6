"""Validation of a channel's address in the credentials of an account."""

from __future__ import annotations

from pydantic import ValidationInfo


def after_scheme(value: str, info: ValidationInfo) -> str:
    """Return the part after the scheme, which must be https: without TLS anybody could answer. A sandbox may use http.

    Errors:
        ValueError: another scheme.
    """
    sandbox = bool((info.context or {}).get("sandbox"))
    scheme, _, rest = value.partition("://")
    if scheme != "https" and not (sandbox and scheme == "http"):
        raise ValueError("must start with https:// (http:// is for sandbox accounts)")
    return rest


def base_url(value: str, info: ValidationInfo) -> str:
    """Return a checked address that is a scheme and a host alone.

    Errors:
        ValueError: it is not.
    """
    rest = after_scheme(value, info)
    if not rest or any(character in rest for character in "/?#@ ") or not rest.isascii():
        raise ValueError("must be a scheme and a host, without a path")
    return value
