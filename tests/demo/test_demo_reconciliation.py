"""The demonstration's reconciliation: what was planted and what was found are compared one by one."""

from __future__ import annotations

from hutong.demo.reconciliation import Finding, ReconciledDays, compare

PLANTED: list[Finding] = [("missing", "att1"), ("mismatch", "att2"), ("duplicate", "att2")]


def test_what_is_planted_and_found_breaks_nothing() -> None:
    done = ReconciledDays()
    compare(done, PLANTED, reversed(PLANTED))
    assert done.broken == []
    assert done.planted == done.found == {"duplicate": 1, "mismatch": 1, "missing": 1}


def test_a_planted_difference_that_is_not_found_is_named() -> None:
    done = ReconciledDays()
    compare(done, PLANTED, PLANTED[1:])
    assert done.broken == ["the planted difference missing of att1 is not found"]


def test_a_difference_that_nobody_planted_is_named() -> None:
    done = ReconciledDays()
    compare(done, PLANTED, [*PLANTED, ("unexpected", "att3")])
    assert done.broken == ["the difference unexpected of att3 is found and was not planted"]


def test_a_difference_under_another_class_is_both_lost_and_invented() -> None:
    done = ReconciledDays()
    compare(done, PLANTED[:1], [("unexpected", "att1")])
    assert len(done.broken) == 2


def test_a_difference_that_is_found_twice_counts_twice() -> None:
    done = ReconciledDays()
    compare(done, PLANTED[:1], PLANTED[:1] * 2)
    assert done.broken == ["the difference missing of att1 is found and was not planted"]
