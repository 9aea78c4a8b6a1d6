"""Whether one share of payments succeeds more often than another, said so that one may look at any time.

A plain test of two proportions is meant for one look at a sample fixed beforehand; who looks again and again, and stops
when he likes what he sees, is fooled far more often than the level says. This is the mixture sequential probability
ratio test: the difference is weighed against none by a normal mixture, and its confidence interval holds for all looks
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log, sqrt

LEVEL = 0.05
"""The chance that the truth ever lies outside the interval, over all looks."""

ENDED_MIN = 100
"""With fewer in either arm the normal approximation does not hold, and nothing is said."""

_SCALE = 0.02
"""The size of the differences looked for; another one changes how soon they are found, not whether the level holds."""


class Finding(StrEnum):
    """What a trial says of its draft."""

    UNDECIDED = "undecided"
    BETTER = "better"
    """It succeeds more often, significantly."""
    NO_WORSE = "no_worse"
    """By more than the guardrail it is no worse, significantly."""
    WORSE = "worse"
    """It succeeds less often, significantly."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The success rate of the draft less that of the control.

    Attributes:
        low, high: The confidence interval, which holds however often one looks.
        p_value: The chance of such a difference if there were none, over all looks.
    """

    difference: float
    low: float = -1.0
    high: float = 1.0
    p_value: float = 1.0

    def verdict(self, guardrail: float) -> Finding:
        """What it says of the draft.

        Args:
            guardrail: How much less often it may succeed.
        """
        if self.high < 0:
            return Finding.WORSE
        if self.low > 0:
            return Finding.BETTER
        return Finding.NO_WORSE if self.low > -guardrail else Finding.UNDECIDED

    def breaks(self, guardrail: float) -> bool:
        """Whether the draft is significantly worse by more than the guardrail."""
        return self.high < -guardrail


def compare(draft: tuple[int, int], control: tuple[int, int]) -> Comparison:
    """Compare two arms.

    Args:
        draft, control: How many payments are over, and how many of them succeeded.

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
    """Of a rate; one more success and failure keep it from being nothing where none or all have succeeded."""
    rate = (succeeded + 1) / (ended + 2)
    return rate * (1 - rate) / ended
