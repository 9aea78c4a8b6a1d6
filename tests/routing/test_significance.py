"""Looking again and again at a trial fools nobody, and what is really different is found."""

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
    """What is found at every fiftieth payment of a trial with these true chances."""
    arms = {True: [0, 0], False: [0, 0]}
    found = []
    for number in range(count):
        drawn = rng.random() < share
        arms[drawn][0] += 1
        arms[drawn][1] += rng.random() < (draft if drawn else control)
        if number % 50 == 0:
            compared = compare((arms[True][0], arms[True][1]), (arms[False][0], arms[False][1]))
            found.append(compared.verdict(0.0))
    return found


def test_without_a_difference_hardly_any_trial_ever_speaks_however_often_one_looks() -> None:
    """By a plain test at the same level and with as many looks, one in four would."""
    rng = random.Random(7)
    spoke = sum(any(found is not ExperimentVerdict.UNDECIDED for found in looks(rng, 0.9, 0.9)) for _ in range(200))
    assert spoke <= 10  # the level, 5 %, of 200


@pytest.mark.parametrize(("draft", "finding"), [(0.75, ExperimentVerdict.WORSE), (0.98, ExperimentVerdict.BETTER)])
def test_a_real_difference_is_found(draft: float, finding: ExperimentVerdict) -> None:
    rng = random.Random(7)
    assert all(finding in looks(rng, draft, 0.9) for _ in range(20))


@given(ARM, ARM)
def test_the_interval_holds_the_difference_and_agrees_with_the_p_value(
    draft: tuple[int, int], control: tuple[int, int]
) -> None:
    compared = compare(draft, control)
    assert -1 <= compared.low <= compared.difference <= compared.high <= 1
    assert 0 <= compared.p_value <= 1
    if abs(compared.p_value - 0.05) > 1e-9:
        assert (compared.low < 0 < compared.high) == (compared.p_value > 0.05)
    back = compare(control, draft)
    assert back.low == pytest.approx(-compared.high)
    assert back.p_value == pytest.approx(compared.p_value)


def test_of_few_payments_nothing_is_said() -> None:
    assert compare((99, 0), (10_000, 10_000)).verdict(0.0) is ExperimentVerdict.UNDECIDED
    assert compare((0, 0), (10_000, 10_000)).p_value == 1.0


def test_the_guardrail_is_what_a_draft_may_be_worse_by() -> None:
    compared = compare((10_000, 8_950), (10_000, 9_000))
    assert compared.verdict(0.0) is ExperimentVerdict.UNDECIDED
    assert compared.verdict(0.05) is ExperimentVerdict.NO_WORSE
    worse = compare((10_000, 8_000), (10_000, 9_000))
    assert (worse.breaks(0.02), worse.breaks(0.15)) == (True, False)
    assert worse.verdict(0.15) is ExperimentVerdict.WORSE
