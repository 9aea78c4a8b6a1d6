"""The jobs and results of matchers, and the columns of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

from hutong.reconciliation.layers import LayerDefinition
from hutong.reconciliation.model import DayWindow
from hutong.reconciliation.rows import ROW_COLUMNS

WAITING_COLUMNS: Mapping[str, str] = {"waits": "VARCHAR", "side": "VARCHAR", "case": "VARCHAR"}
"""What a carried row has beyond `ROW_COLUMNS`: the class it is shown under, and the side and key of its difference.
Empty for a row that waits silently."""

CARRY_COLUMNS: Mapping[str, str] = {**ROW_COLUMNS, **WAITING_COLUMNS}

MATCHED_COLUMNS: Mapping[str, str] = {
    "key": "VARCHAR",
    "quality": "VARCHAR",
    "ours_file": "INTEGER",
    "ours_line": "BIGINT",
    "theirs_file": "INTEGER",
    "theirs_line": "BIGINT",
    "ours_day": "DATE",
    "theirs_day": "DATE",
    "currency": "VARCHAR",
    "ordered": "BIGINT",
    "paid": "BIGINT",
    "settled": "BIGINT",
    "fee": "BIGINT",
    "merchant": "VARCHAR",
    "reference": "VARCHAR",
    "batch": "VARCHAR",
    "settle_day": "DATE",
    "kind": "VARCHAR",
}
"""A pair. The figures, the batch and the settlement day are theirs; merchant and reference are ours. Of a group, one
row for each row of theirs, with the first row of ours."""

DIFFERENCE_COLUMNS: Mapping[str, str] = {
    "side": "VARCHAR",
    "key": "VARCHAR",
    "class": "VARCHAR",
    "column": "VARCHAR",
    "currency": "VARCHAR",
    "amount": "BIGINT",
    "ours": "VARCHAR",
    "theirs": "VARCHAR",
    "reference": "VARCHAR",
    "day": "DATE",
    "content": "VARCHAR",
}
"""A difference, sorted by (class, side, key, column). `ours` and `theirs` are JSON arrays of rows, each with the
columns kind, key, channel_no, original_key, day, at, currency, ordered, paid, settled, fee, state, batch, file, line;
NULL where there is none. `amount` is signed money: the net of theirs less the net of ours. `content` is the SHA-256, in
hexadecimal digits, of the figures of both without file and line. A difference of class `pending` is one row per waiting
row."""


@dataclass(frozen=True, slots=True)
class MatchJob:
    """One layer of one day.

    Attributes:
        ours, theirs: Parquet files of rows with `ROW_COLUMNS`: the day's and those carried over; rows of other kinds
            are ignored. Ours may hold rows in other states than `succeeded` (a payment that is pending or failed here):
            without a partner they are nothing; with one that succeeded there, they are a mismatch of `state`.
        day: The bill's day: a row without partner waits while fewer than `window.rolls` further files have come, that
            is while `row.day > window.over_until(day, rolls)`.
        out: The folder of the results; written whole, then renamed.
        memory_mb: The most that the engine may hold.
    """

    layer: LayerDefinition
    window: DayWindow
    day: date
    ours: Sequence[Path]
    theirs: Sequence[Path]
    out: Path
    memory_mb: int = 512
    threads: int = 2


@dataclass(frozen=True, slots=True)
class MatchResult:
    """The results of a layer.

    Attributes:
        matched, differences, carry_ours, carry_theirs: Parquet files in `job.out`.
        totals: Counts and signed sums, by currency: of both sides, of what is matched by quality, of each class. The
            matched part is proven by them: its sums of both sides are equal but for what tolerances let pass.
    """

    matched: Path
    differences: Path
    carry_ours: Path
    carry_theirs: Path
    totals: Mapping[str, object] = field(default_factory=dict)


class MatchEngine(Protocol):
    """An engine: each gives the same rows in the same order for the same job."""

    name: str

    def match(self, job: MatchJob) -> MatchResult:
        """Match a layer.

        Effects:
            Writes `matched.parquet`, `differences.parquet`, `carry-ours.parquet` and `carry-theirs.parquet` to
            `job.out`.

        Repeat:
            The same files again.

        Errors:
            InvariantBroken: the totals do not prove the matched part.
        """
        ...
