"""The ids under which receivers know events, computed by another program than the platform's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from hutong.events import Event
from hutong.ids import encode

_last: Counter[UUID] = Counter()
_numbers: dict[UUID, int] = {}


def note(events: Iterable[Event]) -> None:
    """Note the numbers that events get among those of their objects, in order of recording; repetitions change none."""
    for event in events:
        if event.event_id in _numbers:
            continue
        _last[event.object_id] += 1
        _numbers[event.event_id] = _last[event.object_id]


def published_id(event: Event) -> str:
    """Return the public id of an event; of one that nobody noted, as the first of its object."""
    number = _numbers.get(event.event_id, 1)
    text = event.object_id.bytes + number.to_bytes(8, "big") + event.type.encode()
    digest = bytearray(hashlib.sha256(text).digest()[:16])
    key = event.event_id.bytes
    digest[6] = 0x80 | key[6] & 0x0F
    digest[7] = key[7] & 0xF0 | digest[7] & 0x0F
    digest[8] = 0x80 | digest[8] & 0x3F
    return encode("evt", UUID(bytes=bytes(digest)))
