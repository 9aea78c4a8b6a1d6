"""The results of a run as they are booked: the differences, and the sums of what has matched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import CLOSED_COLUMNS, Limits
from hutong.reconciliation.duck import connect, create_table, literal
from hutong.reconciliation.layers import LayerDefinition, SideSource
from hutong.reconciliation.model import Layer

_ROWS_AT_ONCE = 10_000
_LATE = "SELECT DISTINCT key WHERE least(ours_day, theirs_day) < ?"
_TOTALS = (
    "SELECT merchant, kind, currency, count(*), sum(settled)::BIGINT, coalesce(sum(fee), 0)::BIGINT "
    "GROUP BY merchant, kind, currency ORDER BY merchant, kind, currency"
)
_MATCHED_MONEY = "SELECT coalesce(sum(abs(settled)), 0)::BIGINT"
_OPEN_MONEY = "SELECT coalesce(sum(abs(amount)), 0)::BIGINT"


@dataclass(frozen=True, slots=True)
class MatchedTotal:
    """The matched rows of one layer, merchant, kind and currency of a day: how many, and their sums."""

    layer: Layer
    merchant: str
    kind: str
    currency: str
    pairs: int
    settled_minor: int
    fee_minor: int


@dataclass(frozen=True, slots=True)
class DifferenceRows:
    """The differences of a layer, with the columns of `matching.model.DIFFERENCE_COLUMNS`, read again by each loop.

    They are never in memory together: without its bill, a whole day is one-sided.
    """

    path: Path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with connect(self.path.parent) as duck:
            found = duck.execute(f"FROM read_parquet({literal(self.path)})")
            names = [column[0] for column in found.description or ()]
            while some := found.fetchmany(_ROWS_AT_ONCE):
                for row in some:
                    yield dict(zip(names, row, strict=True))


@dataclass(frozen=True, slots=True)
class LayerResults:
    """The results of one layer.

    Attributes:
        matched_late: The keys of pairs of which a row is of an earlier day.
        totals: Of what has matched; empty for a layer that books nothing.
        matched_minor, open_minor: The money of what has matched and of the differences, without signs; zero for a layer
            inside the house.
    """

    layer: Layer
    differences: DifferenceRows
    matched_late: frozenset[str]
    totals: Sequence[MatchedTotal] = ()
    matched_minor: int = 0
    open_minor: int = 0


def read_results(folder: RunFolder, definition: LayerDefinition, limits: Limits) -> LayerResults:
    """Read the results of a layer for the database. The pairs themselves stay in their file."""
    layer = definition.layer
    pairs = f"FROM read_parquet({literal(folder.matched(layer))})"
    found = f"FROM read_parquet({literal(folder.differences(layer))})"
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        late = frozenset(key for (key,) in duck.execute(f"{pairs} {_LATE}", [folder.day]).fetchall())
        late |= _waited(duck, folder, definition, pairs)
        rows = DifferenceRows(folder.differences(layer))
        if definition.theirs not in (SideSource.BILL, SideSource.BANK):
            return LayerResults(layer, rows, late)
        totals = []
        if definition.theirs is SideSource.BILL:
            totals = [MatchedTotal(layer, *row) for row in duck.execute(f"{pairs} {_TOTALS}").fetchall()]
        ((matched,),) = duck.execute(f"{pairs} {_MATCHED_MONEY}").fetchall()
        ((still_open,),) = duck.execute(f"{found} {_OPEN_MONEY}").fetchall()
    return LayerResults(layer, rows, late, totals, matched, still_open)


def _waited(duck: Any, folder: RunFolder, definition: LayerDefinition, pairs: str) -> set[str]:
    """Return the keys of the cases under which matched rows of a group layer were waiting.

    A sum without a reference is matched under the key of what it pays, and was waiting under a number of its own.
    """
    waited: set[str] = set()
    for side, source in (("ours", definition.ours), ("theirs", definition.theirs)) if definition.group else ():
        if (carried := folder.carried(source)).exists():
            found = duck.execute(f"""
                SELECT DISTINCT c."case" FROM read_parquet({literal(carried)}) AS c SEMI JOIN ({pairs}) AS m
                ON m.{side}_day = c.day AND m.{side}_file = c.file AND m.{side}_line = c.line WHERE c."case" <> ''
            """)
            waited |= {key for (key,) in found.fetchall()}
    return waited


def explained_ppm(results: Sequence[LayerResults]) -> int | None:
    """Return the matched money in millionths of the money, over all layers with another party; None without money."""
    matched = sum(layer.matched_minor for layer in results)
    money = matched + sum(layer.open_minor for layer in results)
    return matched * 1_000_000 // money if money else None


def write_closed(path: Path, ended: Sequence[tuple[str, str, str]]) -> None:
    """Write the layer, side and key of each difference that has ended for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with connect(path.parent) as duck:
        duck.execute(create_table("closed", CLOSED_COLUMNS))
        for start in range(0, len(ended), _ROWS_AT_ONCE):
            columns = [list(values) for values in zip(*ended[start : start + _ROWS_AT_ONCE], strict=True)]
            duck.execute("INSERT INTO closed SELECT unnest(?), unnest(?), unnest(?)", columns)
        duck.execute(f"COPY (FROM closed ORDER BY ALL) TO {literal(part)} (FORMAT parquet)")
    part.replace(path)
