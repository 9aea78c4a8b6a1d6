"""Messages read from bytes. Nothing that arrives raises here: an unreadable message is a value too.

`item_hash` and `digest_hash` stand in `hutong.events.streams.messages` as well, on purpose: this package is
free-standing and needs nothing else of Hutong. A test compares the two.
"""

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
    """The reason why a message cannot be read; it never leaves this module."""


def read(body: bytes) -> Message | Digest | Reject:
    """Read the bytes of a message.

    Returns:
        A message or a digest if the bytes are a JSON object with the fields of one, otherwise a reject with the reason.
    """
    digest = hashlib.sha256(body).digest()
    try:
        fields = orjson.loads(body)
        if not isinstance(fields, dict):
            raise _Unreadable("is not a JSON object")
        if fields.get("type") == DIGEST:
            return _read_digest(fields)
        return _read_message(fields, body, digest)
    except orjson.JSONDecodeError:
        return Reject(body, digest, "is not JSON")
    except _Unreadable as error:
        return Reject(body, digest, str(error))


def item_hash(body: bytes) -> bytes:
    """Return the SHA-256 of a message's bytes."""
    return hashlib.sha256(body).digest()


def digest_hash(hashes: Iterable[bytes]) -> bytes:
    """Return the SHA-256 over the hashes of a range's messages, in order of their numbers."""
    return hashlib.sha256(b"".join(hashes)).digest()


def _read_message(fields: dict[str, Any], body: bytes, digest: bytes) -> Message:
    data = fields.get("data")
    if not isinstance(data, dict):
        raise _Unreadable("data is not an object")
    return Message(
        stream=_text(fields, "stream"),
        no=_number(fields, "no"),
        event_id=_text(fields, "id"),
        type=_text(fields, "type"),
        version=_number(fields, "version"),
        object_id=_text(fields, "object_id"),
        object_seq=_number(fields, "object_seq"),
        merchant_id=_text(fields, "merchant_id") if fields.get("merchant_id") is not None else None,
        created_at=_text(fields, "created_at") if fields.get("created_at") is not None else None,
        data=data,
        body=body,
        hash=digest,
    )


def _read_digest(fields: dict[str, Any]) -> Digest:
    first, last, count = (_number(fields, name) for name in ("from", "to", "count"))
    if _number(fields, "version") != 1:
        raise _Unreadable("version of a digest is not 1")
    if last - first + 1 != count or not 0 < count <= _DIGEST_MAX:
        raise _Unreadable("from, to and count do not fit")
    try:
        value = bytes.fromhex(_text(fields, "hash"))
    except ValueError as error:
        raise _Unreadable("hash is not hexadecimal") from error
    if len(value) != hashlib.sha256().digest_size:
        raise _Unreadable("hash is no SHA-256")
    return Digest(_text(fields, "stream"), first, last, value)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX or "\x00" in value:
        raise _Unreadable(f"{name} is not a text of 1 to {_NAME_MAX} characters")
    return value


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _NO_MAX:
        raise _Unreadable(f"{name} is not a number from 1 up")
    return value
