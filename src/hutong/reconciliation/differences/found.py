"""The findings of a run by the identity of differences: rows of one identity are one difference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from hutong.reconciliation.model import DifferenceClass, RowSide

Identity = tuple[str, str, str, str]
"""Side, key, class and column; with the account and the layer, that of a difference."""

_FINAL_CLASS = {RowSide.OURS: DifferenceClass.MISSING, RowSide.THEIRS: DifferenceClass.UNEXPECTED}


@dataclass(frozen=True, slots=True)
class Found:
    """A difference as a run states it.

    Attributes:
        klass: Of a waiting row, the class that it gets once its time is over.
        waits: Whether its partner may still come.
    """

    side: str
    key: str
    klass: str
    column: str
    waits: bool
    currency: str
    amount_minor: int
    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]
    reference: str
    content: str

    @property
    def identity(self) -> Identity:
        """What makes it the same in every run."""
        return self.side, self.key, self.klass, self.column


def base_key(key: str) -> str:
    """Return the key of the rows: that of a difference may have a suffix, such as `#2` or `/refund_failure`."""
    return key.partition("#")[0].partition("/")[0]


def merge(rows: Iterable[Mapping[str, Any]]) -> list[Found]:
    """Return the differences of rows with `DIFFERENCE_COLUMNS`, each identity once, sorted by it.

    Rows of one identity are added up: equal twins that wait, for example. Those that still wait stand aside while
    others of their identity do not. Amounts of several currencies are never added: the column of such a difference
    names its currency.
    """
    groups: dict[Identity, list[Found]] = {}
    for found in map(_read, rows):
        groups.setdefault(found.identity, []).append(found)
    merged: list[Found] = []
    for group in groups.values():
        due = [found for found in group if not found.waits] or group
        currencies = sorted({found.currency for found in due})
        for currency in currencies:
            column = f"{due[0].column}:{currency}".strip(":") if len(currencies) > 1 else due[0].column
            merged.append(_add_up([found for found in due if found.currency == currency], column))
    return sorted(merged, key=lambda found: found.identity)


def _read(row: Mapping[str, Any]) -> Found:
    waits = row["class"] == DifferenceClass.PENDING
    return Found(
        side=row["side"],
        key=row["key"],
        klass=_FINAL_CLASS[RowSide(row["side"])].value if waits else row["class"],
        column=row["column"] or "",
        waits=waits,
        currency=row["currency"],
        amount_minor=row["amount"] or 0,
        ours=_rows(row["ours"]),
        theirs=_rows(row["theirs"]),
        reference=row["reference"] or "",
        content=row["content"],
    )


def _rows(text: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(text) if text else []
    return rows


def _add_up(group: list[Found], column: str) -> Found:
    first = group[0]
    if len(group) == 1 and column == first.column:
        return first
    contents = sorted(found.content for found in group)
    return Found(
        side=first.side,
        key=first.key,
        klass=first.klass,
        column=column,
        waits=first.waits,
        currency=first.currency,
        amount_minor=sum(found.amount_minor for found in group),
        ours=[row for found in group for row in found.ours],
        theirs=[row for found in group for row in found.theirs],
        reference=next((found.reference for found in group if found.reference), ""),
        content=contents[0] if len(group) == 1 else hashlib.sha256(":".join(contents).encode()).hexdigest(),
    )
