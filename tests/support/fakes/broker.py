"""A broker in memory that may refuse, stall, or be away; and checks of what one was told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from hutong.errors import Unavailable
from hutong.events import DIGEST, Event
from hutong.events.streams.messages import StreamItem
from support.event_ids import note, published_id


class MemoryBroker:
    """Keeps what it is told to keep and confirms what it is told to; `dies` ends the publisher in between."""

    def __init__(self) -> None:
        self.kept: list[StreamItem] = []
        self.batches: list[list[StreamItem]] = []
        self.up = True
        self.keeps: Callable[[StreamItem], bool] = lambda _: True
        self.confirms: Callable[[StreamItem], bool] = lambda _: True
        self.request: Any = None
        self.connections = 0
        self.dies = False

    @asynccontextmanager
    async def connect(self, request: Any) -> AsyncIterator[MemoryBroker]:
        if not self.up:
            raise Unavailable("the broker does not answer")
        self.request = request
        self.connections += 1
        yield self

    async def publish(self, items: Sequence[StreamItem]) -> list[bool]:
        assert items
        self.batches.append(list(items))
        if not self.up:
            return [False] * len(items)
        if self.dies:
            self.kept += items
            raise asyncio.CancelledError
        keeps = [self.keeps(item) for item in items]
        self.kept += [item for item, kept in zip(items, keeps, strict=True) if kept]
        return [kept and self.confirms(item) for item, kept in zip(items, keeps, strict=True)]

    def bodies(self) -> list[dict[str, Any]]:
        return [orjson.loads(item.body) for item in self.kept if item.type != DIGEST]

    def digests(self) -> list[dict[str, Any]]:
        return [orjson.loads(item.body) for item in self.kept if item.type == DIGEST]


def check(messages: Iterable[tuple[dict[str, Any], bytes]], expected: set[str]) -> int:
    """Nothing is lost or made up, repetitions are the same bytes, first arrivals of an object are in order.

    Args:
        told: Parsed and raw messages in order of arrival, without digests.
        expected: The ids of the events.

    Returns:
        How many were repetitions.
    """
    bodies: dict[str, bytes] = {}
    numbers: dict[tuple[str, int], str] = {}
    sequence: dict[str, int] = {}
    repeated = 0
    for parsed, raw in messages:
        name = parsed["id"]
        if name in bodies:
            assert bodies[name] == raw
            repeated += 1
            continue
        bodies[name] = raw
        assert numbers.setdefault((parsed["stream"], parsed["no"]), name) == name
        assert parsed["object_seq"] == sequence.get(parsed["object_id"], 0) + 1, "out of order"
        sequence[parsed["object_id"]] = parsed["object_seq"]
    assert set(bodies) == expected
    for stream in {stream for stream, _ in numbers}:
        found = sorted(no for at, no in numbers if at == stream)
        assert found == list(range(1, len(found) + 1))
    return repeated


def check_digests(digests: Iterable[dict[str, Any]], bodies: dict[tuple[str, int], bytes]) -> None:
    """Each says what its range is; together they leave nothing out."""
    upto: dict[str, int] = {}
    for found in digests:
        first, last, stream = found["from"], found["to"], found["stream"]
        hashes = b"".join(hashlib.sha256(bodies[stream, no]).digest() for no in range(first, last + 1))
        assert found["hash"] == hashlib.sha256(hashes).hexdigest()
        assert found["count"] == last - first + 1
        assert first <= upto.get(stream, 0) + 1
        upto[stream] = max(last, upto.get(stream, 0))
    assert upto == {stream: max(no for at, no in bodies if at == stream) for stream, _ in bodies}


def names(made: Sequence[Event]) -> set[str]:
    """Return the ids of all events of some objects, given in order of recording."""
    note(made)
    return {published_id(event) for event in made}
