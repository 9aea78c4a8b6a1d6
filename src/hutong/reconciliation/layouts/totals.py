"""The totals that a file states, and what its rows add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.compiler import Compiled
from hutong.reconciliation.layouts.formula import Sum
from hutong.reconciliation.layouts.model import Column, Layout
from hutong.reconciliation.layouts.reader import to_units
from hutong.reconciliation.model import RowKind


class ControlTotals:
    """What the rows of one file add up to, for each total that its layout names."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._summed = list(dict.fromkeys(check.sum for check in layout.checks if check.sum))
        self._grouped = list(dict.fromkeys(check.by for check in layout.checks if check.by))
        self._sums: dict[str, int] = defaultdict(int)
        self._by: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    @property
    def sums(self) -> list[str]:
        """The columns of rows to add up, `a_` and the name of a column of the layout."""
        return [f"a_{name}" for name in self._summed]

    @property
    def groups(self) -> list[str]:
        """The columns of rows by which they are added up, `t_` and the name of a column of the layout."""
        return [f"t_{name}" for name in self._grouped]

    def add_plain(
        self, compiled: Compiled, kind: RowKind, currency: str, count: int, money: Mapping[str, int | None]
    ) -> None:
        """Add rows to the totals whose parts follow from their money."""
        assert compiled.claims is not None
        for check in self._layout.checks:
            claim: Sum = compiled.claims[check.total].get(kind, {})
            if check.sum is not None:
                added = sum(factor * int(money[name] or 0) for name, factor in claim.items())
                self._sums[check.total] += added * self._layout.factor(currency) if added else 0
            elif not check.kinds or kind in check.kinds:
                self._sums[check.total] += count

    def add_group(self, kind: RowKind, values: Sequence[Any]) -> None:
        """Add rows to the totals: their number, their sums, and the groups they are in."""
        count, *rest = values
        sums = dict(zip(self._summed, rest, strict=False))
        texts = dict(zip(self._grouped, rest[len(self._summed) :], strict=True))
        for check in self._layout.checks:
            if check.kinds and kind not in check.kinds:
                continue
            added = int(count if check.sum is None else sums[check.sum])
            if check.by is None:
                self._sums[check.total] += added
            else:
                self._by[check.total][texts[check.by]] += added

    def add_row(self, parts: Mapping[str, int], texts: Mapping[str, str]) -> None:
        for check in self._layout.checks:
            if check.by is None:
                self._sums[check.total] += parts[check.total]
            else:
                self._by[check.total][texts[check.by]] += parts[check.total]

    def prove(self, stated: Mapping[str, str]) -> None:
        """Compare the totals of the file with its rows.

        Errors:
            BillRefused: one is missing or different.
        """
        for check in self._layout.checks:
            if check.by is not None:
                added = {name: value for name, value in self._by[check.total].items() if name}
                if _table(stated.get(check.total, "")) != added:
                    raise BillRefused(f"the rows do not add up to the file's total: {check.total}")
                continue
            text = stated.get(check.total, "")
            column = Column(decimals=0) if check.sum is None else self._layout.columns[check.sum]
            decimals = 0 if check.sum is None else self._layout.decimals
            try:
                total = to_units(column.model_copy(update={"letters": {}, "digits": None}), text, decimals, check.total)
            except BillRefused:
                raise BillRefused(f"the file's total cannot be read: {check.total}") from None
            if total != self._sums[check.total]:
                raise BillRefused(f"the rows do not add up to the file's total: {check.total}")


def _table(text: str) -> dict[str, int]:
    """Return the totals by group, written as `name=value` with semicolons between them."""
    return {name: int(value) for name, _, value in (each.partition("=") for each in text.split(";") if each)}
