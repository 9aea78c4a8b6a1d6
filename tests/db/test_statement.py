"""The loader of statements: a slip in a file is found when the module is imported, not when money moves."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hutong.db import Statement, Statements, Tx, load_statements

Load = Callable[..., Statements]
_names = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load the statements of a package with these files."""

    def load(**files: str) -> Statements:
        package = f"statement_test_{next(_names)}"
        (folder := tmp_path / package / "sql").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (folder / "notes.txt").write_text("not SQL")
        for name, text in files.items():
            (folder / f"{name}.sql").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        sys.modules.pop(package, None)
        return load_statements(package)

    return load


def test_statements_are_found_by_name_in_all_files(load: Load) -> None:
    sql = load(
        one="-- The file's own heading.\n\n-- name: first\n-- Why.\nSELECT 1;\n\n-- name: second\n-- Why.\nSELECT 2;\n",
        two="-- name: third\n-- Why.\nSELECT 3\n",
    )
    assert sql.second.text == "-- Why.\nSELECT 2;"
    assert sorted(statement.name for statement in sql) == ["first", "second", "third"]
    assert repr(sql.third) == "Statement(third)"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n-- name: a\nSELECT 2;", "without a name"),
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "two statements are named a"),
        ("-- name: a-b\nSELECT 1;", "'a-b' is not a name"),
        ("-- name: claim due\nSELECT 1;", "'claim due' is not a name"),
        ("-- name: Claim\nSELECT 1;", "'Claim' is not a name"),
        ("-- name:\nSELECT 1;", "'' is not a name"),
        ("-- name: a\n-- Only why.\n-- name: b\nSELECT 1;", "a is empty"),
        ("--name: a b\nSELECT 1;", "'a b' is not a name"),
    ],
)
def test_a_slip_in_a_file_is_refused(load: Load, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load(file=text)


def test_names_are_unique_across_files(load: Load) -> None:
    with pytest.raises(ValueError, match="two statements"):
        load(one="-- name: a\nSELECT 1;", two="-- name: a\nSELECT 2;")


def test_an_unknown_statement_is_an_attribute_error(load: Load) -> None:
    sql = load(file="-- name: a\nSELECT 1;")
    with pytest.raises(AttributeError, match="no statement is named nothing"):
        _ = sql.nothing
    assert copy.copy(sql).a.text == "SELECT 1;"
    assert pickle.loads(pickle.dumps(sql)).a.text == "SELECT 1;"


async def test_each_way_to_run_a_statement(tx: Tx) -> None:
    numbers = Statement("numbers", "SELECT n FROM generate_series($1::int, $2::int) AS n")
    assert [row["n"] for row in await numbers.fetch(tx, 1, 3)] == [1, 2, 3]
    row = await numbers.fetchrow(tx, 5, 6)
    assert row is not None
    assert row["n"] == 5
    assert await numbers.fetchrow(tx, 1, 0) is None
    assert await numbers.fetchval(tx, 7, 7) == 7
    assert await numbers.execute(tx, 1, 3) == "SELECT 3"
    assert [row["n"] async for row in numbers.cursor(tx, 1, 2500)] == list(range(1, 2501))
    await numbers.executemany(tx, [(1, 2), (3, 4)])
    await asyncio.sleep(0)
