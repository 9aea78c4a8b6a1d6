"""Streams of events: how far they are, what they hold, and telling a range of one again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from hutong import db
from hutong.errors import InvalidParameter, InvalidRequest, NotFound, Unavailable
from hutong.events.model import RecordedEvent
from hutong.events.statements import sql as _sql
from hutong.events.streams.messages import DigestEntry, StreamItem, digest, digest_hash, item, item_hash

RESEND_MAX = 10_000
"""How many numbers one request may ask for."""

PARTS_MAX = 1_000
BATCH = 1_000
"""Entries read and published at once."""

_CANCEL_LIMIT_S = 1.0
_NOT_CONFIRMED = "the broker did not confirm"
_FIELDS = ("event_id", "type", "version", "merchant_id", "object_id", "object_seq", "data", "created_at")


class Publisher(Protocol):
    """A connection to a broker."""

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        """Publish these at once; says of each, in order, whether the broker has confirmed that it keeps it.

        What is not confirmed may have arrived nevertheless. Never raises for what a broker may do.
        """
        ...


async def confirmed(calls: Iterable[Coroutine[Any, Any, object]], limit_s: float) -> list[bool]:
    """Run the calls that publish at once, and say of each whether it came to its end without an error.

    Args:
        limit_s: How long to wait while none ends; a broker that is slow but goes on is given twice as long in all.
    """
    tasks = [asyncio.create_task(call) for call in calls]
    late = set(tasks)
    deadline = time.monotonic() + 2 * limit_s
    while late and (left_s := deadline - time.monotonic()) > 0:
        ended, late = await asyncio.wait(late, timeout=min(limit_s, left_s))
        if not ended:
            break
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_CANCEL_LIMIT_S)
    return [task.done() and not task.cancelled() and task.exception() is None for task in tasks]


@dataclass(frozen=True, slots=True)
class Stream:
    """How far a stream is.

    Attributes:
        last_no: The last number given.
        published_no: All up to it are confirmed by the broker.
        digested_no: All up to it are covered by digests.
        waiting_since: When the first one not published was recorded; None if there is none.
    """

    stream: str
    last_no: int
    published_no: int
    digested_no: int
    digested_at: datetime | None
    waiting_since: datetime | None


async def list_streams(tx: db.Tx) -> list[Stream]:
    """All streams, by name."""
    return [Stream(**row) for row in await _sql.list_streams.fetch(tx)]


async def read_stream(tx: db.Tx, stream: str, first: int, last: int) -> list[DigestEntry]:
    """What a stream has from one number to another, both included, in order; without what was archived."""
    rows = await _sql.stream_entries.fetch(tx, stream, first, last)
    return [DigestEntry(stream, row["no"], RecordedEvent(**{name: row[name] for name in _FIELDS})) for row in rows]


async def resend(database: db.Database, publisher: Publisher, stream: str, first: int, last: int) -> int:
    """Publish a range again: the same bytes under the same ids, marked as sent again.

    Args:
        first, last: At most RESEND_MAX numbers, all published before.

    Returns:
        How many were published.

    Errors:
        InvalidParameter, NotFound: the range is not one, too long, not published yet, archived; no such stream.
        Unavailable: the broker did not confirm.
    """
    await _check_range(database, stream, first, last)
    for begin in range(first, last + 1, BATCH):
        found = await _range(database, stream, begin, min(begin + BATCH - 1, last))
        for wave in waves([item(entry, resent=True) for entry in found]):
            if not all(await publisher.publish(wave)):
                raise Unavailable(_NOT_CONFIRMED)
    return last - first + 1


async def send_digests(
    database: db.Database,
    publisher: Publisher,
    stream: str,
    first: int,
    last: int,
    *,
    parts: int,
    new_id: Callable[[], UUID],
    now: datetime,
) -> int:
    """Publish digests of a range in so many parts, so that a listener finds the part in which it differs.

    Args:
        parts: At most PARTS_MAX; no part is shorter than one number.

    Returns:
        How many were published. Errors as `resend`.
    """
    if not 1 <= parts <= PARTS_MAX:
        raise InvalidParameter(f"from 1 to {PARTS_MAX}", param="parts")
    await _check_range(database, stream, first, last)
    length = -(-(last - first + 1) // parts)
    made = []
    for begin in range(first, last + 1, length):
        end = min(begin + length - 1, last)
        hashes = []
        for start in range(begin, end + 1, BATCH):
            found = await _range(database, stream, start, min(start + BATCH - 1, end))
            hashes += [item_hash(item(entry).body) for entry in found]
        made.append(digest(new_id(), stream, begin, end, digest_hash(hashes), now=now, answer=True))
    if not all(await publisher.publish(made)):
        raise Unavailable(_NOT_CONFIRMED)
    return len(made)


async def answer_request(
    database: db.Database, publisher: Publisher, request: bytes, *, new_id: Callable[[], UUID], now: datetime
) -> int:
    """Do what a listener asks for: `{"kind": "resend" or "digest", "stream": …, "from": …, "to": …, "parts": …}`.

    Returns:
        How many messages were published.

    Errors:
        InvalidRequest: it cannot be understood; otherwise as `resend`.
    """
    try:
        asked = orjson.loads(request)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("not JSON") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("stream"), str):
        raise InvalidParameter("names no stream", param="stream")
    for name in ("from", "to"):
        if type(asked.get(name)) is not int:
            raise InvalidParameter("is a number", param=name)
    stream, first, last = asked["stream"], asked["from"], asked["to"]
    if asked.get("kind") == "resend":
        return await resend(database, publisher, stream, first, last)
    parts = asked.get("parts", 16)
    if asked.get("kind") != "digest":
        raise InvalidParameter("is resend or digest", param="kind")
    if type(parts) is not int:
        raise InvalidParameter("is a number", param="parts")
    return await send_digests(database, publisher, stream, first, last, parts=parts, new_id=new_id, now=now)


async def _check_range(database: db.Database, stream: str, first: int, last: int) -> None:
    if first < 1:
        raise InvalidParameter("numbers begin with 1", param="from")
    if last < first:
        raise InvalidParameter("lies before the beginning", param="to")
    if last - first >= RESEND_MAX:
        raise InvalidParameter(f"at most {RESEND_MAX} numbers at once", param="to")
    async with database.transaction() as tx:
        known = {one.stream: one for one in await list_streams(tx)}
    if stream not in known:
        raise NotFound("there is no such stream")
    if last > known[stream].published_no:
        raise InvalidParameter(f"the stream is published up to {known[stream].published_no}", param="to")


async def _range(database: db.Database, stream: str, first: int, last: int) -> list[DigestEntry]:
    async with database.transaction() as tx:
        found = await read_stream(tx, stream, first, last)
    if len(found) != last - first + 1:
        raise NotFound("some of these numbers were archived")
    return found


def waves(items: Sequence[StreamItem]) -> list[list[StreamItem]]:
    """Split so that each part has at most one item of a key, in order.

    Published one after the other, each confirmed before the next begins, a failure in the middle leaves nothing of an
    object behind what came after it.
    """
    parts: list[list[StreamItem]] = []
    seen: dict[str, int] = {}
    for one in items:
        wave = seen.get(one.key, 0)
        seen[one.key] = wave + 1
        if wave == len(parts):
            parts.append([])
        parts[wave].append(one)
    return parts
