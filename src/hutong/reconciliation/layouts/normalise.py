"""A file in, its rows out: unpacked within limits, framed, read, and proven by its own totals, or refused whole.

Most rows are read by DuckDB, in one pass, into the Parquet file. What the quick way leaves is read row by row. The rows
of a file are used only if its totals prove all of them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hutong.channels import BillRefused
from hutong.reconciliation.duck import ROWS_FORMAT, connect, create_table, literal
from hutong.reconciliation.layouts.compiler import Compiled, compile_layout
from hutong.reconciliation.layouts.days import day_of
from hutong.reconciliation.layouts.delivery import Bounded, opened
from hutong.reconciliation.layouts.fixed import spool_fixed
from hutong.reconciliation.layouts.model import EXCEPTIONS_MAX, MONEY, Layout
from hutong.reconciliation.layouts.reader import NotThisFile, RowReader, first, regrouped
from hutong.reconciliation.layouts.spool import Care, Spooled, lines_of, places, spool_lines, totals_of
from hutong.reconciliation.layouts.tables import spool_values
from hutong.reconciliation.layouts.totals import ControlTotals
from hutong.reconciliation.model import RowKind
from hutong.reconciliation.normalised import FaultyRow, Normalised
from hutong.reconciliation.rows import ROW_COLUMNS

if TYPE_CHECKING:
    import duckdb

_TEXT_MAX = 8_192
_BATCH = 1_000


def normalise(
    layout: Layout,
    files: Sequence[Path],
    out: Path,
    *,
    account: str | None,
    day: date | None,
    file_index: int = 0,
    memory_mb: int = 512,
    threads: int = 2,
) -> Normalised:
    """Read the files of one delivery into rows.

    Args:
        files: As they came; one holds the rows.
        out: The Parquet file to write, with `ROW_COLUMNS`.
        account: The merchant's number that the file and its rows must name; by default that of its first row.
        day: The day that the file covers; None for the one that the file itself names.
        file_index: The value of the column `file`.
        memory_mb, threads: What DuckDB may use.

    Effects:
        Writes `out` whole, or not at all.

    Repeat:
        The same files give the same bytes.

    Errors:
        BillRefused: the frame, a total, the merchant or a limit does not hold, or a row cannot be read and its money
            is not certain.
    """
    day = day or day_of(layout, files)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".layout-") as scratch:
        for care in Care:
            work = _Work(layout, files, Path(scratch), account, day, file_index)
            with connect(Path(scratch), memory_mb=memory_mb, threads=threads) as duck:
                result = work.run(duck, care)
            if result is not None:
                shutil.move(work.part, out)
                return result
    raise BillRefused("the rows of the file do not have the form that the layout states")


class _Work:
    """One file on its way."""

    def __init__(
        self, layout: Layout, files: Sequence[Path], scratch: Path, account: str | None, day: date, index: int
    ) -> None:
        self._layout = layout
        self._files = files
        self._scratch = scratch
        self._account = account
        self._day = day
        self._index = index
        self._lines = scratch / "lines"
        self.part = scratch / "rows.parquet"
        self._spooled = Spooled()
        self._added = ControlTotals(layout)
        self._faults: list[FaultyRow] = []
        self._slow: list[dict[str, Any]] = []

    def run(self, duck: duckdb.DuckDBPyConnection, care: Care) -> Normalised | None:
        """Read the file; return None if its lines were not as regular as they were taken for."""
        layout = self._layout
        with opened(layout, self._files, self._day) as (_, summary):
            stated = totals_of(layout, summary, self._day)
        self._spooled = self._spool(care)
        found = places(layout, self._spooled.names, self._spooled.width)
        merchant = self._merchant_of(stated, found)
        reader = RowReader(layout, found, self._day, merchant)
        compiled = compile_layout(layout, found, self._day, merchant, in_bytes=self._spooled.encoding == "latin-1")
        source = self._source(duck)
        self._write_valid(duck, compiled, source)
        written = self._add_totals(duck, compiled)
        if written != self._spooled.rows:
            if not self._read_rest(duck, compiled, source, reader, self._spooled.rows - written):
                return None
            self._unite(duck)
        if not self._spooled.is_whole:
            self._added.prove({**self._spooled.stated, **stated})
        totals, rows, last = self._totals(duck)
        faults = sorted(self._faults, key=lambda fault: fault.line)
        return Normalised(rows, faults, totals, last or self._day, merchant or reader.merchant or "")

    def _spool(self, care: Care) -> Spooled:
        layout = self._layout
        with ExitStack() as stack:

            def stream() -> Bounded:
                return stack.enter_context(opened(layout, self._files, self._day))[0]

            if layout.form == "fixed":
                return spool_fixed(layout, stream(), self._lines)
            if layout.form == "csv" and not layout.text.quoted:
                return spool_lines(layout, stream, self._day, self._lines, care)
            return spool_values(layout, stream(), self._day, self._lines)

    def _merchant_of(self, stated: Mapping[str, str], found: Mapping[str, int]) -> str | None:
        """Return the merchant whom the head, the account or the first row names.

        Errors:
            BillRefused: they name different ones.
        """
        named = {each["merchant"] for each in (self._spooled.stated, stated) if each.get("merchant")}
        if self._account:
            named.add(self._account)
        if len(named) > 1:
            raise BillRefused("the file belongs to another merchant")
        if named or not self._layout.merchant:
            return next(iter(named), None)
        prefix = self._layout.text.prefix
        with self._lines.open(encoding=self._spooled.encoding, errors="replace", newline="\n") as lines:
            for line in lines:
                values = self._values(line.rstrip("\r\n").removeprefix(prefix))
                if len(values) == self._spooled.width and any(values):
                    texts = RowReader(self._layout, found, self._day, None).texts(values)
                    if merchant := first(texts, self._layout.merchant):
                        return merchant
        return None

    def _values(self, text: str) -> list[str]:
        values = text.split(self._spooled.separator)
        if self._layout.text.strip:
            values = [value.strip() for value in values]
        return values

    def _source(self, duck: duckdb.DuckDBPyConnection) -> str:
        columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(self._spooled.width))
        if not self._spooled.rows:
            described = {f"c{place}": "VARCHAR" for place in range(self._spooled.width)}
            duck.execute(create_table("nothing", described))
            return "nothing"
        end = "\\r\\n" if self._layout.text.line_end == "crlf" and self._spooled.separator != "\x1f" else "\\n"
        return (
            f"read_csv({literal(self._lines)}, encoding='{self._spooled.encoding}', auto_detect=false, header=false, "
            f"columns={{{columns}}}, quote='', escape='', delim={literal(self._spooled.separator)}, "
            f"new_line={literal(end)}, ignore_errors=true, max_line_size={1 << 20}, nullstr='\\N\\N')"
        )

    def _columns(self, compiled: Compiled) -> str:
        """Return the columns of rows but their place."""
        names = [name for name in ROW_COLUMNS if name not in ("file", "line")]
        return ", ".join(f'CAST({compiled.outputs[name]} AS {ROW_COLUMNS[name]}) AS "{name}"' for name in names)

    def _placed(self) -> str:
        """Return the columns of rows from those that `_columns` has selected."""
        file, line = f"{self._index}::INTEGER AS file", f"(line + {self._spooled.skipped})::BIGINT AS line"
        return ", ".join([*(f'"{name}"' for name in ROW_COLUMNS if name not in ("file", "line")), file, line])

    def _write_valid(self, duck: duckdb.DuckDBPyConnection, compiled: Compiled, source: str) -> None:
        """Write the rows that the quick way can read.

        Where the parts of the totals do not follow from a row's own money, they stand beside it, in columns of their
        own that are empty in all other rows.
        """
        columns = [*self._added.sums, *self._added.groups]
        parts = "".join(f", CASE WHEN NOT plain THEN {column} END AS {column}" for column in columns)
        plain = f"coalesce({compiled.plain}, false)" if compiled.claims is not None else "false"
        names = "".join(f", {column}" for column in columns)
        query = compiled.rows(source, f"{self._columns(compiled)}, {compiled.valid} AS valid, {plain} AS plain{names}",
                              self._extra())  # fmt: skip
        rows = f"FROM {query} SELECT {self._placed()}, plain{parts} WHERE valid"
        duck.execute(f"COPY ({rows}) TO {literal(self.part)} {ROWS_FORMAT}")

    def _add_totals(self, duck: duckdb.DuckDBPyConnection, compiled: Compiled) -> int:
        """Add up what has been written; return the number of rows."""
        sums = "".join(f", sum({name})" for name in (*MONEY, *self._added.sums))
        groups = "".join(f", {name}" for name in self._added.groups)
        written = 0
        for kind, currency, plain, count, *values in duck.execute(
            f"FROM read_parquet({literal(self.part)}) SELECT kind, currency, plain, count(*){sums}{groups} "
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            written += count
            if plain:
                self._added.add_plain(compiled, RowKind(kind), currency, count, dict(zip(MONEY, values, strict=False)))
            else:
                self._added.add_group(RowKind(kind), [count, *values[len(MONEY) :]])
        return written

    def _extra(self) -> list[str]:
        return ["c0"] if self._layout.text.prefix else []

    def _read_rest(
        self, duck: duckdb.DuckDBPyConnection, compiled: Compiled, source: str, reader: RowReader, missing: int
    ) -> bool:
        """Read the rows that the quick way has left; return False if their lines are not certain."""
        if self._spooled.encoding != "utf-8":
            return False
        wrong: list[int] = []
        if missing != self._spooled.stand_ins:
            rows = compiled.rows(source, f"coalesce({compiled.valid}, false) AS valid", self._extra())
            lines = f"list(line + {self._spooled.skipped}) FILTER (NOT valid)"
            ((count, found),) = duck.execute(f"FROM {rows} SELECT count(*), {lines}").fetchall()
            if count != self._spooled.rows:
                return False
            wrong = sorted(found or ())
        for line, text in self._texts_of(wrong):
            self._read_one(line, text, reader)
        return True

    def _texts_of(self, wrong: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Yield the rows that DuckDB does not read: irregular ones, and those of another form."""
        skipped, stood_for = self._spooled.skipped, set(self._spooled.irregular)
        yield from self._spooled.irregular.items()
        for place, text in lines_of(self._lines, [line - skipped for line in wrong if line not in stood_for]):
            if text.replace(self._layout.text.prefix, "").strip(self._spooled.separator):
                yield place + skipped, text

    def _read_one(self, line: int, text: str, reader: RowReader) -> None:
        """Read a row by itself: a row, or an exception whose money is counted.

        Errors:
            BillRefused: what it adds to the totals is not certain, or it is another merchant's.
        """
        values, width = self._values(text.removeprefix(self._layout.text.prefix)), self._spooled.width
        if len(values) == width:
            texts = reader.texts(values)
            self._added.add_row(self._certain(reader, texts, line), texts)
            try:
                reader.check(texts)
                self._check_characters(line, "".join(texts[name] for name in self._layout.used))
                self._slow.append(reader.row(texts) | {"file": self._index, "line": line})
            except NotThisFile:
                raise BillRefused(f"line {line} belongs to another merchant or day") from None
            except BillRefused as error:
                self._fault(line, error.detail, text)
            return
        reason = f"it has {len(values)} values and {width} columns"
        readings: list[tuple[dict[str, int], dict[str, str]]] = []
        free = [reader.places[name] for name in self._free() if name in reader.places]
        for candidate in regrouped(values, width, free, self._spooled.separator):
            texts = reader.texts(candidate)
            with suppress(NotThisFile, BillRefused):
                if reader.is_typed(texts):
                    reader.row(texts)
                    parts = reader.parts(texts)
                    if all(parts != each for each, _ in readings):
                        readings.append((parts, texts))
        if len(readings) != 1:
            raise BillRefused(f"line {line} cannot be read, {reason}, and so the totals prove nothing")
        self._added.add_row(*readings[0])
        self._fault(line, reason, text)

    def _check_characters(self, line: int, text: str) -> None:
        """Check that what is read of a row is in the file's encoding; a name that was cut off amid a character is not.

        Errors:
            BillRefused.
        """
        encoding = self._layout.text.encoding
        if line in self._spooled.undecoded or ("\ufffd" in text and encoding != "utf-8"):
            raise BillRefused(f"it is not in {encoding.upper()}")
        if text.encode("utf-8", "surrogateescape") != text.encode("utf-8", "replace"):
            raise BillRefused("it is not in UTF-8")

    def _free(self) -> list[str]:
        return [name for name, column in self._layout.columns.items() if column.free]

    def _certain(self, reader: RowReader, texts: dict[str, str], line: int) -> dict[str, int]:
        try:
            return reader.parts(texts)
        except BillRefused as error:
            raise BillRefused(f"line {line}: {error.detail}, and so the totals prove nothing") from None

    def _fault(self, line: int, reason: str, text: str) -> None:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")
        self._faults.append(FaultyRow(self._index, line, reason, shown.replace("\x1f", ",")[:_TEXT_MAX]))
        if len(self._faults) > EXCEPTIONS_MAX:
            raise BillRefused("too many rows of the file cannot be read")

    def _unite(self, duck: duckdb.DuckDBPyConnection) -> None:
        """Add the rows that were read by themselves to the others."""
        if not self._slow:
            return
        duck.execute(create_table("slow"))
        marks = ", ".join("?" for _ in ROW_COLUMNS)
        for start in range(0, len(self._slow), _BATCH):
            batch = [[row[name] for name in ROW_COLUMNS] for row in self._slow[start : start + _BATCH]]
            duck.executemany(f"INSERT INTO slow VALUES ({marks})", batch)
        names = ", ".join(f'"{name}"' for name in ROW_COLUMNS)
        rows = f"(FROM read_parquet({literal(self.part)}) SELECT {names}) UNION ALL (FROM slow SELECT {names})"
        whole = self._scratch / "whole.parquet"
        duck.execute(f"COPY ({rows}) TO {literal(whole)} {ROWS_FORMAT}")
        whole.replace(self.part)

    def _totals(self, duck: duckdb.DuckDBPyConnection) -> tuple[dict[str, Any], int, date | None]:
        """Return counts and sums by kind and currency, the number of rows, and the last day of rows with their own."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in MONEY)
        query = (
            f"FROM read_parquet({literal(self.part)}) SELECT kind, currency, count(*), max(day), {sums} GROUP BY ALL"
        )
        totals: dict[str, Any] = {}
        rows, last = 0, None
        for kind, currency, count, latest, *money in sorted(duck.execute(query).fetchall()):
            rows += count
            last = latest if last is None else max(last, latest)
            figures = {"count": count} | {name: int(value) for name, value in zip(MONEY, money, strict=True)}
            totals.setdefault(kind, {})[currency] = figures
        return totals, rows, last if self._layout.row.day else None
