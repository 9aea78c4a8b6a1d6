"""The loader of statements: a slip in a file is found when the module is imported, not when money moves."""

from __future__ import annotations

import copy
import itertools
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import asyncpg
import pytest

from hutong.db import Tx, load_statements
from hutong.db.statements import Statement, Statements

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
        ("-- columns: a\nx\n-- columns: a\nx\n-- name: b\nSELECT {a};", "two lists are named a"),
        ("-- columns: a\n-- Only why.\n-- name: b\nSELECT {a};", "a is empty"),
        ("-- columns: a\nx\n-- name: b\nSELECT 1;", "nothing uses the columns a"),
        ("-- columns: a\nx\n-- name: b\n-- {a}\nSELECT '{a}';", "nothing uses the columns a"),
        ("-- name: b\nSELECT {a};", r"b: \{a\} names no columns"),
        ("-- columns: a\nx int\n-- name: b\nSELECT {t.a[]};", r"\{t.a\[\]\} names no columns"),
        ("-- columns: a\nx\n-- name: b\nSELECT {a, x};", r"\{a, x\} names no columns"),
        ("-- columns: a\nx\n-- name: b\nSELECT unnest({a[]});", "needs the type"),
        ("-- columns: a\nx int AS y\n-- name: b\nSELECT unnest({a[]});", "no alias"),
        ("-- columns: a\nx, {nothing}\n-- name: b\nSELECT {a};", "'{nothing}' is not a column"),
        ("-- columns: a\nx, {a}\n-- name: b\nSELECT {a};", "'{a}' is not a column"),
        ("-- columns: a\nx, {c}\n-- columns: c\n{a}\n-- name: b\nSELECT {a};", "'{a}' is not a column"),
        ("-- columns: a\nx, y,\n-- name: b\nSELECT {a};", "'' is not a column"),
        ("-- columns: a\nx, y + 1\n-- name: b\nSELECT {a};", r"'y \+ 1' is not a column"),
        ("-- columns: a\nx, y AS x\n-- name: b\nSELECT {a};", "x is listed twice"),
        ("-- name: a\nSELECT :x, $1;", "named parameters beside numbered ones"),
        ("-- name: a\nSELECT :rows;", "no parameter may be named rows"),
        ("-- name: a\nSELECT :prefetch;", "no parameter may be named prefetch"),
        ("-- name: a\nSELECT 1 /* one /* two */ :x */;", "a comment within a comment"),
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


FILE = """
-- columns: state
-- What changes.
state text, sends integer, finished_at timestamptz

-- columns: refund
id AS refund_id, amount_minor, -- What goes back, in minor units.
{state}

-- name: find
-- By id.
SELECT {r.refund}, now() FROM refund AS r
WHERE r.id = ANY (:ids::uuid[]);

-- name: save
-- All at once.
UPDATE refund AS r
SET ({state}, by) = ROW ({u.state}, :by::text)
FROM unnest(:refund_id::uuid [], {state[]})
    AS u (refund_id, {state})
WHERE r.id = u.refund_id;
"""


def test_a_marker_stands_for_a_list_of_columns(load: Load) -> None:
    sql = load(refund=FILE)
    assert sql.find.text.splitlines()[1:] == [
        "SELECT r.id AS refund_id, r.amount_minor, r.state, r.sends, r.finished_at, now() FROM refund AS r",
        "WHERE r.id = ANY ($1::uuid[]);",
    ]
    assert sql.save.text.splitlines()[1:] == [
        "UPDATE refund AS r",
        "SET (state, sends, finished_at, by) = ROW (u.state, u.sends, u.finished_at, $1::text)",
        "FROM unnest($2::uuid [], $3::text[], $4::integer[], $5::timestamptz[])",
        "    AS u (refund_id, state, sends, finished_at)",
        "WHERE r.id = u.refund_id;",
    ]
    assert sql["refund"] == ("refund_id", "amount_minor", "state", "sends", "finished_at")


def test_a_list_may_stand_in_another_file(load: Load) -> None:
    sql = load(one="-- name: b\nSELECT {a};", two="-- columns: a\nx, y")
    assert sql.b.text == "SELECT x, y;"


@pytest.mark.parametrize(
    ("text", "numbered", "parameters"),
    [
        ("SELECT :b, :a, :b", "SELECT $1, $2, $1", ("b", "a")),
        ("SELECT :a::text, (:b)::date, :c ::int[]", "SELECT $1::text, ($2)::date, $3 ::int[]", ("a", "b", "c")),
        ("SELECT x::text, x :: text, ''::bytea", "SELECT x::text, x :: text, ''::bytea", ()),
        ("SELECT ':a', 'it''s :a', \":a\", :b", "SELECT ':a', 'it''s :a', \":a\", $1", ("b",)),
        ("SELECT E'it\\' :a', :b", "SELECT E'it\\' :a', $1", ("b",)),
        ("SELECT $$ :a $$, $q$ $$ :a '$q$, :b", "SELECT $$ :a $$, $q$ $$ :a '$q$, $1", ("b",)),
        ("-- Not :a, it's a comment.\nSELECT :b", "-- Not :a, it's a comment.\nSELECT $1", ("b",)),
        ("SELECT /* :a\n' */ :b", "SELECT /* :a\n' */ $1", ("b",)),
        ("SELECT x[i:j], x[f(i):j], x[a[1]:j], x[1:2]", "SELECT x[i:j], x[f(i):j], x[a[1]:j], x[1:2]", ()),
        ("SELECT x[:i], ARRAY[:a, :b]", "SELECT x[$1], ARRAY[$2, $3]", ("i", "a", "b")),
        ("SELECT f(x := :a, y=>:b), z := 1", "SELECT f(x := $1, y=>$2), z := 1", ("a", "b")),
        ("SELECT a<:b AND c>=-:d", "SELECT a<$1 AND c>=-$2", ("b", "d")),
    ],
)
def test_named_parameters_are_numbered_and_nothing_else_is(text: str, numbered: str, parameters: tuple[str]) -> None:
    statement = Statement("a", text)
    assert statement.text == numbered
    assert statement.parameters == parameters
    assert statement.positional == 0


def test_a_statement_knows_how_many_parameters_go_by_position() -> None:
    assert Statement("a", "SELECT $12, $2, '$13', x$14").positional == 12
    assert Statement("a", "SELECT 1").positional == 0


def test_a_statement_knows_its_arrays() -> None:
    text = "SELECT :a::uuid[], :b::timestamptz [], :c::numeric(10)[], :d::s.kind[], :e::text, :f[1], :g"
    assert Statement("a", text).arrays == {"a", "b", "c", "d"}


def test_values_are_put_in_the_order_of_their_numbers() -> None:
    statement = Statement("pay", "SELECT :fee_minor, :amount_minor, :fee_minor, :currency")
    assert statement.values(currency="CNY", amount_minor=100, fee_minor=6) == (6, 100, "CNY")
    assert Statement("one", "SELECT :a").values(a=None) == (None,)
    assert Statement("two", "SELECT $1, $2").values(1, 2) == (1, 2)


@dataclass
class Change:
    """One row of a change."""

    refund_id: int
    state: str
    sends: int
    finished_at: str | None = None


CHANGES = [Change(1, "held", 0), Change(2, "succeeded", 3, "noon")]


def test_rows_fill_the_arrays_that_are_not_named(load: Load) -> None:
    sql = load(refund=FILE)
    given = ["by", (1, 2), ("held", "succeeded"), (0, 3), (None, "noon")]
    assert list(sql.save.values(rows=CHANGES, by="by")) == given
    assert list(sql.save.values(rows=[], by="by")) == ["by", (), (), (), ()]
    assert list(sql.save.values(by="by", sends=[7, 8], rows=CHANGES)) == [*given[:3], [7, 8], given[4]]
    assert list(sql.save.values(rows=CHANGES, by="by")) == given
    three = {"state": ["s"], "sends": [9], "finished_at": [None]}
    assert list(sql.save.values(rows=CHANGES[1:], by="by", **three)) == ["by", (2,), ["s"], [9], [None]]
    for sends in ([], [7], [7, 8, 9]):
        with pytest.raises(ValueError, match=f"save has {len(sends)} values of sends for 2 rows"):
            sql.save.values(rows=CHANGES, by="by", sends=sends)


@pytest.mark.parametrize(
    ("text", "arguments", "named", "complaint"),
    [
        ("SELECT :a, :b", (), {"a": 1}, "a needs the parameter 'b'"),
        ("SELECT :a, :b", (), {"a": 1, "b": 2, "c": 3}, "a has no parameter 'c'"),
        ("SELECT :a, :b", (), {"a": 1, "c": 3}, "a needs the parameter 'b'"),
        ("SELECT :a, :b", (1, 2), {}, "a takes its parameters by name"),
        ("SELECT :a, :b", (1,), {"b": 2}, "a takes its parameters by name"),
        ("SELECT $1", (1,), {"a": 1}, "a has no named parameters"),
        ("SELECT $1", (), {"rows": CHANGES}, "a has no named parameters"),
        ("SELECT :state::text[], :now::text", (), {"rows": CHANGES}, "a needs the parameter 'now'"),
        ("SELECT :state::text[]", (), {"rows": CHANGES, "stat": []}, "a has no parameter 'stat'"),
        ("SELECT :state::text", (), {"rows": CHANGES, "state": ""}, "a needs no rows"),
    ],
)
async def test_other_names_than_the_statement_s_are_refused_unsent(
    text: str, arguments: tuple[object], named: dict[str, object], complaint: str
) -> None:
    connection: Any = create_autospec(asyncpg.Connection)
    statement: Any = Statement("a", text)
    for run in (statement.fetch, statement.fetchrow, statement.fetchval, statement.execute):
        with pytest.raises(TypeError, match=complaint):
            await run(connection, *arguments, **named)
    with pytest.raises(TypeError, match=complaint):
        await anext(statement.cursor(connection, *arguments, **named))
    assert connection.method_calls == []


def test_rows_without_a_column_are_refused() -> None:
    with pytest.raises(AttributeError, match="'Change' object has no attribute 'fee_minor'"):
        Statement("a", "SELECT :sends::int[], :fee_minor::bigint[]").values(rows=CHANGES)


async def test_each_way_to_run_a_statement_by_name(tx: Tx) -> None:
    statement = Statement(
        "numbers", "SELECT n * :by::int AS n FROM unnest(:sends::int[], :state::text[]) AS n (n, state)"
    )
    assert [row["n"] for row in await statement.fetch(tx, rows=CHANGES, by=2)] == [0, 6]
    row = await statement.fetchrow(tx, by=2, sends=[5], state=["held"])
    assert row is not None
    assert row["n"] == 10
    assert await statement.fetchval(tx, rows=CHANGES[1:], by=1) == 3
    assert await statement.execute(tx, rows=[], by=1) == "SELECT 0"
    assert [row["n"] async for row in statement.cursor(tx, rows=CHANGES, by=3, prefetch=1)] == [0, 9]


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
