"""Which partitions by time a journal needs next. Ids are time-ordered, so ranges of ids are ranges of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hutong.clock import to_ns


@dataclass(frozen=True, slots=True)
class Partition:
    """One that exists: for ids of the milliseconds from `low_ms` up to before `high_ms`.

    Attributes:
        inserted: About how many rows it has taken.
    """

    low_ms: int
    high_ms: int
    inserted: int


@dataclass(frozen=True, slots=True)
class Spans:
    """How long partitions should be.

    Attributes:
        rows: About how many rows one should take; its length follows from the present rate.
        first: How long the first one is, when no rate is known yet.
    """

    rows: int
    first: timedelta
    shortest: timedelta
    longest: timedelta


def plan_partitions(
    known: Sequence[Partition], spans: Spans, *, now: datetime, ahead: int = 2
) -> list[tuple[int, int]]:
    """The ranges that are still to be made, so that `ahead` lie ready after the one that holds the present moment."""
    now_ms = to_ns(now) // 1_000_000
    ready = sum(1 for one in known if one.low_ms > now_ms)
    current = next((one for one in known if one.low_ms <= now_ms < one.high_ms), None)
    span_ms = _ms(spans.first)
    if current is not None:
        rate = current.inserted / max(now_ms - current.low_ms, 1)
        if rate:
            span_ms = int(min(max(spans.rows / rate, _ms(spans.shortest)), _ms(spans.longest)))
    low = max([now_ms, *(one.high_ms for one in known)])
    # The one that holds the present moment counts too, when it is still to be made.
    missing = ahead - ready + (1 if low == now_ms else 0)
    return [(low + at * span_ms, low + (at + 1) * span_ms) for at in range(missing)]


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
