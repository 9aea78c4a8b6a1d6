"""The guides of the documentation, to be done as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

_GUIDES = Path(__file__).parents[2] / "docs" / "guides"
ID = re.compile(r"\b[a-z]{3}_[0-7][0-9a-z]{25}\b")


def guide(name: str) -> str:
    return (_GUIDES / name).read_text()


def consoles(text: str) -> list[str]:
    """The console blocks of a guide."""
    return re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def steps(console: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines that are printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found
