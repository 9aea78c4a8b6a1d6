"""The one way in which commands print: what others have written is shown with escapes, on terminals and in pipes."""

from __future__ import annotations

import json
import sys
from typing import Any

from hutong.foreign_text import escape, escape_json


def print_line(text: object) -> None:
    """Print one line."""
    print(escape(str(text)), flush=True)


def print_text(text: str) -> None:
    """Print several lines, such as CSV with its own line ends; nothing for no text."""
    if text:
        shown = "\r\n".join(escape(part, lines=True) for part in text.split("\r\n"))
        print(shown, end="" if shown.endswith("\n") else "\n", flush=True)


def print_json(document: Any, *, indent: int | None = None, default: Any = None) -> None:
    """Print a value as JSON."""
    print(escape_json(json.dumps(document, indent=indent, default=default, ensure_ascii=False)), flush=True)


def print_result(document: Any, text: object, *, as_json: bool) -> None:
    """Print a result as JSON for programs, or as a line for people."""
    if as_json:
        print_json(document)
    else:
        print_line(text)


def print_problem(text: object) -> None:
    """Print a line on standard error."""
    print(escape(str(text)), file=sys.stderr)
