"""Parquet files out of rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_LONGEST_LINE = 64 * 1024 * 1024


def write_parquet(lines: Path, columns: Mapping[str, str], target: Path) -> int:
    """Turn a file of JSON lines, one object for each row, into a Parquet file.

    Args:
        columns: DuckDB's types by name, in order. They hold also when there is no row.
        target: Is replaced.

    Returns:
        How many rows were read back from the new file.
    """
    import duckdb  # costs time and memory that a serving process does not need

    with duckdb.connect(config={"threads": 1}) as engine:
        rows = engine.read_json(
            str(lines), format="newline_delimited", columns=dict(columns), maximum_object_size=_LONGEST_LINE
        )
        rows.write_parquet(str(target), compression="zstd")
        [(count,)] = engine.read_parquet(str(target)).count("*").fetchall()
    return int(count)
