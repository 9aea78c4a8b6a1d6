"""What comes in, what is known of it, and how patient a consumer is: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

RANGE_MAX = 10_000
"""Numbers that one request may name."""
PARTS = 16
"""Into how many parts a range that differs is split, until the parts are single messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event, as the source sent it.

    Attributes:
        no: Counts the stream's messages from 1 without a gap.
        object_seq: Counts the object's messages from 1 without a gap.
        data: The payload, as `docs/reference/events.md` says.
        body: The bytes that were received; `hash` is their SHA-256.
        attempt: Counts the tries of this message, from 1.
        corrects: A different message was received, and handled, under this number before; the source has said since
            that this one is right. Later messages of the object may have been handled meanwhile.
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
    """What the source says it sent under the numbers of a range: the SHA-256 over their hashes in order."""

    stream: str
    first: int
    last: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """What cannot be read, and why."""

    body: bytes
    hash: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was in a batch. `duplicates` were known already; `rejected` cannot be read and are parked."""

    new: int
    duplicates: int
    digests: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits for a person.

    Attributes:
        reference: Names it to `retry_parked` and `drop_parked`: `STREAM/NO`; `rejected/HASH` for what cannot be read.
        behind: How many messages of the same object wait until it is done or dropped.
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
    """What a consumer knows of one stream.

    Attributes:
        last_no: The highest number known to exist.
        seen_no: Up to it nothing is missing.
        done_no: Up to it everything is done.
        tidied_no: Up to it what was done has been deleted.
        waiting, parked: Messages that are here and not done.
        missing: Numbers that are asked for; `lost` were given up.
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
    """Where a consumer asks for what it misses. Answers come like all messages, some time later or never."""

    async def resend(self, stream: str, first: int, last: int) -> None:
        """Ask for the messages of a range again, at most 10,000."""
        ...

    async def digests(self, stream: str, first: int, last: int, parts: int) -> None:
        """Ask for the digests of a range split in so many parts."""
        ...


@dataclass(frozen=True, slots=True)
class Policy:
    """How a consumer treats what does not go as it should.

    Attributes:
        batch: Messages handled in one transaction at most, while all goes well.
        tries: How often a message is tried before it is parked.
        wait: Before the second try; doubles each time, up to `wait_max`.
        limit: How long the handler may take for one message.
        lease: For how long a message picked by a process that died is left alone.
        size_max: Bytes of a message above which it is parked unread.
        jump_max: A number so far above the highest known is not believed.
        patience: How long a missing number may simply be late before it is asked for.
        repeat_max: The longest wait between two requests for the same.
        give_up: After so long a missing number is given up, and nothing waits for it any more.
        from_start: A stream met for the first time is wanted from number 1; else from the lowest number that is in the
            first batch.
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
        """How long to wait for what was asked for so often; at first, how long it may simply be late."""
        return min(self.repeat_max, self.patience * (1 << min(asked, 30)))
