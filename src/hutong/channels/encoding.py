"""Strict decoding that channels share: each message has one reading, and each byte sequence one spelling."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from hutong.channels.errors import NotAuthentic


def decode_base64(value: str) -> bytes:
    """Decode base64; of the several spellings of the same bytes only the canonical one is accepted.

    Errors:
        ValueError: not base64, or not its canonical spelling.
    """
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(decoded).decode() != value:
        raise ValueError("not canonical base64")
    return decoded


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Errors:
        NotAuthentic: "unreadable".
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotAuthentic("unreadable") from None
    if not isinstance(value, dict):
        raise NotAuthentic("unreadable")
    return value
