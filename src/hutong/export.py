"""Rows as files: CSV and Parquet."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints
from uuid import UUID

import orjson

from hutong.foreign_text import escape

_PARQUET_TYPES = {int: "BIGINT", str: "VARCHAR", UUID: "VARCHAR", date: "DATE"}
_BIGINT_MAX = 2**63 - 1
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LONGEST_LINE = 64 * 1024 * 1024


def to_csv(lines: Iterable[Any]) -> str:
    """Return lines of one kind (dataclasses or dictionaries) as CSV with a heading.

    Text that a spreadsheet would run as a formula is made harmless; what is unseen or moves others is an escape.
    """
    rows = [line if isinstance(line, dict) else asdict(line) for line in lines]
    output = io.StringIO()
    if rows:
        writer = csv.DictWriter(output, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return output.getvalue()


def to_parquet(kind: type[Any], lines: Iterable[Any], path: Path) -> None:
    """Write lines of one kind as a Parquet file: integers as 64 bits, dates as dates, ids and names as text.

    A column with an integer beyond 64 bits, such as the sum of a subject, is a decimal of 38 digits.

    Args:
        kind: The dataclass of the lines. It gives an empty file its columns.

    Effects:
        Replaces the file.
    """
    columns, listed = dict(_columns(kind)), [asdict(line) for line in lines]
    for name in [name for name, type_ in columns.items() if type_ == "BIGINT"]:
        if any(abs(line[name] or 0) > _BIGINT_MAX for line in listed):
            columns[name] = "DECIMAL(38, 0)"
            for line in listed:
                line[name] = str(line[name])  # as a number, neither orjson nor DuckDB would keep all its digits
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as rows:
        rows.writelines(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in listed)
        rows.flush()
        write_parquet(Path(rows.name), columns, path)


def parquet_has(path: Path, column: str, value: str) -> bool:
    """Return whether a Parquet file has a row with this text in a column; a file that is gone or lacks it has none."""
    duckdb = _engine()
    with duckdb.connect(config={"threads": 1}) as engine:
        try:
            wanted = duckdb.ColumnExpression(column) == duckdb.ConstantExpression(value)
            rows: Any = engine.read_parquet(str(path))
            [(count,)] = rows.filter(wanted).count("*").fetchall()
            return bool(count)
        except (duckdb.IOException, duckdb.BinderException):
            return False


def _engine() -> ModuleType:
    """Load DuckDB, which costs time and memory that a serving process does not need."""
    import duckdb

    return duckdb


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    is_formula = value[:1] in "=+-@\t\r\n＝＋－＠" and value and not _NUMBER.fullmatch(value)
    shown = escape(value)
    return f"'{shown}" if is_formula else shown


def write_parquet(lines: Path, columns: Mapping[str, str], target: Path) -> int:
    """Convert a file of JSON lines, one object per row, into a Parquet file.

    Args:
        columns: DuckDB's types by name, in order. They apply even to a file without rows.
        target: The file to write; it is replaced.

    Returns:
        The number of rows read back from the new file.
    """
    duckdb = _engine()
    with duckdb.connect(config={"threads": 1}) as engine:
        rows = engine.read_json(
            str(lines), format="newline_delimited", columns=dict(columns), maximum_object_size=_LONGEST_LINE
        )
        rows.write_parquet(str(target), compression="zstd")
        [(count,)] = engine.read_parquet(str(target)).count("*").fetchall()
    return int(count)


def write_lines(lines: Path, kind: type[Any], target: Path) -> None:
    """Convert a file of JSON lines into CSV or Parquet, as the ending of the target says.

    Args:
        kind: The dataclass of the lines.
        target: The file to write; it is replaced.
    """
    if target.suffix == ".parquet":
        write_parquet(lines, _columns(kind), target)
        return
    with lines.open("rb") as rows, target.open("w", newline="") as output:
        writer = csv.DictWriter(output, fieldnames=list(_columns(kind)))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _harmless(value) for name, value in orjson.loads(row).items()})


def _columns(kind: type[Any]) -> dict[str, str]:
    """Return DuckDB's types of the fields of a dataclass, by name."""
    return {name: _PARQUET_TYPES[hint] for name, hint in get_type_hints(kind).items()}
