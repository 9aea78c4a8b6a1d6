"""A file that came in beside others of its day: it adds to them, is covered by them, or corrects them.

The rule: a file all of whose rows are there already is covered. A file that names no row of the others adds to them.
Any other file corrects: it takes the place of those that name a row which it names as well. A file that states the
whole day corrects as well if it lacks rows of the others of its layout, and then takes the place of all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import connect, literal, literals
from hutong.reconciliation.rows import ROW_COLUMNS

_CONTENT = "SELECT " + ", ".join(f'"{name}"' for name in ROW_COLUMNS if name not in ("file", "line"))
_NAME = "SELECT kind, CASE WHEN key <> '' THEN key ELSE channel_no END"
_COUNT = "SELECT count(*)"


@dataclass(frozen=True, slots=True)
class FileComparison:
    """A new file beside those of its day.

    Attributes:
        is_covered: Whether they hold all of its rows.
        overlapping: The places of those that name a row which it names as well.
        changed: How many rows it states that they do not.
        missing: How many rows they state that it lacks, if it states the whole day.
    """

    is_covered: bool
    overlapping: tuple[int, ...]
    changed: int
    missing: int = 0


def compare(new: Path, others: Sequence[Path], limits: Limits, *, stands_for: Sequence[int] = ()) -> FileComparison:
    """Compare the rows of a new file with those of the files that count; equal rows count as often as they occur.

    Args:
        others: The rows of each, in order.
        stands_for: The places of those whose rows the new file must have too.
    """
    if not others:
        return FileComparison(False, (), 0)
    with connect(new.parent, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        mine, theirs = f"FROM read_parquet({literal(new)})", f"FROM read_parquet({literals(others)})"
        changed = _count(duck, f"({mine} {_CONTENT}) EXCEPT ALL ({theirs} {_CONTENT})")
        missing, earlier = 0, [others[place] for place in stands_for]
        if earlier:
            missing = _count(
                duck, f"(FROM read_parquet({literals(earlier)}) {_CONTENT}) EXCEPT ALL ({mine} {_CONTENT})"
            )
        if not changed and not missing:
            return FileComparison(True, (), 0)
        overlapping = tuple(
            place
            for place, other in enumerate(others)
            if (missing and place in stands_for)
            or _count(duck, f"({mine} {_NAME}) INTERSECT (FROM read_parquet({literal(other)}) {_NAME})")
        )
    return FileComparison(False, overlapping, changed, missing)


def _count(duck: Any, query: str) -> int:
    row = duck.execute(f"FROM ({query}) {_COUNT}").fetchone()
    count: int = row[0]
    return count
