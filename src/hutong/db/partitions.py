"""The plan of a journal's partitions by time. Ids are time-ordered, so ranges of ids are ranges of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hutong.clock import to_ns


@dataclass(frozen=True, slots=True)
class Partition:
    """An existing partition, for ids with milliseconds in [`low_ms`, `high_ms`).

    Attributes:
        inserted: About how many rows it has received.
    """

    low_ms: int
    high_ms: int
    inserted: int


@dataclass(frozen=True, slots=True)
class Spans:
    """The intended length of partitions.

    Attributes:
        rows: About how many rows a partition should hold; its length follows from the current rate.
        first: The length of the first partition, before any rate is known.
    """

    rows: int
    first: timedelta
    shortest: timedelta
    longest: timedelta


def plan_partitions(
    partitions: Sequence[Partition], spans: Spans, *, now: datetime, ahead: int = 2
) -> list[tuple[int, int]]:
    """Return the ranges still to be made, so that `ahead` partitions follow the one of the current instant."""
    now_ms = to_ns(now) // 1_000_000
    ready = sum(1 for partition in partitions if partition.low_ms > now_ms)
    current = next((each for each in partitions if each.low_ms <= now_ms < each.high_ms), None)
    span_ms = _ms(spans.first)
    if current is not None:
        rate = current.inserted / max(now_ms - current.low_ms, 1)
        if rate:
            span_ms = int(min(max(spans.rows / rate, _ms(spans.shortest)), _ms(spans.longest)))
    low = max([now_ms, *(partition.high_ms for partition in partitions)])
    # The partition of the current instant counts as well if it is still to be made.
    missing = ahead - ready + (1 if low == now_ms else 0)
    return [(low + at * span_ms, low + (at + 1) * span_ms) for at in range(missing)]


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
