"""Files in the encodings of Chinese bills, read by their bytes: to decode them costs more than all else.

In these encodings no byte below 0x30 is part of a longer character, so that values can be separated. Each byte is given
to DuckDB as a character of its own, and the texts of the layout likewise. What a row states must then be ASCII, or one
of those texts; all other files are decoded.
"""

from __future__ import annotations

from collections.abc import Mapping

from hutong.reconciliation.layouts.expressions import is_among
from hutong.reconciliation.layouts.model import Layout

AS_LATIN = bytes(range(0x80)) + b"\xa0" * 0x20 + bytes(range(0xA0, 0x100))
"""DuckDB does not take the bytes from 0x80 to 0x9f as characters. No text of a layout that is read by bytes has one."""


def is_read_by_bytes(layout: Layout) -> bool:
    """Return whether a layout's files can be read by their bytes.

    Free texts, and columns that are rewritten, are read as characters.
    """
    columns = [layout.columns[name] for name in layout.used]
    conditions = [each for kind in layout.resolved for each in (*kind.all, *kind.any)]
    texts = [text for each in conditions for text in (*(each.among or ()), each.starts or "")]
    texts += [text for kind in layout.resolved for text in kind.states or ()]
    texts += [text for column in columns for text in (*column.absent, *column.zones)]
    try:
        encoded = "".join(texts).encode(layout.text.encoding)
    except UnicodeEncodeError:
        return False
    return (
        layout.text.encoding in ("gbk", "gb18030")
        and not any(0x80 <= byte <= 0xA0 for byte in encoded)
        and all(ord(mark) < 0x30 for mark in layout.text.separator + layout.text.prefix)
        and not any(kind.memo for kind in layout.resolved)
        and not any(column.upper or column.rewrite for column in columns)
    )


def as_bytes(layout: Layout, expressions: Mapping[str, str]) -> dict[str, str]:
    """Return expressions of DuckDB with their texts as lines hold them in which each byte is a character."""
    return {name: each.encode(layout.text.encoding).decode("latin-1") for name, each in expressions.items()}


def plain_texts(layout: Layout) -> list[str]:
    """Return the conditions that the texts of a row are ASCII, or texts of the layout."""
    known: dict[str, list[str]] = {}
    for kind in layout.resolved:
        for each in (*kind.all, *kind.any):
            known.setdefault(each.column, []).extend(each.among or ())
        if kind.state:
            known.setdefault(kind.state, []).extend(kind.states or {})
    conditions = []
    for name in layout.used:
        if layout.columns[name].form == "text":
            texts = [text for text in dict.fromkeys(known.get(name, ())) if not text.isascii()]
            among = f" OR {is_among(f't_{name}', texts)}" if texts else ""
            conditions.append(f"strlen(t_{name}) = length(t_{name}){among}")
    return conditions
