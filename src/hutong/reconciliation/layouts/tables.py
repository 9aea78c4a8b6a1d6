"""Files whose values are not simply text between separators: quoted CSV, spreadsheets and JSON.

Their values are written as lines with a separator that texts do not have, so that one way reads them all. A value that
holds it, or the end of a line, makes its row one that is read by itself.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hutong.channels import BillRefused
from hutong.reconciliation.layouts.delivery import Bounded
from hutong.reconciliation.layouts.model import EXCEPTIONS_MAX, Layout
from hutong.reconciliation.layouts.sheets import Value, sheet_rows, to_cell_text
from hutong.reconciliation.layouts.spool import BLOCK, LINE_MAX, Spooled, match_lines, places

SEPARATOR = "\x1f"
_CONTROL = re.compile("[\x00\x0a\x0d\x1f\ud800-\udfff]")
_DOCUMENT_MAX = 256 << 20
"""A JSON document that is not one object a line is read whole, and so is limited."""
_STEP = re.compile(r"([A-Za-z_0-9]+)(?:\[([A-Za-z_0-9]+)=([^\]]*)\])?")


def spool_values(layout: Layout, stream: Bounded, day: date, path: Path) -> Spooled:
    """Write the values of a file as lines for DuckDB.

    Errors:
        BillRefused: it is not of the layout's form, or its frame does not hold.
    """
    result = Spooled(separator=SEPARATOR)
    if layout.form == "json":
        result.width = len(layout.used)
        rows = _json_rows(layout, stream, result)
    elif layout.form == "xlsx":
        rows = _framed(layout, sheet_rows(stream, layout), day, result)
    else:
        rows = _framed(layout, _quoted(stream, layout), day, result)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for values in rows:
            line = SEPARATOR.join(values)
            if len(values) == result.width and line.count(SEPARATOR) == len(values) - 1 and not _is_odd(line):
                out.write(line + "\n")
            else:
                place = result.skipped + result.rows + 1
                result.irregular[place] = SEPARATOR.join(_CONTROL.sub(" ", value) for value in values)
                if len(result.irregular) > EXCEPTIONS_MAX:
                    raise BillRefused("too many rows of the file cannot be read")
                out.write(SEPARATOR * (result.width - 1) + "\n")
                result.stand_ins += 1
            result.rows += 1
    return result


def _is_odd(line: str) -> bool:
    """Return whether a line holds more than one line of text."""
    return _CONTROL.search(line.replace(SEPARATOR, "")) is not None


def _framed(layout: Layout, rows: Iterator[Sequence[Value]], day: date, result: Spooled) -> Iterator[list[str]]:
    """Yield the rows between the frame's lines as texts; a file with fewer lines is refused."""
    frame, separator = layout.frame, layout.text.separator
    before = [separator.join(map(to_cell_text, values)).rstrip(separator) for values in _take(rows, len(frame.before))]
    result.stated |= match_lines(frame.before, before, day, 1)
    if frame.header:
        header = next(_take(rows, 1), None)
        if header is None:
            raise BillRefused("the file ends before its rows")
        result.names = tuple(to_cell_text(value).strip() for value in header)
    width = max((each.position or 0 for each in layout.columns.values()), default=0)
    result.width = len(result.names) or width
    result.skipped = len(frame.before) + frame.header
    at = {place: name for name, place in places(layout, result.names, result.width).items()}
    last: deque[Sequence[Value]] = deque()
    number = result.skipped
    for values in rows:
        last.append(values)
        if len(last) > len(frame.after):
            number += 1
            yield _texts(layout, last.popleft(), at, number, result.width)
    after = [separator.join(map(to_cell_text, values)).rstrip(separator) for values in last]
    result.stated |= match_lines(frame.after, after, day, 0)


def _texts(layout: Layout, values: Sequence[Value], at: Mapping[int, str], number: int, width: int) -> list[str]:
    """Return the values of a row as texts. Empty cells that a row lacks or has too many of are nothing."""
    texts = [to_cell_text(value, layout.columns[at[place]] if place in at else None, place, number)
             for place, value in enumerate(values)]  # fmt: skip
    if layout.form == "xlsx":
        texts += [""] * (width - len(texts))
        while len(texts) > width and not texts[-1]:
            texts.pop()
    return [text.strip() for text in texts] if layout.text.strip else texts


def _take(rows: Iterator[Sequence[Value]], count: int) -> Iterator[Sequence[Value]]:
    for _ in range(count):
        values = next(rows, None)
        if values is None:
            return
        yield values


def _quoted(stream: Bounded, layout: Layout) -> Iterator[Sequence[Value]]:
    """Yield the records of a CSV with quotes; empty lines are none."""
    reader = csv.reader(_text_lines(stream, layout), delimiter=layout.text.separator, strict=True)
    csv.field_size_limit(LINE_MAX)
    try:
        yield from (values for values in reader if values)
    except csv.Error as error:
        raise BillRefused(f"line {reader.line_num} is not CSV: {error}") from None


def _text_lines(stream: Bounded, layout: Layout) -> Iterator[str]:
    """Yield the lines of a file with their ends, decoded."""
    encoding = "utf-8-sig" if layout.text.encoding == "utf-8" else layout.text.encoding
    decoder = codecs.getincrementaldecoder(encoding)()
    rest = ""
    try:
        while data := stream.read(BLOCK):
            lines = (rest + decoder.decode(data)).split("\n")
            rest = lines.pop()
            if len(rest) > LINE_MAX:
                raise BillRefused("a line is too long")
            yield from (line + "\n" for line in lines)
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise BillRefused(f"the file is not in {layout.text.encoding.upper()}") from None
    if rest:
        yield rest


def _json_rows(layout: Layout, stream: Bounded, result: Spooled) -> Iterator[list[str]]:
    """Yield the values of JSON objects, one a line or in pages; the object of totals is kept as stated."""
    names = [layout.columns[name].path for name in layout.used]
    ended = False
    for entry in _entries(stream):
        if ended:
            raise BillRefused("data follows the totals")
        if entry.get("object") == "list" and isinstance(entry.get("data"), list):
            result.is_whole = entry.get("has_more") is False
            for each in entry["data"]:
                if not isinstance(each, dict):
                    raise BillRefused("an entry of a page is not an object")
                yield [_at(each, paths) for paths in names]
        elif layout.frame.totals and entry.get("object") == layout.frame.totals:
            ended = True
            result.stated |= {name: _stated(value) for name, value in entry.items()}
        else:
            yield [_at(entry, paths) for paths in names]


def _entries(stream: Bounded) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file: one a line, or one document of them.

    Errors:
        BillRefused: it is neither.
    """
    import orjson

    buffer, number = b"", 0
    while data := stream.read(BLOCK):
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            number += 1
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                if number > 1:
                    raise BillRefused(f"line {number} is not JSON") from None
                yield from _document(b"\n".join([*lines, buffer]), stream)
                return
            if not isinstance(entry, dict):
                raise BillRefused(f"line {number} is not an object of JSON")
            yield entry
        if len(buffer) > _DOCUMENT_MAX:
            raise BillRefused("a line is too long")
    if buffer.strip():
        if number:
            raise BillRefused("the last line is cut off")
        yield from _document(buffer, stream)


def _document(head: bytes, stream: Bounded) -> list[dict[str, Any]]:
    import orjson

    parts = [head]
    while data := stream.read(BLOCK):
        parts.append(data)
        if sum(map(len, parts)) > _DOCUMENT_MAX:
            raise BillRefused("the document is larger than the limit")
    try:
        document = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        raise BillRefused("the file is not JSON") from None
    entries = document if isinstance(document, list) else [document]
    if not all(isinstance(entry, dict) for entry in entries):
        raise BillRefused("the file does not hold objects of JSON")
    return entries


def _at(entry: Mapping[str, Any], paths: Iterable[str]) -> str:
    """Return the first value that one of the paths leads to, as text; the sum of several that a condition selects."""
    for path in paths:
        value: Any = entry
        for step in path.split("."):
            match = _STEP.fullmatch(step)
            is_list = isinstance(value, list)
            if not is_list:
                value = value.get(match[1]) if match and isinstance(value, dict) else None
            if match and match[2] and isinstance(value, list):
                value = [each for each in value if isinstance(each, dict) and each.get(match[2]) == match[3]]
            elif is_list:
                value = [each.get(step) for each in value if isinstance(each, dict)]
        if isinstance(value, list):
            value = sum(each for each in value if type(each) is int)
        if isinstance(value, str | int | float) and value != "":
            return _stated(value)
    return ""


def _stated(value: object) -> str:
    """Return a value of JSON as text; of a table, its names and values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ";".join(f"{name}={each}" for name, each in value.items())
    return str(value)


def first_values(layout: Layout, head: bytes) -> list[str]:
    """Return the values of the first object of JSON in the beginning of a file; none if there is no whole one."""
    import orjson

    for part in (head.split(b"\n", 1)[0], head):
        try:
            entry = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        entries = entry.get("data", [entry]) if isinstance(entry, dict) else entry
        if isinstance(entries, list) and entries and isinstance(entries[0], dict):
            return [_at(entries[0], layout.columns[name].path) for name in layout.used]
    return []
