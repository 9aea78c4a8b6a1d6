"""Tables on the terminal; piped into a file or a program they are as wide as their content."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hutong.foreign_text import escape

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 10_000


def console() -> Console:
    """Return a console that cuts nothing: on a terminal text is wrapped, and elsewhere lines have no end."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDE)


def print_table(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as a table with the keys of the first as its heading; nothing for no rows."""
    from rich.table import Table
    from rich.text import Text

    listed = list(rows)
    if not listed:
        return
    table = Table()
    for name in listed[0]:
        table.add_column(name, overflow="fold")
    for row in listed:
        table.add_row(*("" if value is None else Text(escape(str(value), lines=True)) for value in row.values()))
    console().print(table)
