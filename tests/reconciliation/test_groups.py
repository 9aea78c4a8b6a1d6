"""Sums of rows without a group key, against a search by brute force."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.reconciliation.matching.groups import ROWS_MAX, Group, Part, solve

DAY = date(2026, 11, 29)
WEEK = timedelta(days=7)


def parts(*amounts: int) -> list[Part]:
    return [Part(amount, DAY) for amount in amounts]


def test_one_credit_pays_two_batches_and_two_credits_pay_one() -> None:
    solution = solve(parts(70, 25, 1000), parts(95, 400, 600), window=WEEK)
    assert solution.matched == [Group((0, 1), (0,)), Group((2,), (1, 2))]
    assert solution.ambiguous == []


def test_several_solutions_stay_open_with_all_candidates() -> None:
    solution = solve(parts(30, 10, 20, 7), parts(30, 7), window=WEEK)
    assert solution.matched == [Group((3,), (1,))]
    assert solution.ambiguous == [Group((0, 1, 2), (0,))]


def test_a_net_debit_counts_with_its_sign() -> None:
    assert solve(parts(100, -30), parts(70), window=WEEK).matched == [Group((0, 1), (0,))]
    assert solve(parts(-30), parts(30), window=WEEK).matched == []


def test_days_beyond_the_window_are_no_partners() -> None:
    late = [Part(50, DAY + timedelta(days=8))]
    assert solve(parts(50), late, window=WEEK) == solve([], [], window=WEEK)
    assert solve(parts(50), [Part(50, DAY + WEEK)], window=WEEK).matched == [Group((0,), (0,))]


def test_too_many_rows_prove_nothing() -> None:
    crowd = [*parts(*(2**exponent for exponent in range(ROWS_MAX - 1))), Part(3, DAY)]
    assert solve(crowd, parts(5), window=WEEK) == solve([], [], window=WEEK)
    assert solve(crowd[:-1], parts(5), window=WEEK).matched == [Group((0, 2), (0,))]


amounts = st.lists(st.integers(-6, 12), max_size=5)


@settings(max_examples=150, deadline=None)
@given(amounts, amounts)
def test_what_is_matched_is_exactly_what_brute_force_finds_once(ours: list[int], theirs: list[int]) -> None:
    def subsets(values: list[int]) -> list[tuple[int, ...]]:
        places = [place for place, value in enumerate(values) if value]
        return list(chain.from_iterable(combinations(places, size) for size in range(1, len(places) + 1)))

    candidates = [
        (left, right)
        for left in subsets(ours)
        for right in subsets(theirs)
        if 1 in (len(left), len(right)) and sum(ours[i] for i in left) == sum(theirs[j] for j in right)
    ]
    candidates = [each for each in candidates if sum(ours[i] for i in each[0])]
    uses = Counter(row for left, right in candidates for row in [*(("o", i) for i in left), *(("t", j) for j in right)])
    unique = {
        (left, right)
        for left, right in candidates
        if all(uses["o", i] == 1 for i in left) and all(uses["t", j] == 1 for j in right)
    }
    solution = solve(parts(*ours), parts(*theirs), window=WEEK)
    assert {(group.ours, group.theirs) for group in solution.matched} == unique
    open_rows = {
        row
        for left, right in set(candidates) - unique
        for row in [*(("o", i) for i in left), *(("t", j) for j in right)]
    }
    ambiguous = [
        row
        for group in solution.ambiguous
        for row in [*(("o", i) for i in group.ours), *(("t", j) for j in group.theirs)]
    ]
    assert len(ambiguous) == len(set(ambiguous))
    assert set(ambiguous) == open_rows
