"""The messages of a stream: their bytes, their hashes, and the digests by which listeners notice a loss.

`item_hash` and `digest_hash` stand in `hutong.consumer.message` as well, on purpose: a consumer needs nothing else of
Hutong. A test compares the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from hutong import ids
from hutong.events.model import RecordedEvent

DIGEST = "stream.digest"
"""The type of a digest: a message that says what a stream has carried."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One message for a broker.

    Attributes:
        message_id: The event's id; listeners recognize repetitions by it.
        key: Messages of one key keep their order: the object's id, or the stream's name for a digest.
        no: The number in the stream; a digest has none.
        resent: A listener or an operator asked for it again.
        expires_s: The message is of no use after so many seconds; None means never.
    """

    message_id: str
    stream: str
    type: str
    key: str
    body: bytes
    no: int | None = None
    resent: bool = False
    expires_s: int | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """An event with its number in its stream."""

    stream: str
    no: int
    event: RecordedEvent


def message_body(stream: str, no: int, event: RecordedEvent) -> bytes:
    """Return the JSON text of an event in its stream: the same bytes each time, with `data` as it was recorded."""
    return orjson.dumps(
        {
            "id": event.name,
            "stream": stream,
            "no": no,
            "type": event.type,
            "version": event.version,
            "object_id": str(event.object_id),
            "object_seq": event.object_seq,
            "merchant_id": None if event.merchant_id is None else ids.encode("mer", event.merchant_id),
            "created_at": event.created_at,
            "data": orjson.Fragment(event.data),
        },
        option=orjson.OPT_UTC_Z,
    )


def item_hash(body: bytes) -> bytes:
    """Return the SHA-256 of a message, 32 bytes."""
    return hashlib.sha256(body).digest()


def digest_hash(hashes: Iterable[bytes]) -> str:
    """Return the SHA-256, in hexadecimal, of the hashes of a range's messages, joined in order of their numbers."""
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def event_item(entry: StreamEntry, *, resent: bool = False) -> StreamItem:
    """Return the message of an event."""
    event = entry.event
    body = message_body(entry.stream, entry.no, event)
    name, key = event.name, str(event.object_id)
    return StreamItem(name, entry.stream, event.type, key, body, entry.no, resent, recorded_at=event.created_at)


def digest_item(
    digest_id: UUID,
    stream: str,
    first: int,
    last: int,
    digest: str,
    *,
    now: datetime,
    answer: bool = False,
    expires_s: int | None = None,
) -> StreamItem:
    """Return a message that says what a stream has carried from one number to another.

    Args:
        digest: The `digest_hash` of the range.
        answer: The digest answers a request.
    """
    name = ids.encode("dig", digest_id)
    fields: dict[str, Any] = {
        "id": name,
        "type": DIGEST,
        "version": 1,
        "stream": stream,
        "from": first,
        "to": last,
        "count": last - first + 1,
        "hash": digest,
        "created_at": now,
    }
    if answer:
        fields["answer"] = True
    body = orjson.dumps(fields, option=orjson.OPT_UTC_Z)
    return StreamItem(name, stream, DIGEST, stream, body, expires_s=expires_s)
