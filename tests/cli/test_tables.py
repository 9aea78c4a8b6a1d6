"""Tables of commands are not cut when they are piped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hutong.cli.tables import print_table

COMMANDS = Path(__file__).parents[2] / "src" / "hutong" / "cli"


def test_a_piped_table_is_as_wide_as_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    row = {f"column {number}": str(number) * 40 for number in range(9)}
    print_table([row])
    printed = capsys.readouterr().out
    assert all(value in printed for value in row.values())
    assert "…" not in printed
    print_table([])
    assert capsys.readouterr().out == ""


def test_commands_print_tables_on_that_console_only() -> None:
    """A console of Rich's own has 80 columns in a pipe and cuts ids there; on standard error it shows progress."""
    for path in COMMANDS.rglob("*.py"):
        if path.name != "tables.py":
            assert not re.search(r"\bConsole\((?!stderr=True\))", path.read_text()), path
