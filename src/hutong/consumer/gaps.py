"""Gaps in streams: arithmetic on ranges, no I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hutong.consumer.model import RANGE_MAX


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of numbers that exist and have not arrived, `first` and `last` included.

    Attributes:
        asked: How often the range was requested.
    """

    first: int
    last: int
    found_at: datetime
    lost_at: datetime | None = None
    asked: int = 0


def close(
    gaps: Sequence[Gap], last: int, numbers: Iterable[int], *, known: int = 0, now: datetime
) -> tuple[list[Gap], int]:
    """Return the gaps that are left after some numbers arrived.

    Args:
        gaps: The gaps before, in order.
        last: The highest number that was known to exist.
        numbers: The numbers that arrived, in any order.
        known: The highest number that a digest reports, whether or not it has arrived.

    Returns:
        The gaps now, in order, and the highest number now known to exist. A part of a gap keeps its `found_at` and
        `asked`.

    Repeat:
        The same numbers once more change nothing.
    """
    arrived = sorted(set(numbers))
    left = [part for gap in gaps for part in _without(gap, arrived)]
    top = last
    for number in arrived[bisect_right(arrived, last) :]:
        if number > top + 1:
            left.append(Gap(top + 1, number - 1, now))
        top = number
    if known > top:
        left.append(Gap(top + 1, known, now))
        top = known
    return left, top


def _without(gap: Gap, arrived: Sequence[int]) -> Iterator[Gap]:
    """Yield the parts of a gap that are still missing."""
    start = gap.first
    for number in arrived[bisect_left(arrived, gap.first) : bisect_right(arrived, gap.last)]:
        if number > start:
            yield replace(gap, first=start, last=number - 1)
        start = number + 1
    if start <= gap.last:
        yield replace(gap, first=start)


def select_requests(gaps: Sequence[Gap], awaited: int) -> tuple[list[Gap], list[Gap]]:
    """Select the gaps of one stream to request now, so that the consumer is never sent more than it can take.

    Args:
        gaps: In order of priority, those requested before first.
        awaited: The numbers requested and not yet arrived.

    Returns:
        The gaps to request, and the rests of those that were split. A gap requested before is requested again in any
        case, since it is part of the awaited numbers.
    """
    now: list[Gap] = []
    rest: list[Gap] = []
    for gap in gaps:
        room = RANGE_MAX if gap.asked else RANGE_MAX - awaited
        if room <= 0:
            continue
        end = min(gap.last, gap.first + room - 1)
        now.append(replace(gap, last=end))
        if end < gap.last:
            rest.append(replace(gap, first=end + 1))
        if not gap.asked:
            awaited += end - gap.first + 1
    return now, rest


def pieces(first: int, last: int, size: int = RANGE_MAX) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range, each small enough for one request."""
    for start in range(first, last + 1, size):
        yield start, min(start + size - 1, last)
