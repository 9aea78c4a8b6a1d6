"""What a stream carries: the bytes of a message, its hash, and digests by which listeners find a loss."""

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
"""The type of messages that say what a stream has carried."""


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One message for a broker.

    Attributes:
        message_id: The event's; listeners know repetitions by it.
        key: What keeps its order: the object's id, or the stream's name for a digest.
        no: Its number in the stream; a digest has none.
        resent: It was asked for again.
        expires_s: After so long nobody needs it any more; None means never.
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
class DigestEntry:
    """An event with its number in its stream."""

    stream: str
    no: int
    event: RecordedEvent


def message(stream: str, no: int, event: RecordedEvent) -> bytes:
    """The JSON text of an event in its stream: the same bytes each time; `data` is the text that was recorded."""
    return orjson.dumps(
        {
            "id": ids.encode("evt", event.event_id),
            "stream": stream,
            "no": no,
            "type": event.type,
            "version": event.version,
            "object_id": str(event.object_id),
            "object_seq": event.object_seq,
            "merchant_id": ids.encode("mer", event.merchant_id),
            "created_at": event.created_at,
            "data": orjson.Fragment(event.data),
        },
        option=orjson.OPT_UTC_Z,
    )


def item_hash(body: bytes) -> bytes:
    """The SHA-256 of a message, 32 bytes."""
    return hashlib.sha256(body).digest()


def digest_hash(hashes: Iterable[bytes]) -> str:
    """The SHA-256, in hexadecimal, of the hashes of a range's messages joined in order of their numbers."""
    return hashlib.sha256(b"".join(hashes)).hexdigest()


def item(entry: DigestEntry, *, resent: bool = False) -> StreamItem:
    """The message of an event."""
    event = entry.event
    body = message(entry.stream, entry.no, event)
    name, key = ids.encode("evt", event.event_id), str(event.object_id)
    return StreamItem(name, entry.stream, event.type, key, body, entry.no, resent, recorded_at=event.created_at)


def digest(
    digest_id: UUID,
    stream: str,
    first: int,
    last: int,
    digested: str,
    *,
    now: datetime,
    answer: bool = False,
    expires_s: int | None = None,
) -> StreamItem:
    """A message that says what a stream has carried from one number to another.

    Args:
        digested: The range's `digest_hash`.
        answer: Somebody asked for it.
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
        "hash": digested,
        "created_at": now,
    }
    if answer:
        fields["answer"] = True
    body = orjson.dumps(fields, option=orjson.OPT_UTC_Z)
    return StreamItem(name, stream, DIGEST, stream, body, expires_s=expires_s)
