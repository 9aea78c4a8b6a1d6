"""The rows of a group layer that name no group: matched by their sum, where that has one solution only.

A bank credit without a reference may pay one batch or several; several credits may pay one batch. A sum is proof only
if nothing else explains the same rows, so every solution is sought, and rows that occur in two of them stay open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

ROWS_MAX = 20
"""The most rows near one row that are searched: beyond, sums meet by chance, and the search doubles with each row."""


@dataclass(frozen=True, slots=True)
class Part:
    """A row: its signed money, and its day of value."""

    amount: int
    day: date


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of both sides whose sums are equal, by their places. One side is a single row."""

    ours: tuple[int, ...]
    theirs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """The groups of a residue.

    Attributes:
        matched: Groups that nothing else explains; no two have a row in common.
        ambiguous: Rows that several groups explain, each as one group of all candidates.
    """

    matched: list[Group]
    ambiguous: list[Group]


def solve(ours: Sequence[Part], theirs: Sequence[Part], *, window: timedelta) -> Solution:
    """Match rows of one currency by their sums.

    Args:
        window: How far the days of a group may lie from the day of its single row.

    Returns:
        The groups in the order of their rows. A row of zero is in none. Near more than `ROWS_MAX` rows, nothing is
        proven: all of them stay open, and are not called ambiguous.
    """
    # A row is a bit: those of ours first, then theirs.
    shift = len(ours)
    found: dict[int, None] = {}
    unproven = 0
    for place, part in enumerate(theirs):
        near = _near(part, ours, window)
        masks = _subsets(part.amount, ours, near)
        unproven |= 1 << shift + place | near if masks is None else 0
        found.update((mask | 1 << shift + place, None) for mask in masks or ())
    for place, part in enumerate(ours):
        near = _near(part, theirs, window)
        masks = _subsets(part.amount, theirs, near)
        unproven |= 1 << place | near << shift if masks is None else 0
        found.update((mask << shift | 1 << place, None) for mask in masks or ())
    once = twice = 0
    for group in found:
        twice |= once & group
        once |= group
    matched = [group for group in found if not group & (twice | unproven)]
    open_groups = [group for group in found if group & twice and not group & unproven]
    return Solution(
        [_group(mask, shift) for mask in sorted(matched, key=_first)],
        [_group(mask, shift) for mask in sorted(_joined(open_groups), key=_first)],
    )


def _subsets(amount: int, parts: Sequence[Part], near: int) -> Sequence[int] | None:
    """Return the sets of near rows that add up to an amount, as bits; None if there are too many rows."""
    amounts = tuple((place, parts[place].amount) for place in _places(near) if parts[place].amount)
    if not amount:
        return ()
    return None if len(amounts) >= ROWS_MAX else _sums(amounts).get(amount, ())


@lru_cache(maxsize=1)
def _sums(amounts: tuple[tuple[int, int], ...]) -> dict[int, list[int]]:
    """Return the sets of rows by their sum. Rows of one day are near the same rows, so the last answer often holds."""
    sums, masks = [0], [0]
    for place, amount in amounts:
        sums += [value + amount for value in sums]
        masks += [mask | 1 << place for mask in masks]
    by_sum: dict[int, list[int]] = {}
    for value, mask in zip(sums[1:], masks[1:], strict=True):
        by_sum.setdefault(value, []).append(mask)
    return by_sum


def _near(target: Part, parts: Sequence[Part], window: timedelta) -> int:
    return sum(1 << place for place, part in enumerate(parts) if abs(part.day - target.day) <= window)


def _joined(groups: Sequence[int]) -> list[int]:
    """Join groups that have rows in common."""
    joined: list[int] = []
    for group in groups:
        whole, apart = group, []
        for other in joined:
            if other & group:
                whole |= other
            else:
                apart.append(other)
        joined = [*apart, whole]
    return joined


def _group(mask: int, shift: int) -> Group:
    places = list(_places(mask))
    ours = tuple(place for place in places if place < shift)
    return Group(ours, tuple(place - shift for place in places if place >= shift))


def _places(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        yield bit.bit_length() - 1
        mask ^= bit


def _first(mask: int) -> int:
    return mask & -mask
