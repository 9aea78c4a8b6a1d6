"""The client's own log: each promise (2xx) of the platform is written down before the client goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

DISTURBED_S = 1.0
"""An answer that takes longer counts as disturbed by the fault before it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A 2xx to a request that changes something.

    Attributes:
        what: "payment", "capture", "refund" or "close".
        key: The merchant's own number, by which the request can be repeated.
        body: The document that was answered.
    """

    what: str
    key: str
    body: dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request with its repetitions; times in seconds of the monotonic clock.

    Attributes:
        statuses: The outcome of each attempt to send it: a status, 0 for a connection that broke, -1 for a time-out.
        failed_at: When the first attempt failed that was repeated.
    """

    what: str
    sent_at: float
    answered_at: float = 0.0
    statuses: list[int] = field(default_factory=list)
    failed_at: float | None = None
    held_by_key: bool = False

    @property
    def seconds(self) -> float:
        return self.answered_at - self.sent_at

    @property
    def is_disturbed(self) -> bool:
        return len(self.statuses) > 1 or self.seconds > DISTURBED_S


class Log:
    """Everything that the client saw.

    Attributes:
        promises: The promises, in order.
        refusals: By key, the refusals (4xx), which are answers too: code by code.
        calls: All requests with their times.
        problems: What an answer itself shows to be wrong.
        misstated: Attempts whose channel was made to report another amount.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab")
        self.promises: list[Promise] = []
        self.refusals: dict[str, str] = {}
        self.calls: list[Call] = []
        self.problems: Counter[str] = Counter()
        self.misstated: set[str] = set()

    def promise(self, promise: Promise) -> None:
        """Write a promise down."""
        self._file.write(orjson.dumps(asdict(promise)) + b"\n")
        self._file.flush()
        self.promises.append(promise)

    def of(self, what: str) -> dict[str, Promise]:
        """Return the first promise under each key."""
        found: dict[str, Promise] = {}
        for promise in self.promises:
            if promise.what == what:
                found.setdefault(promise.key, promise)
        return found

    def statuses(self) -> Counter[int]:
        """Count the outcomes of all attempts to send a request."""
        return Counter(status for call in self.calls for status in call.statuses)
