"""Messages, the progress of a consumer, and its policy: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

RANGE_MAX = 10_000
"""The most numbers of one request."""
PARTS = 16
"""The number of parts into which a differing range is split, until the parts are single messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event, as the source sent it.

    Attributes:
        no: Counts the stream's messages from 1 without a gap.
        object_seq: Counts the object's messages from 1 without a gap.
        data: The payload; see `docs/reference/events.md`.
        body: The bytes that were received; `hash` is their SHA-256.
        attempt: Counts the attempts to handle this message, from 1.
        corrects: A different message was received and handled under this number before, and the source has confirmed
            this one since. Later messages of the object may have been handled meanwhile.
    """

    stream: str
    no: int
    event_id: str
    type: str
    version: int
    object_id: str
    object_seq: int
    merchant_id: str | None
    created_at: str | None
    data: Mapping[str, Any]
    body: bytes
    hash: bytes
    attempt: int = 0
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Digest:
    """A report of the source about the messages of a range: the SHA-256 over their hashes in order."""

    stream: str
    first: int
    last: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that cannot be read, with the reason."""

    body: bytes
    hash: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The contents of a batch. `duplicates` had arrived before; `rejected` cannot be read and are parked."""

    new: int
    duplicates: int
    digests: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits for a person.

    Attributes:
        reference: The argument of `retry_parked` and `drop_parked`: `STREAM/NO`, or `rejected/HASH` for an unreadable
            message.
        behind: The messages of the same object that wait until this one is handled or dropped.
    """

    consumer: str
    reference: str
    event_id: str | None
    type: str | None
    object_id: str | None
    attempts: int
    reason: str
    received_at: datetime
    behind: int


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a consumer in one stream.

    Attributes:
        last_no: The highest number known to exist.
        seen_no: Up to this number no message is missing.
        done_no: Up to this number every message is handled.
        tidied_no: Up to this number handled messages have been deleted.
        waiting, parked: Messages that have arrived and are not handled.
        missing: Numbers that are requested; `lost` were given up.
    """

    consumer: str
    stream: str
    first_no: int
    last_no: int
    seen_no: int
    tidied_no: int
    done_no: int
    waiting: int
    parked: int
    missing: int
    lost: int


class Source(Protocol):
    """Receives a consumer's requests for missing messages. Answers arrive like all messages, later or never."""

    async def resend(self, stream: str, first: int, last: int) -> None:
        """Request the messages of a range again, at most 10,000."""
        ...

    async def digests(self, stream: str, first: int, last: int, parts: int) -> None:
        """Request the digests of a range, split into this many parts."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits and waits of a consumer.

    Attributes:
        batch: The most messages handled in one transaction, while all succeed.
        `tries`: The attempts to handle a message before it is parked.
        wait: The wait before the second attempt; it doubles each time, up to `wait_max`.
        limit: The longest time for the handler to handle one message.
        lease: The time after which another process takes over a message from one that died.
        size_max: The bytes of a message above which it is parked unread.
        jump_max: A number further than this above the highest known one is rejected.
        patience: The time for which a missing number may simply be late before it is requested.
        repeat_max: The longest wait between two requests for the same numbers.
        give_up: The time after which a missing number is given up, and nothing waits for it any longer.
        from_start: Handle a new stream from number 1; otherwise from the lowest number in the first batch.
    """

    batch: int = 200
    tries: int = 5
    wait: timedelta = timedelta(seconds=1)
    wait_max: timedelta = timedelta(minutes=5)
    limit: timedelta = timedelta(seconds=30)
    lease: timedelta = timedelta(seconds=60)
    size_max: int = 256 * 1024
    jump_max: int = 10_000_000
    patience: timedelta = timedelta(seconds=2)
    repeat_max: timedelta = timedelta(minutes=5)
    give_up: timedelta = timedelta(hours=24)
    from_start: bool = True

    def repeat_after(self, asked: int) -> timedelta:
        """Return the wait after so many requests; before the first one, the time for which a number may be late."""
        return min(self.repeat_max, self.patience * (1 << min(asked, 30)))
