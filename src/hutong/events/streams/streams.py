"""Streams of events: their progress, their entries, and ranges that are published again."""

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
from hutong.events.outbox import read_event
from hutong.events.statements import sql
from hutong.events.streams.messages import StreamEntry, StreamItem, digest_hash, digest_item, event_item, item_hash

RESEND_MAX = 10_000
"""The most numbers that one request may ask for."""

PARTS_MAX = 1_000
BATCH = 1_000
"""The most entries read and published at once."""

_CANCEL_LIMIT_S = 1.0
_NOT_CONFIRMED = "the broker did not confirm"


class Publisher(Protocol):
    """A connection to a broker."""

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        """Publish items at once, and return for each, in order, whether the broker confirmed that it keeps it.

        An item that is not confirmed may have arrived nevertheless. Never raises for a failure of the broker.
        """
        ...


async def confirm_each(calls: Iterable[Coroutine[Any, Any, object]], limit_s: float) -> list[bool]:
    """Run calls that publish, all at once, and return for each whether it ended without an error.

    Args:
        limit_s: The longest wait while no call ends; a broker that is slow but answers has twice as long in all.
    """
    tasks = [asyncio.create_task(call) for call in calls]
    running = set(tasks)
    deadline = time.monotonic() + 2 * limit_s
    while running and (left_s := deadline - time.monotonic()) > 0:
        ended, running = await asyncio.wait(running, timeout=min(limit_s, left_s))
        if not ended:
            break
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=_CANCEL_LIMIT_S)
    return [task.done() and not task.cancelled() and task.exception() is None for task in tasks]


@dataclass(frozen=True, slots=True)
class Stream:
    """The progress of a stream.

    Attributes:
        last_no: The last number given.
        published_no: All numbers up to it are confirmed by the broker.
        digested_no: All numbers up to it are covered by digests.
        waiting_since: When the first unpublished event was recorded; None if there is none.
    """

    stream: str
    last_no: int
    published_no: int
    digested_no: int
    digested_at: datetime | None
    waiting_since: datetime | None


async def list_streams(tx: db.Tx) -> list[Stream]:
    """Return all streams, by name."""
    return [Stream(**row) for row in await sql.list_streams.fetch(tx)]


async def read_stream(tx: db.Tx, stream: str, first: int, last: int) -> list[StreamEntry]:
    """Return the entries of a stream from one number to another, both included, in order, without archived ones."""
    rows = await sql.stream_entries.fetch(tx, stream, first, last)
    return [StreamEntry(stream, row["no"], read_event(row)) for row in rows]


async def resend(database: db.Database, publisher: Publisher, stream: str, first: int, last: int) -> int:
    """Publish a range again: the same bytes under the same ids, marked as resent.

    Args:
        first, last: At most RESEND_MAX numbers, all published before.

    Returns:
        The number of messages published.

    Errors:
        InvalidParameter, NotFound: the range is empty, too long, not yet published or archived; no such stream.
        Unavailable: the broker did not confirm.
    """
    await _check_range(database, stream, first, last)
    for begin in range(first, last + 1, BATCH):
        entries = await _read_range(database, stream, begin, min(begin + BATCH - 1, last))
        for wave in waves([event_item(entry, resent=True) for entry in entries]):
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
    """Publish digests of the parts of a range, so that a listener finds the part that differs.

    Args:
        parts: At most PARTS_MAX; no part is shorter than one number.

    Returns:
        The number of digests published. Errors as for `resend`.
    """
    if not 1 <= parts <= PARTS_MAX:
        raise InvalidParameter(f"parts must be from 1 to {PARTS_MAX}", param="parts")
    await _check_range(database, stream, first, last)
    length = -(-(last - first + 1) // parts)
    digests = []
    for begin in range(first, last + 1, length):
        end = min(begin + length - 1, last)
        hashes = []
        for start in range(begin, end + 1, BATCH):
            entries = await _read_range(database, stream, start, min(start + BATCH - 1, end))
            hashes += [item_hash(event_item(entry).body) for entry in entries]
        digests.append(digest_item(new_id(), stream, begin, end, digest_hash(hashes), now=now, answer=True))
    if not all(await publisher.publish(digests)):
        raise Unavailable(_NOT_CONFIRMED)
    return len(digests)


async def answer_request(
    database: db.Database, publisher: Publisher, request: bytes, *, new_id: Callable[[], UUID], now: datetime
) -> int:
    """Answer a listener: `{"kind": "resend" or "digest", "stream": …, "from": …, "to": …, "parts": …}`.

    Returns:
        The number of messages published.

    Errors:
        InvalidRequest: the request cannot be understood; otherwise as for `resend`.
    """
    try:
        fields = orjson.loads(request)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("the request is not JSON") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("stream"), str):
        raise InvalidParameter("stream must be the name of a stream", param="stream")
    for name in ("from", "to"):
        if type(fields.get(name)) is not int:
            raise InvalidParameter(f"{name} must be a number", param=name)
    stream, first, last = fields["stream"], fields["from"], fields["to"]
    if fields.get("kind") == "resend":
        return await resend(database, publisher, stream, first, last)
    parts = fields.get("parts", 16)
    if fields.get("kind") != "digest":
        raise InvalidParameter("kind must be resend or digest", param="kind")
    if type(parts) is not int:
        raise InvalidParameter("parts must be a number", param="parts")
    return await send_digests(database, publisher, stream, first, last, parts=parts, new_id=new_id, now=now)


async def _check_range(database: db.Database, stream: str, first: int, last: int) -> None:
    if first < 1:
        raise InvalidParameter("from must be at least 1", param="from")
    if last < first:
        raise InvalidParameter("to must not be less than from", param="to")
    if last - first >= RESEND_MAX:
        raise InvalidParameter(f"to must be less than {RESEND_MAX} after from", param="to")
    async with database.transaction() as tx:
        by_name = {entry.stream: entry for entry in await list_streams(tx)}
    if stream not in by_name:
        raise NotFound("no stream has this name")
    published_no = by_name[stream].published_no
    if last > published_no:
        raise InvalidParameter(f"to must not be greater than {published_no}, the last published number", param="to")


async def _read_range(database: db.Database, stream: str, first: int, last: int) -> list[StreamEntry]:
    async with database.transaction() as tx:
        entries = await read_stream(tx, stream, first, last)
    if len(entries) != last - first + 1:
        raise NotFound("some of these numbers are archived")
    return entries


def waves(items: Sequence[StreamItem]) -> list[list[StreamItem]]:
    """Split items so that each part has at most one item of a key, in order.

    When the parts are published one after the other, each confirmed before the next begins, a failure in the middle
    leaves no message of an object behind a later one of the same object.
    """
    parts: list[list[StreamItem]] = []
    counts: dict[str, int] = {}
    for item in items:
        wave = counts.get(item.key, 0)
        counts[item.key] = wave + 1
        if wave == len(parts):
            parts.append([])
        parts[wave].append(item)
    return parts
