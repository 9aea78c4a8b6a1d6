"""Statements and their callers agree: each call names what its statement takes, and nothing long goes by position."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from hutong.db import load_statements
from hutong.db.statements import Statement
from support.sources import nodes

SOURCE = Path(__file__).parents[2] / "src" / "hutong"
FOLDERS = sorted({file.parents[1] for file in SOURCE.rglob("sql/*.sql")})
PARTS = re.MULTILINE | re.DOTALL
RUNS = {"fetch", "fetchrow", "fetchval", "execute", "cursor", "values"}
POSITIONAL_MAX = 12
LISTED_MAX = 7
"""The most columns that may stand in the same order in two places of a package."""

FILLED_IN_PARTS = {"fill_paid_payments", "fill_payments"}
"""Statements of the benches, each for a table of its own kind of payments; the heads of their lists are the same."""


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@cache
def kept(folder: Path) -> dict[str, Statement]:
    package = ".".join(("hutong", *folder.relative_to(SOURCE).parts))
    return {statement.name: statement for statement in load_statements(package)}


def calls(folder: Path) -> Iterator[tuple[str, ast.Call, Statement]]:
    """The calls `sql.name.fetch(tx, …)` in a package, each with where it stands and the statement it means."""
    for file in sorted(folder.rglob("*.py")):
        for node in nodes(file):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(value=ast.Name(id="sql" | "_sql" | "SQL"), attr=called), attr=run
                    )
                ) if run in RUNS and called in kept(folder):
                    yield f"{name(file)}:{node.lineno}", node, kept(folder)[called]


def complaint(call: ast.Call, statement: Statement) -> str | None:
    """What is wrong with a call as far as its text shows; `*` and `**` hide what they hand on."""
    assert isinstance(call.func, ast.Attribute)
    named = {keyword.arg for keyword in call.keywords} - {"prefetch"}
    given = len(call.args) - (call.func.attr != "values")
    if not statement.parameters:
        if named:
            return "has no named parameters"
        hidden = any(isinstance(argument, ast.Starred) for argument in call.args)
        return None if hidden or given == statement.positional else f"takes {statement.positional} values"
    if given:
        return "takes its parameters by name"
    if more := named - {None, "rows", *statement.parameters}:
        return f"has no parameter {more}"
    left = set(statement.parameters) - named
    from_rows = statement.arrays if "rows" in named else set()
    return None if None in named or left <= from_rows else f"needs {left - from_rows}"


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_each_call_passes_what_its_statement_takes(folder: Path) -> None:
    wrong = [
        f"{where}: {statement.name} {found}"
        for where, call, statement in calls(folder)
        if (found := complaint(call, statement))
    ]
    assert wrong == []


def test_long_lists_of_parameters_have_names() -> None:
    long = {
        statement.name
        for folder in FOLDERS
        for statement in kept(folder).values()
        if statement.positional > POSITIONAL_MAX
    }
    assert long == set()


def _column(item: str) -> str:
    """The name in an item of a list, without the keyword and the table before it and the type behind."""
    parts = [part for part in item.split() if not part.isupper()]
    return parts[0].rpartition(".")[2] if parts else item


def listed_twice(texts: Iterable[str]) -> set[str]:
    """The statements and lists that have more columns in the same order than may stand in two places."""
    places = defaultdict[tuple[str, ...], list[str]](list)
    for text in texts:
        for heading, body in re.findall(
            r"^-- (?:name|columns): (\w+)\n(.*?)(?=^-- (?:name|columns): |\Z)", text, PARTS
        ):
            for found in re.findall(r"\w[\w.]*(?: \w+)?(?:\s*,\s*\w[\w.]*(?: \w+)?)+", re.sub(r"--.*", "", body)):
                names = [_column(item) for item in found.split(",")]
                for first in range(len(names) - LISTED_MAX):
                    places[tuple(names[first : first + LISTED_MAX + 1])].append(heading)
    return {heading for headings in places.values() if len(headings) > 1 for heading in headings}


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_no_list_of_columns_stands_twice(folder: Path) -> None:
    assert listed_twice(file.read_text() for file in folder.glob("sql/*.sql")) <= FILLED_IN_PARTS


def test_a_list_that_stands_twice_is_found() -> None:
    short, long = "a, b, c, d, e, f, g", "a, b, c, d, e, f, g, h"
    aliased = ", ".join(f"t.{column}" for column in long.split(", "))
    typed = ", ".join(f"{column} text" for column in long.split(", "))
    one = f"-- name: one\n-- Why.\nSELECT {long}\nFROM t;\n"
    assert listed_twice([one, f"-- name: two\nSELECT {short} FROM t;"]) == set()
    assert listed_twice([one, f"-- name: two\n-- {long}\nSELECT {{t.columns}}\nFROM t;"]) == set()
    assert listed_twice([one + f"-- name: two\nSELECT y, {aliased}\nFROM t;"]) == {"one", "two"}
    assert listed_twice([f"-- columns: all\n{typed}\n", one]) == {"all", "one"}
    assert listed_twice([f"-- name: one\nINSERT INTO t ({long})\nSELECT {aliased}\nFROM t;"]) == {"one"}


@pytest.mark.parametrize(
    ("call", "text", "found"),
    [
        ("sql.a.fetch(tx, 1, 2)", "SELECT $1, $2", None),
        ("sql.a.fetch(tx, *both)", "SELECT $1, $2", None),
        ("sql.a.values(1, 2)", "SELECT $1, $2", None),
        ("sql.a.cursor(tx, prefetch=4)", "SELECT 1", None),
        ("sql.a.fetch(tx, 1)", "SELECT $1, $2", "takes 2 values"),
        ("sql.a.fetch(tx, 1, b=2)", "SELECT $1, $2", "has no named parameters"),
        ("sql.a.fetch(tx, b=1)", "SELECT :b", None),
        ("sql.a.fetch(tx, **all)", "SELECT :b", None),
        ("sql.a.fetch(tx, 1)", "SELECT :b", "takes its parameters by name"),
        ("sql.a.fetch(tx)", "SELECT :b", "needs {'b'}"),
        ("sql.a.fetch(tx, b=1, c=2)", "SELECT :b", "has no parameter {'c'}"),
        ("sql.a.fetch(tx, **all, c=2)", "SELECT :b", "has no parameter {'c'}"),
        ("sql.a.fetch(tx, rows=all, b=1)", "SELECT :b::int, :c::int[]", None),
        ("sql.a.fetch(tx, rows=all)", "SELECT :b::int, :c::int[]", "needs {'b'}"),
    ],
)
def test_a_call_that_does_not_fit_is_found(call: str, text: str, found: str | None) -> None:
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call)
    assert complaint(parsed, Statement("a", text)) == found
