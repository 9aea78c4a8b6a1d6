"""The result of reading an original file, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class FaultyRow:
    """A row that cannot be read, in a file whose frame and totals hold.

    Attributes:
        file, line: Its place, as in the rows.
        reason: A sentence that names the column.
        text: The row as it came, cut to a readable length.
    """

    file: int
    line: int
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Normalised:
    """The result of reading a file.

    Attributes:
        rows: How many were written.
        totals: By kind and currency: the number of rows, and the signed sums of their money.
        day: The party's day; None if the file names none and has no row.
        merchant: The number of the merchant or the account that it names; empty if none.
    """

    rows: int
    exceptions: Sequence[FaultyRow]
    totals: Mapping[str, Any]
    day: date | None
    merchant: str
