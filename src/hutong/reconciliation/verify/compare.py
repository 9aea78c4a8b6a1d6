"""The comparison of a file of rows with the same file as it was computed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hutong.reconciliation.archive import sha256_of
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import connect, literal

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing in which a kept file is not what it must be.

    Attributes:
        file: The file.
        line: The row of a file of rows, from 1; 0 where the file as a whole is meant.
    """

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        """Return the finding as compilers print theirs."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.reason}"


def first_difference(kept: Path, computed: Path, scratch: Path, limits: Limits) -> Finding | None:
    """Return the first row in which a kept file differs from the computed one; None if there is none."""
    if not kept.exists():
        return Finding(kept, 0, "the file is missing")
    if kept.stat().st_size == computed.stat().st_size and sha256_of(kept) == sha256_of(computed):
        return None
    with ExitStack() as stack:
        kept_rows, computed_rows = (
            _rows(stack, path, scratch, Limits(limits.memory_mb // 2, limits.threads)) for path in (kept, computed)
        )
        try:
            columns, expected_columns = next(kept_rows), next(computed_rows)
        except _unreadable() as error:
            return Finding(kept, 0, f"the file cannot be read: {error}")
        if columns != expected_columns:
            return Finding(kept, 0, f"its columns are {columns}, and {expected_columns} were computed")
        return _compare(kept, columns, kept_rows, computed_rows)


def _compare(
    kept: Path, columns: tuple[Any, ...], kept_rows: Iterator[tuple[Any, ...]], computed: Iterator[tuple[Any, ...]]
) -> Finding | None:
    for line, (row, expected) in enumerate(zip_longest(kept_rows, computed), start=1):
        if row == expected:
            continue
        if row is None:
            return Finding(kept, line, f"the row is missing: {_shown(columns, expected)}")
        if expected is None:
            return Finding(kept, line, f"the row was not computed: {_shown(columns, row)}")
        names = [name for name, a, b in zip(columns, row, expected, strict=True) if a != b]
        stated = {name: row[columns.index(name)] for name in names}
        right = {name: expected[columns.index(name)] for name in names}
        return Finding(kept, line, f"it has {_texts(stated)}, and {_texts(right)} was computed")
    return None


def _rows(stack: ExitStack, path: Path, scratch: Path, limits: Limits) -> Iterator[tuple[Any, ...]]:
    """Yield the names of the columns, then the rows."""
    duck = stack.enter_context(connect(scratch, memory_mb=max(limits.memory_mb, 64), threads=limits.threads))
    result = duck.execute(f"FROM read_parquet({literal(path)})")
    yield tuple(column[0] for column in result.description or ())
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _shown(columns: tuple[Any, ...], row: tuple[Any, ...]) -> str:
    return _texts({name: value for name, value in zip(columns, row, strict=True) if value not in (None, "")})


def _texts(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _unreadable() -> type[Exception]:
    import duckdb

    return duckdb.Error
