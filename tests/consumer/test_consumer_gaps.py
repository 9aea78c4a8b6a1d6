"""Arithmetic on missing numbers, against sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.consumer.gaps import Gap, close, pieces, select_requests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = st.lists(st.integers(1, 60), max_size=40)


def numbers(gaps: list[Gap]) -> list[int]:
    return [no for gap in gaps for no in range(gap.first, gap.last + 1)]


@settings(max_examples=200)
@given(st.lists(st.tuples(NUMBERS, st.integers(0, 70)), max_size=6))
def test_what_is_missing_is_what_did_not_come(batches: list[tuple[list[int], int]]) -> None:
    gaps: list[Gap] = []
    last = 0
    seen: set[int] = set()
    top = 0
    for batch, known in batches:
        gaps, last = close(gaps, last, batch, known=known, now=NOW)
        seen |= set(batch)
        top = max([top, known, *batch])
        assert last == top
        assert numbers(gaps) == sorted(set(range(1, top + 1)) - seen)  # in order, without overlap
        assert close(gaps, last, batch, known=known, now=NOW + timedelta(1)) == (gaps, last)


@settings(max_examples=100)
@given(st.integers(1, 50), st.integers(0, 60), NUMBERS)
def test_a_part_of_a_gap_keeps_when_it_was_found(first: int, length: int, came: list[int]) -> None:
    gap = Gap(first, first + length, NOW, lost_at=NOW)
    left, _ = close([gap], first + length, [no for no in came if no <= gap.last], now=NOW + timedelta(1))
    assert {(one.found_at, one.lost_at) for one in left} <= {(NOW, NOW)}


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 15_000), st.booleans()), max_size=5), st.integers(0, 12_000))
def test_what_is_asked_for_is_bounded_and_the_rest_is_kept(lengths: list[tuple[int, bool]], awaited: int) -> None:
    gaps, first = [], 1
    for length, asked in sorted(lengths, key=lambda one: not one[1]):
        gaps.append(Gap(first, first + min(length, 10_000 if asked else length) - 1, NOW, asked=int(asked)))
        first += length + 1
    now, rest = select_requests(gaps, awaited)
    new = [gap for gap in now if not gap.asked]
    assert [gap for gap in now if gap.asked] == [gap for gap in gaps if gap.asked]
    assert awaited + sum(gap.last - gap.first + 1 for gap in new) <= max(10_000, awaited)
    touched = {gap.first for gap in now}
    assert numbers(sorted([*now, *rest], key=lambda gap: gap.first)) == numbers(
        [gap for gap in gaps if gap.first in touched]
    )


@settings(max_examples=100)
@given(st.integers(1, 50), st.integers(0, 100), st.integers(1, 30))
def test_pieces_cover_a_range_once(first: int, length: int, size: int) -> None:
    found = list(pieces(first, first + length, size))
    assert [no for start, end in found for no in range(start, end + 1)] == list(range(first, first + length + 1))
    assert all(end - start < size for start, end in found)
