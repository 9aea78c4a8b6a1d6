"""Formulas of layouts: sums of columns with signs, and comparisons of two sums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FORMULA = re.compile(r"\s*[-+]?\s*[a-z_]+(\s*[-+]\s*[a-z_]+)*\s*")
_TERM = re.compile(r"([-+]?)\s*([a-z_]+)")
_COMPARISON = re.compile(r"(.+?)(>=|<=|=)(.+)")

Sum = Mapping[str, int]
"""By the name of a column, how often it counts."""


def parse(text: str) -> Sum:
    """Return the terms of a sum, such as `amount - discount`; "0" has none.

    Errors:
        ValueError: not a sum of names.
    """
    if text.strip() == "0":
        return {}
    if not _FORMULA.fullmatch(text):
        raise ValueError(f"`{text}` is not a sum of columns such as `amount - discount`")
    terms: dict[str, int] = {}
    for sign, name in _TERM.findall(text):
        terms[name] = terms.get(name, 0) + (-1 if sign == "-" else 1)
    return {name: factor for name, factor in terms.items() if factor}


@dataclass(frozen=True, slots=True)
class SumCondition:
    """A condition: a sum, compared with zero.

    Attributes:
        operator: ">=", "<=" or "=".
    """

    terms: Sum
    operator: str

    @classmethod
    def parse(cls, text: str) -> SumCondition:
        """Read a condition such as `ordered >= paid`.

        Errors:
            ValueError: not a comparison of two sums.
        """
        match = _COMPARISON.fullmatch(text)
        if match is None:
            raise ValueError(f"`{text}` is not a comparison such as `ordered >= paid`")
        left, right = parse(match[1]), parse(match[3])
        terms = {name: left.get(name, 0) - right.get(name, 0) for name in [*left, *right]}
        return cls({name: factor for name, factor in terms.items() if factor}, match[2])

    def holds(self, value: int) -> bool:
        """Return whether a value of the sum satisfies it."""
        return {">=": value >= 0, "<=": value <= 0, "=": value == 0}[self.operator]
