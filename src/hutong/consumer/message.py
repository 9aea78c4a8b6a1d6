"""Bytes to messages. Nothing that comes in raises here: what cannot be read is a value too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from hutong.consumer.model import Digest, Message, Reject

DIGEST = "stream.digest"
_NAME_MAX = 200
_NO_MAX = 2**62
_DIGEST_MAX = 1_000_000


class _Unreadable(Exception):
    """Never leaves this module."""


def read(body: bytes) -> Message | Digest | Reject:
    """What these bytes say.

    Returns:
        A message or a digest if the bytes are a JSON object with the fields of one, else a reject with the reason.
    """
    digest = hashlib.sha256(body).digest()
    try:
        found = orjson.loads(body)
        if not isinstance(found, dict):
            raise _Unreadable("is not a JSON object")
        if found.get("type") == DIGEST:
            return _digest(found)
        return _message(found, body, digest)
    except orjson.JSONDecodeError:
        return Reject(body, digest, "is not JSON")
    except _Unreadable as error:
        return Reject(body, digest, str(error))


def item_hash(body: bytes) -> bytes:
    """The SHA-256 of a message's bytes."""
    return hashlib.sha256(body).digest()


def digest_hash(hashes: Iterable[bytes]) -> bytes:
    """The SHA-256 over the hashes of a range's messages, in order of their numbers."""
    return hashlib.sha256(b"".join(hashes)).digest()


def _message(found: dict[str, Any], body: bytes, digest: bytes) -> Message:
    data = found.get("data")
    if not isinstance(data, dict):
        raise _Unreadable("data is not an object")
    return Message(
        stream=_text(found, "stream"),
        no=_number(found, "no"),
        event_id=_text(found, "id"),
        type=_text(found, "type"),
        version=_number(found, "version"),
        object_id=_text(found, "object_id"),
        object_seq=_number(found, "object_seq"),
        merchant_id=_text(found, "merchant_id") if found.get("merchant_id") is not None else None,
        created_at=_text(found, "created_at") if found.get("created_at") is not None else None,
        data=data,
        body=body,
        hash=digest,
    )


def _digest(found: dict[str, Any]) -> Digest:
    first, last, count = (_number(found, name) for name in ("from", "to", "count"))
    if _number(found, "version") != 1:
        raise _Unreadable("version of a digest is not 1")
    if last - first + 1 != count or not 0 < count <= _DIGEST_MAX:
        raise _Unreadable("from, to and count do not fit")
    try:
        value = bytes.fromhex(_text(found, "hash"))
    except ValueError as error:
        raise _Unreadable("hash is not hexadecimal") from error
    if len(value) != hashlib.sha256().digest_size:
        raise _Unreadable("hash is no SHA-256")
    return Digest(_text(found, "stream"), first, last, value)


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX or "\x00" in value:
        raise _Unreadable(f"{name} is not a text of 1 to {_NAME_MAX} characters")
    return value


def _number(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _NO_MAX:
        raise _Unreadable(f"{name} is not a number from 1 up")
    return value
