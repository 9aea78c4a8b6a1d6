"""Looking at an experiment repeatedly misleads nobody, and real differences are found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.routing.experiments.significance import ExperimentVerdict, compare

ARM = st.integers(1, 5_000).flatmap(lambda ended: st.tuples(st.just(ended), st.integers(0, ended)))


def looks(
    rng: random.Random, draft: float, control: float, *, share: float = 0.2, count: int = 4_000
) -> list[ExperimentVerdict]:
    """Return the verdict at every fiftieth payment of an experiment with these true chances."""
    arms = {True: [0, 0], False: [0, 0]}
    verdicts = []
    for number in range(count):
        drawn = rng.random() < share
        arms[drawn][0] += 1
        arms[drawn][1] += rng.random() < (draft if drawn else control)
        if number % 50 == 0:
            comparison = compare((arms[True][0], arms[True][1]), (arms[False][0], arms[False][1]))
            verdicts.append(comparison.verdict(0.0))
    return verdicts


def test_without_a_difference_an_experiment_is_hardly_ever_decided_however_often_it_is_read() -> None:
    """By a plain test at the same level and with as many looks, one in four would be."""
    rng = random.Random(7)
    decided = sum(
        any(verdict is not ExperimentVerdict.UNDECIDED for verdict in looks(rng, 0.9, 0.9)) for _ in range(200)
    )
    assert decided <= 10  # the level, 5 %, of 200


@pytest.mark.parametrize(("draft", "finding"), [(0.75, ExperimentVerdict.WORSE), (0.98, ExperimentVerdict.BETTER)])
def test_a_real_difference_is_found(draft: float, finding: ExperimentVerdict) -> None:
    rng = random.Random(7)
    assert all(finding in looks(rng, draft, 0.9) for _ in range(20))


@given(ARM, ARM)
def test_the_interval_holds_the_difference_and_agrees_with_the_p_value(
    draft: tuple[int, int], control: tuple[int, int]
) -> None:
    comparison = compare(draft, control)
    assert -1 <= comparison.low <= comparison.difference <= comparison.high <= 1
    assert 0 <= comparison.p_value <= 1
    if abs(comparison.p_value - 0.05) > 1e-9:
        assert (comparison.low < 0 < comparison.high) == (comparison.p_value > 0.05)
    back = compare(control, draft)
    assert back.low == pytest.approx(-comparison.high)
    assert back.p_value == pytest.approx(comparison.p_value)


def test_few_payments_leave_an_experiment_undecided() -> None:
    assert compare((99, 0), (10_000, 10_000)).verdict(0.0) is ExperimentVerdict.UNDECIDED
    assert compare((0, 0), (10_000, 10_000)).p_value == 1.0


def test_the_guardrail_is_how_much_worse_a_draft_may_be() -> None:
    comparison = compare((10_000, 8_950), (10_000, 9_000))
    assert comparison.verdict(0.0) is ExperimentVerdict.UNDECIDED
    assert comparison.verdict(0.05) is ExperimentVerdict.NO_WORSE
    worse = compare((10_000, 8_000), (10_000, 9_000))
    assert (worse.breaks(0.02), worse.breaks(0.15)) == (True, False)
    assert worse.verdict(0.15) is ExperimentVerdict.WORSE
