"""From the file as it came to plain lines for DuckDB: framed, each with the layout's number of values.

Most files are regular, and their lines are copied as they are: DuckDB counts them, and leaves out those of other forms.
Where one was left out, the blocks of lines that look regular are copied, and others are looked at line by line. A row
that is not regular leaves empty rows in its place, as many as it has lines, so that the number of a line is its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from pathlib import Path
from typing import IO

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.characters import AS_LATIN, is_read_by_bytes
from hutong.reconciliation.layouts.delivery import Bounded, dated
from hutong.reconciliation.layouts.model import EXCEPTIONS_MAX, Layout

BLOCK = 1 << 20
"""Bytes that are read at a time. Larger blocks are given back to the system each time, which costs more."""
LINE_MAX = 1 << 18
TAIL = 1 << 16
"""Bytes that are kept back, since the last lines may be totals."""
BOM = b"\xef\xbb\xbf"
_TAB, _SPACE = b"\t "


class Care(IntEnum):
    """How closely the lines are looked at."""

    TRUSTING = 0
    """As little as possible; where the layout's texts can be read by their bytes, characters are not decoded."""
    CHECKED = 1
    """Each block, and the lines of those that do not look regular."""
    CAREFUL = 2
    """Each line."""


class LookCloser(Exception):
    """The lines are not as regular as they were taken for."""


@dataclass(slots=True)
class Spooled:
    """The lines for DuckDB.

    Attributes:
        names: The header's columns; empty without a header.
        width: Values of each line.
        separator: Between them.
        encoding: Of the lines: "utf-8", or "latin-1" where each byte is a character.
        skipped: Lines of the file before the first row.
        rows: Lines written, with those that stand for irregular rows.
        stand_ins: How many lines stand for irregular rows, and for empty lines.
        irregular: By the number of its line, the text of each row that has another form.
        undecoded: The lines that are not in the layout's encoding.
        is_whole: Whether something else than totals proves that no row is missing, as the end of a list of pages.
        stated: The file's totals, and the groups `merchant` and `day` of its head, as texts.
    """

    names: tuple[str, ...] = ()
    width: int = 0
    separator: str = ""
    encoding: str = "utf-8"
    skipped: int = 0
    rows: int = 0
    stand_ins: int = 0
    irregular: dict[int, str] = field(default_factory=dict)
    undecoded: set[int] = field(default_factory=set)
    is_whole: bool = False
    stated: dict[str, str] = field(default_factory=dict)


def places(layout: Layout, names: Sequence[str], width: int) -> dict[str, int]:
    """Return where the layout's columns stand in a row.

    Errors:
        BillRefused: a column that is required is missing, or a name stands twice.
    """
    if len(set(names)) != len(names):
        raise BillRefused("the header names a column twice")
    if layout.form in ("fixed", "json"):
        return {name: place for place, name in enumerate(layout.used)}
    found: dict[str, int] = {}
    for name, column in layout.columns.items():
        place = next((names.index(header) for header in column.header if header in names), None)
        if place is None and column.position is not None and column.position <= width:
            place = column.position - 1
        if place is not None:
            found[name] = place
        elif column.required:
            raise BillRefused(f"the file lacks the column {' or '.join(column.header) or name}")
    return found


class _LineSpooler:
    """Copies the lines of a file whose values stand between separators."""

    def __init__(self, layout: Layout, day: date, out: IO[bytes], care: Care) -> None:
        self._layout = layout
        self._day = day
        self._out = out
        self._care = care
        text = layout.text
        self._crlf = text.line_end == "crlf"
        self._separator = text.separator.encode(text.encoding)
        self._prefix = text.prefix.encode(text.encoding)
        self._start = re.compile(text.row_start or re.escape(text.prefix))
        self._starts = bool(text.row_start or text.prefix)
        self._pending: list[bytes] = []
        self.result = Spooled(separator=text.separator)
        if care is Care.TRUSTING and is_read_by_bytes(layout):
            self.result.encoding = "latin-1"

    def run(self, stream: Bounded) -> Spooled:
        """Copy a file.

        Errors:
            BillRefused: its frame does not hold, or too many rows are irregular.
            LookCloser: it must be copied with more care.
        """
        buffer = self._head(stream)
        while True:
            data = stream.read(BLOCK)
            buffer += data
            if not data:
                break
            cut = buffer.rfind(b"\n", 0, max(0, len(buffer) - TAIL)) + 1
            if cut == 0 and len(buffer) > LINE_MAX + TAIL:
                raise BillRefused("a line is too long")
            if cut:
                self._copy(buffer[:cut])
                buffer = buffer[cut:]
        self._copy(self._tail(buffer))
        self._flush()
        return self.result

    def _head(self, stream: Bounded) -> bytes:
        """Read and check the lines before the rows; return what was read beyond them."""
        frame, text = self._layout.frame, self._layout.text
        wanted = len(frame.before) + frame.header
        buffer = stream.read(BLOCK)
        while buffer.count(b"\n") < wanted and len(buffer) < LINE_MAX * max(1, wanted) and (data := stream.read(BLOCK)):
            buffer += data
        if buffer.startswith(BOM):
            buffer = buffer.removeprefix(BOM)
        elif text.bom:
            raise BillRefused("the file does not begin with a byte order mark")
        lines: list[str] = []
        for _ in range(wanted):
            line, end, buffer = buffer.partition(b"\n")
            if not end:
                raise BillRefused("the file ends before its rows")
            lines.append(self._decoded(line))
        self.result.stated |= match_lines(frame.before, lines, self._day, 1)
        if frame.header:
            self.result.names = tuple(name.strip() for name in lines[-1].split(self._header_separator()))
        self.result.skipped = wanted
        width = len(self.result.names) or max((each.position or 0 for each in self._layout.columns.values()), default=0)
        self.result.width = width
        places(self._layout, self.result.names, width)
        return buffer

    def _header_separator(self) -> str:
        """Return the separator without the characters before each value, which a header does not have."""
        separator, prefix = self._layout.text.separator, self._layout.text.prefix
        return separator.removesuffix(prefix) if prefix else separator

    def _decoded(self, line: bytes) -> str:
        if self._crlf and not line.endswith(b"\r"):
            raise BillRefused("a line does not end as the layout states")
        try:
            return line.removesuffix(b"\r").decode(self._layout.text.encoding)
        except UnicodeDecodeError:
            raise BillRefused(f"a line of the frame is not in {self._layout.text.encoding.upper()}") from None

    def _tail(self, buffer: bytes) -> bytes:
        """Read and check the lines after the rows; return what stands before them."""
        frame = self._layout.frame
        if buffer and not buffer.endswith(b"\n"):
            if self._crlf:
                raise BillRefused("the last line is cut off")
            buffer += b"\n"
        lines: list[str] = []
        for _ in range(2 if frame.table else len(frame.after)):
            if not buffer:
                raise BillRefused("the file has no totals")
            cut = buffer.rfind(b"\n", 0, len(buffer) - 1) + 1
            lines.insert(0, self._decoded(buffer[cut:-1]))
            buffer = buffer[:cut]
        if frame.table:
            self.result.stated |= self._table(*lines)
        else:
            self.result.stated |= match_lines(frame.after, lines, self._day, 0)
        return buffer

    def _table(self, headings: str, values: str) -> dict[str, str]:
        names = headings.split(self._header_separator())
        prefix = self._layout.text.prefix
        cells = values.removeprefix(prefix).split(self._layout.text.separator)
        totals = {check.total for check in self._layout.checks}
        if not values.startswith(prefix) or len(cells) != len(names) or not totals <= set(names):
            raise BillRefused("the file has no totals")
        return dict(zip(names, cells, strict=True))

    def _copy(self, block: bytes) -> None:
        if not block:
            return
        lines = block.count(b"\n")
        trusted = self._care is Care.TRUSTING or (self._care is Care.CHECKED and self._is_regular(block, lines))
        if trusted and not self._pending and (text := self._as_lines(block)) is not None:
            self._out.write(text)
            self.result.rows += lines
            return
        begins = self._pending or not self._starts or self._begins_row(block)
        if self._care is Care.TRUSTING or (self._care is Care.CHECKED and not begins):
            raise LookCloser
        ended = block.split(b"\n")[:-1]
        for line in ended:
            if self._pending and (not self._starts or self._begins_row(line)):
                self._flush()
            self._pending.append(line)
            if sum(map(len, self._pending)) > LINE_MAX:
                raise BillRefused(f"line {self.result.skipped + self.result.rows + 1} is too long, or cut off")
        if self._care is not Care.CAREFUL:
            self._flush()

    def _as_lines(self, block: bytes) -> bytes | None:
        """Return a block as DuckDB is to read it; None if the quick way does not do."""
        stripped = self._stripped(block) if self._layout.text.strip else block
        if stripped is None or b"\0" in stripped or (self._starts and not self._begins_row(block)):
            return None
        return self._recoded(stripped)

    def _is_regular(self, block: bytes, lines: int) -> bool:
        if block.count(self._separator) != lines * (self.result.width - 1):
            return False
        end = b"\r\n" if self._crlf else b"\n"
        return not self._prefix or block.count(end + self._prefix) == lines - 1

    def _stripped(self, block: bytes) -> bytes | None:
        """Return a block without the tabs behind its values; None if blanks or tabs stand elsewhere around them."""
        import numpy as np

        if len(self._separator) > 1 or block[0] == _SPACE:
            return None
        characters, ends = np.frombuffer(block, np.uint8), np.zeros(256, bool)
        ends[[self._separator[0], *b"\r\n"]] = True
        tabs, spaces = (np.flatnonzero(characters == mark) for mark in (_TAB, _SPACE))
        # The first is no space, and the last is the end of a line.
        if not ends[characters[tabs + 1]].all():
            return None
        ends[_TAB] = True
        if ends[characters[spaces - 1]].any() or ends[characters[spaces + 1]].any():
            return None
        return block.translate(None, b"\t") if len(tabs) else block

    def _begins_row(self, block: bytes) -> bool:
        return self._start.match(block[:256].decode(self._layout.text.encoding, "replace")) is not None

    def _recoded(self, block: bytes) -> bytes | None:
        if self.result.encoding == "latin-1":
            return block.translate(AS_LATIN)
        if self._layout.text.encoding in ("utf-8", "ascii"):
            return block
        try:
            return block.decode(self._layout.text.encoding).encode()
        except UnicodeDecodeError:
            return None

    def _flush(self) -> None:
        """Write the row that has been gathered, or what stands for it."""
        if not self._pending:
            return
        encoding = self._layout.text.encoding
        row = b"\n".join(self._pending)
        lines, self._pending = len(self._pending), []
        if self._crlf and not row.endswith(b"\r"):
            raise BillRefused(f"line {self.result.skipped + self.result.rows + 1} does not end as the layout states")
        row = row.removesuffix(b"\r")
        if not row and not self._crlf:
            self._stand_in(lines)  # an empty line
            return
        text: str | None
        try:
            text = row.decode(encoding)
        except UnicodeDecodeError:
            text = None
        regular = text is not None and lines == 1 and "\0" not in text and "\r" not in text
        if text is not None and regular and row.startswith(self._prefix) and self._count(row) == self.result.width:
            if self._layout.text.strip:
                separator = self._layout.text.separator
                text = separator.join(value.strip(" \t") for value in text.split(separator))
            self._out.write(text.encode() + (b"\r\n" if self._crlf else b"\n"))
            self.result.rows += 1
            return
        errors = "surrogateescape" if encoding == "utf-8" else "replace"
        self.result.irregular[self.result.skipped + self.result.rows + 1] = row.decode(encoding, errors)
        if len(self.result.irregular) > EXCEPTIONS_MAX:
            raise BillRefused("too many rows of the file cannot be read")
        self._stand_in(lines)

    def _count(self, row: bytes) -> int:
        return row.count(self._separator) + 1

    def _stand_in(self, lines: int) -> None:
        empty = self._layout.text.prefix + self._layout.text.separator * (self.result.width - 1)
        self._out.write((empty.encode() + (b"\r\n" if self._crlf else b"\n")) * lines)
        self.result.rows += lines
        self.result.stand_ins += lines


def match_lines(patterns: Sequence[str], lines: Sequence[str], day: date, first: int) -> dict[str, str]:
    """Return the groups of the lines of a frame.

    Errors:
        BillRefused: a line does not have the form that the layout states.
    """
    groups: dict[str, str] = {}
    for place, pattern in enumerate(patterns):
        match = re.fullmatch(dated(pattern, day), lines[place]) if place < len(lines) else None
        if match is None:
            where = f"line {first + place}" if first else f"line {place - len(patterns)} from the end"
            raise BillRefused(f"{where} is not what the layout states: of another account or day, or cut off")
        groups |= match.groupdict()
    return groups


def spool_lines(layout: Layout, stream: Callable[[], Bounded], day: date, path: Path, care: Care) -> Spooled:
    """Copy a file to lines for DuckDB, with the care that is asked for, or with more where that is needed."""
    for each in (each for each in Care if each >= care):
        try:
            with path.open("wb") as out:
                return _LineSpooler(layout, day, out, each).run(stream())
        except LookCloser:
            continue
    raise BillRefused("the rows of the file do not begin as the layout states")


def lines_of(path: Path, wanted: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield lines of a file by their numbers from 1, in their order."""
    numbers = iter(sorted(wanted))
    number = next(numbers, None)
    with path.open("rb") as file:
        for place, line in enumerate(file, 1):
            if number is None:
                return
            if place == number:
                yield place, line.rstrip(b"\r\n").decode("utf-8", "replace")
                number = next(numbers, None)


def totals_of(layout: Layout, stream: Bounded | None, day: date) -> dict[str, str]:
    """Return the totals of the second file, and check its frame.

    Errors:
        BillRefused.
    """
    if layout.summary is None or stream is None:
        return {}
    try:
        lines = stream.read_all().decode(layout.text.encoding).splitlines()
    except UnicodeDecodeError:
        raise BillRefused(f"the totals are not in {layout.text.encoding.upper()}") from None
    groups = match_lines(layout.summary.before, lines, day, 1)
    matches = [match for line in lines if (match := re.fullmatch(layout.summary.line, line))]
    if len(matches) != 1:
        raise BillRefused("the file with the totals is cut off")
    return groups | matches[0].groupdict()
