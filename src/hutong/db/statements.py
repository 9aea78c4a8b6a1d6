"""The loader of SQL files, the only source of statements.

A file holds statements, and lists of columns that statements share:

    -- columns: refund_state
    state text, sends integer, finished_at timestamptz

    -- columns: refund
    id AS refund_id, payment_id, {refund_state}

    -- name: find_refunds
    -- Refunds by id.
    SELECT {r.refund}
    FROM payments.refund AS r
    WHERE r.id = ANY (:refund_ids::uuid[]);

    -- name: update_refunds
    -- The new states of refunds whose payments the caller has locked.
    UPDATE payments.refund AS r
    SET ({refund_state}) = ROW ({u.refund_state})
    FROM unnest(:refund_id::uuid[], {refund_state[]}) AS u (refund_id, {refund_state})
    WHERE r.id = u.refund_id;

`{refund}` stands for the columns, `{r.refund}` for the same columns of the table `r`, and `{refund_state[]}` for one
array parameter per column, here `:state::text[], :sends::integer[], :finished_at::timestamptz[]`. `:refund_ids` is
a named parameter. Callers name what they pass:

    find_refunds.fetch(tx, refund_ids=refund_ids)
    update_refunds.execute(tx, rows=refunds)

`rows` fills every array parameter that is not passed from the attribute of the same name of each object, so that a new
column changes no caller. Short statements may number their parameters (`$1`) and take them by position instead.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

    from hutong.db.pool import Tx

_HEADING = re.compile(r"^[ \t]*--[ \t]*(name|columns)[ \t]*:(.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMENT = re.compile(r"--[^\n]*")
_MARKER = re.compile(r"(?:(?P<table>\w+)\.)?(?P<columns>\w+)(?P<arrays>\[\])?")
_COLUMN = re.compile(r"(?P<name>\w+)(?: (?!AS )(?P<type>[\w.() ]+?))?(?: AS (?P<alias>\w+))?", re.IGNORECASE)
# Strings and comments come first, so that their content is not mistaken for a parameter or a marker.
_TOKEN = re.compile(
    r"""
      (?<!\w)[eE]'(?:[^'\\]|\\.|'')*'                        # a string with escapes
    | '[^']*'                                                  # any other string; a doubled quote makes it two
    | "[^"]*"                                                  # a quoted name
    | --[^\n]*                                                 # a comment
    | (?P<block>/\*.*?\*/)                                     # a comment in a block
    | (?<!\w)(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)         # a string between dollars
    | ::                                                       # a cast
    # A colon right after a value is the middle of an array's slice, `a[i:j]`.
    | (?<![\w)\]"'])  :(?P<name>[A-Za-z_]\w*)  (?P<array>(?=\s*::\s*[\w.]+(?:\s*\(\d+\))?\s*\[))?
    | (?<!\w)\$(?P<number>\d+)
    | \{(?P<marker>[^}]*)\}
    """,
    re.VERBOSE | re.DOTALL,
)
_TAKEN = {"rows", "prefetch"}


class Statement:
    """A statement with its name. asyncpg prepares it once per connection and reuses the plan.

    Attributes:
        text: The text for the server, with numbered parameters.
        parameters: The names of its parameters in the order of their numbers; empty if they are given by position.
        arrays: The parameters that are cast to an array, which `rows` can fill.
        positional: The number of parameters given by position; 0 if they have names.

    Errors:
        ValueError: the statement has both named and numbered parameters, a parameter has the name of an argument of
            `cursor`, or a comment contains another.
    """

    __slots__ = ("_from_rows", "_in_order", "arrays", "name", "parameters", "positional", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        numbers: dict[str, int] = {}
        tokens = list(_TOKEN.finditer(text))
        self.positional = max((int(token["number"]) for token in tokens if token["number"]), default=0)
        self.arrays = frozenset(token["name"] for token in tokens if token["array"] is not None)

        def number(token: re.Match[str]) -> str:
            return f"${numbers.setdefault(token['name'], len(numbers) + 1)}" if token["name"] else token[0]

        self.text = _TOKEN.sub(number, text)
        self.parameters = tuple(numbers)
        if self.positional and numbers:
            raise ValueError(f"{name} has named parameters beside numbered ones")
        if wrong := _TAKEN & set(numbers):
            raise ValueError(f"{name}: no parameter may be named {wrong.pop()}")
        if any("/*" in token["block"][2:] for token in tokens if token["block"]):
            raise ValueError(f"{name} has a comment within a comment")
        self._in_order = _getter(itemgetter, self.parameters)
        self._from_rows: dict[tuple[str, ...], tuple[tuple[str, ...], Callable[[Any], tuple[object, ...]]]] = {}

    def __repr__(self) -> str:
        return f"Statement({self.name})"

    async def fetch(
        self, tx: Tx, /, *arguments: object, rows: Sequence[object] | None = None, **named: object
    ) -> list[asyncpg.Record]:
        """Run and return all rows. Arguments as for `values`."""
        return await tx.fetch(self.text, *self.values(*arguments, rows=rows, **named))

    async def fetchrow(
        self, tx: Tx, /, *arguments: object, rows: Sequence[object] | None = None, **named: object
    ) -> asyncpg.Record | None:
        """Run and return the first row, or None. Arguments as for `values`."""
        return await tx.fetchrow(self.text, *self.values(*arguments, rows=rows, **named))

    async def fetchval(
        self, tx: Tx, /, *arguments: object, rows: Sequence[object] | None = None, **named: object
    ) -> Any:
        """Run and return the first column of the first row, or None. Arguments as for `values`."""
        return await tx.fetchval(self.text, *self.values(*arguments, rows=rows, **named))

    async def execute(
        self, tx: Tx, /, *arguments: object, rows: Sequence[object] | None = None, **named: object
    ) -> str:
        """Run and return the command tag, such as "UPDATE 3". Arguments as for `values`."""
        return await tx.execute(self.text, *self.values(*arguments, rows=rows, **named))

    async def cursor(
        self,
        tx: Tx,
        /,
        *arguments: object,
        rows: Sequence[object] | None = None,
        prefetch: int = 1000,
        **named: object,
    ) -> AsyncIterator[asyncpg.Record]:
        """Run and yield rows as they arrive, for results too large to hold. Arguments as for `values`."""
        async for row in tx.cursor(self.text, *self.values(*arguments, rows=rows, **named), prefetch=prefetch):
            yield row

    def values(self, /, *arguments: object, rows: Sequence[object] | None = None, **named: object) -> Sequence[object]:
        """Return the values of the parameters in the order of their numbers.

        Args:
            arguments: The values themselves, for a statement whose parameters have no names.
            rows: Objects of one kind. Each array parameter that is not in `named` becomes the list of their attributes
                of its name.
            named: The values by the names of the parameters.

        Errors:
            TypeError: a parameter is missing or unknown, or values come by position to named parameters.
            ValueError: an array beside `rows` has more or fewer values than there are rows; PostgreSQL would fill the
                shorter array with nulls.
            AttributeError: the objects have no attribute of an array parameter's name.
        """
        if not self.parameters:
            if named or rows is not None:
                raise TypeError(f"{self.name} has no named parameters")
            return arguments
        if arguments:
            raise TypeError(f"{self.name} takes its parameters by name")
        if rows is not None:
            self._read(rows, named)
        try:
            values = self._in_order(named)
        except KeyError as error:
            raise TypeError(f"{self.name} needs the parameter {error}") from None
        if len(named) != len(values):
            raise TypeError(f"{self.name} has no parameter {(named.keys() - set(self.parameters)).pop()!r}")
        return values

    def _read(self, rows: Sequence[object], named: dict[str, object]) -> None:
        passed = tuple(named)
        if passed not in self._from_rows:
            absent = tuple(name for name in self.parameters if name in self.arrays and name not in named)
            if not absent:
                raise TypeError(f"{self.name} needs no rows beside these parameters")
            self._from_rows[passed] = absent, _getter(attrgetter, absent)
        for name in self.arrays.intersection(named):
            array: Any = named[name]
            if len(array) != len(rows):
                raise ValueError(f"{self.name} has {len(array)} values of {name} for {len(rows)} rows")
        absent, get = self._from_rows[passed]
        named.update(zip(absent, zip(*map(get, rows), strict=True) if rows else ((),) * len(absent), strict=True))


class Statements:
    """The statements of one package, as attributes."""

    def __init__(self, entries: dict[str, Statement], columns: Mapping[str, tuple[str, ...]]) -> None:
        self._entries = entries
        self._columns = columns

    def __getattr__(self, name: str) -> Statement:
        try:
            return self.__dict__["_entries"][name]  # type: ignore[no-any-return]
        except KeyError as error:
            raise AttributeError(f"no statement is named {name}") from error

    def __getitem__(self, name: str) -> tuple[str, ...]:
        """Return the names of a list's columns in a row, for `reader`."""
        return self._columns[name]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._entries.values())


def load_statements(package: str) -> Statements:
    """Load every `sql/*.sql` of a package.

    Args:
        package: Usually `__package__`.

    Errors:
        ValueError: a file has SQL above its first heading; a name is malformed, duplicate or without a text; a marker
            names no list of columns, or no marker names a list; a statement mixes named and numbered parameters.
            All are mistakes in the source, found when the module is imported.
    """
    texts: dict[str, dict[str, str]] = {"name": {}, "columns": {}}
    folder = importlib.resources.files(package) / "sql"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        where = f"{package}: {file.name}"
        preamble, *parts = _HEADING.split(file.read_text(encoding="utf-8"))
        if _holds_sql(preamble):
            raise ValueError(f"{where} holds SQL without a name")
        for kind, name, text in zip(parts[::3], map(str.strip, parts[1::3]), parts[2::3], strict=True):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{where}: {name!r} is not a name in lower snake case")
            if name in texts[kind]:
                raise ValueError(f"{where}: two {'statements' if kind == 'name' else 'lists'} are named {name}")
            if not _holds_sql(text):
                raise ValueError(f"{where}: {name} is empty")
            texts[kind][name] = text.strip()
    lists = _Lists(package, texts["columns"])
    entries = {name: Statement(name, lists.expand(name, text)) for name, text in texts["name"].items()}
    return Statements(entries, lists.names())


class _Lists:
    """The lists of columns of one package."""

    def __init__(self, package: str, texts: Mapping[str, str]) -> None:
        self._package = package
        self._texts = dict(texts)
        self._used: set[str] = set()
        self._columns = {name: self._columns_of(name, ()) for name in texts}

    def expand(self, where: str, text: str) -> str:
        """Replace each marker of a statement by its columns."""
        return _TOKEN.sub(lambda token: token[0] if token["marker"] is None else self._fill(where, token), text)

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names that the columns of each list have in a row.

        Errors:
            ValueError: a list is used nowhere.
        """
        if unused := self._texts.keys() - self._used:
            raise ValueError(f"{self._package}: nothing uses the columns {min(unused)}")
        return {
            name: tuple(column["alias"] or column["name"] for column in columns)
            for name, columns in self._columns.items()
        }

    def _fill(self, where: str, token: re.Match[str]) -> str:
        marker = _MARKER.fullmatch(token["marker"])
        columns = self._columns.get(marker["columns"]) if marker else None
        if marker is None or columns is None or (marker["table"] and marker["arrays"]):
            raise ValueError(f"{self._package}: {where}: {token[0]} names no columns")
        self._used.add(marker["columns"])
        if marker["arrays"]:
            if any(column["type"] is None or column["alias"] for column in columns):
                raise ValueError(f"{self._package}: {where}: {token[0]} needs the type of each column, and no alias")
            return ", ".join(f":{column['name']}::{column['type']}[]" for column in columns)
        table = f"{marker['table']}." if marker["table"] else ""
        return ", ".join(
            f"{table}{column['name']}" + (f" AS {column['alias']}" if column["alias"] else "") for column in columns
        )

    def _columns_of(self, name: str, around: tuple[str, ...]) -> list[re.Match[str]]:
        """Return the columns of a list, including those of nested lists."""
        columns: list[re.Match[str]] = []
        for item in _COMMENT.sub("", self._texts[name]).split(","):
            text = " ".join(item.split())
            inner = text[1:-1] if text.startswith("{") and text.endswith("}") else None
            if inner in self._texts and inner not in (name, *around):
                self._used.add(inner)
                columns += self._columns_of(inner, (name, *around))
            elif column := _COLUMN.fullmatch(text):
                columns.append(column)
            else:
                raise ValueError(f"{self._package}: columns {name}: {text!r} is not a column")
        names = [column["alias"] or column["name"] for column in columns]
        if duplicates := {each for each in names if names.count(each) > 1}:
            raise ValueError(f"{self._package}: columns {name}: {min(duplicates)} is listed twice")
        return columns


def _getter(make: Callable[..., Any], names: tuple[str, ...]) -> Callable[[Any], tuple[object, ...]]:
    """Make a function that returns these items or attributes as a tuple, even if there is only one."""
    if not names:
        return tuple
    get: Callable[[Any], tuple[object, ...]] = make(*names)
    return get if len(names) > 1 else partial(_as_tuple, get)


def _as_tuple(get: Callable[[Any], object], value: object) -> tuple[object]:
    return (get(value),)


def _holds_sql(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("--") for line in text.splitlines())
