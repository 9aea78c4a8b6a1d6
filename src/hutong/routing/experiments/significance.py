"""Significance of the difference between two success rates, valid however often the result is looked at.

A plain test of two proportions is meant for one look at a sample of fixed size. Looking repeatedly and stopping at a
welcome result is misleading far more often than the level of the test allows. This is the mixture sequential
probability ratio test: a normal mixture weighs the difference against none, and the confidence interval holds for all
looks together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log, sqrt

LEVEL = 0.05
"""The chance that the true difference is ever outside the interval, over all looks."""

ENDED_MIN = 100
"""With fewer payments in either arm the normal approximation does not hold, and there is no result."""

_SCALE = 0.02
"""The size of the differences to be found. It changes how soon they are found, not whether the level holds."""


class ExperimentVerdict(StrEnum):
    """The result of an experiment for its draft."""

    UNDECIDED = "undecided"
    BETTER = "better"
    """It succeeds significantly more often."""
    NO_WORSE = "no_worse"
    """It is significantly not worse by more than the guardrail."""
    WORSE = "worse"
    """It succeeds significantly less often."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The success rate of the draft minus that of the control.

    Attributes:
        low, high: The confidence interval, valid for any number of looks.
        p_value: The chance of such a difference if there is none, over all looks.
    """

    difference: float
    low: float = -1.0
    high: float = 1.0
    p_value: float = 1.0

    def verdict(self, guardrail: float) -> ExperimentVerdict:
        """Return the result for the draft.

        Args:
            guardrail: How much lower its success rate may be.
        """
        if self.high < 0:
            return ExperimentVerdict.WORSE
        if self.low > 0:
            return ExperimentVerdict.BETTER
        return ExperimentVerdict.NO_WORSE if self.low > -guardrail else ExperimentVerdict.UNDECIDED

    def breaks(self, guardrail: float) -> bool:
        """Return whether the draft is significantly worse by more than the guardrail."""
        return self.high < -guardrail


def compare(draft: tuple[int, int], control: tuple[int, int]) -> Comparison:
    """Compare two arms.

    Args:
        draft, control: How many payments have ended, and how many of them succeeded.

    Source:
        Johari, Koomen, Pekelis, Walsh: Always Valid Inference: Continuous Monitoring of A/B Tests, Operations Research
        70(3), 2022; Robbins: Statistical Methods Related to the Law of the Iterated Logarithm, 1970.
    """
    if not draft[0] or not control[0]:
        return Comparison(0.0)
    difference = draft[1] / draft[0] - control[1] / control[0]
    if min(draft[0], control[0]) < ENDED_MIN:
        return Comparison(difference)
    variance, mixed = _variance(*draft) + _variance(*control), _SCALE**2
    ratio = (variance + mixed) / variance
    exponent = mixed * difference**2 / (2 * variance * (variance + mixed)) - log(ratio) / 2
    width = sqrt(variance * (variance + mixed) / mixed * (2 * log(1 / LEVEL) + log(ratio)))
    return Comparison(
        difference,
        max(difference - width, -1.0),
        min(difference + width, 1.0),
        1.0 if exponent <= 0 else exp(-exponent),
    )


def _variance(ended: int, succeeded: int) -> float:
    """Return the variance of a rate; one more success and failure keep it above zero if none or all have succeeded."""
    rate = (succeeded + 1) / (ended + 2)
    return rate * (1 - rate) / ended
