"""Which numbers are missing: arithmetic on ranges, no I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hutong.consumer.model import RANGE_MAX


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that exist and have not come; `first` and `last` are missing too.

    Attributes:
        asked: How often it was asked for.
    """

    first: int
    last: int
    found_at: datetime
    lost_at: datetime | None = None
    asked: int = 0


def close(
    gaps: Sequence[Gap], last: int, numbers: Iterable[int], *, known: int = 0, now: datetime
) -> tuple[list[Gap], int]:
    """What is missing after some numbers came.

    Args:
        gaps: What was missing before, in order.
        last: The highest number that was known to exist.
        numbers: Those that came, in any order.
        known: The highest number that somebody says exists, without having brought it.

    Returns:
        What is missing now, in order, and the highest number now known to exist. A part of a gap keeps when it was
        found and how often it was asked for.

    Repeat:
        The same numbers once more change nothing.
    """
    came = sorted(set(numbers))
    left = [part for gap in gaps for part in _without(gap, came)]
    top = last
    for number in came[bisect_right(came, last) :]:
        if number > top + 1:
            left.append(Gap(top + 1, number - 1, now))
        top = number
    if known > top:
        left.append(Gap(top + 1, known, now))
        top = known
    return left, top


def _without(gap: Gap, came: Sequence[int]) -> Iterator[Gap]:
    """The parts of a gap that are still missing."""
    start = gap.first
    for number in came[bisect_left(came, gap.first) : bisect_right(came, gap.last)]:
        if number > start:
            yield replace(gap, first=start, last=number - 1)
        start = number + 1
    if start <= gap.last:
        yield replace(gap, first=start)


def allot(gaps: Sequence[Gap], awaited: int) -> tuple[list[Gap], list[Gap]]:
    """What of the gaps of one stream is asked for now, so that a listener is never sent more than it can take.

    Args:
        gaps: In the order they are wanted, those asked for before first.
        awaited: Numbers that are on their way.

    Returns:
        Gaps to ask for, and what is left of those that were split. What was asked for before is asked for again,
        whatever is on its way: it is part of that.
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
    """A range in parts small enough for one request."""
    for start in range(first, last + 1, size):
        yield start, min(start + size - 1, last)
