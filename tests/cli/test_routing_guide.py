"""The guide to routing, done as it is printed: its files, its commands in their order, and what they answer."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from support.command_line import Run
from support.fixtures.routing_commands import RoutedPayments, keys
from support.guides import ID, consoles, guide, steps

GUIDE = guide("routing.md")
CONSOLE = "".join(consoles(GUIDE))
FILES = re.findall(r"^\*\*`(\S+)`\*\*\n\n```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_the_guide_does_what_it_says(
    command: Run, fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routed = RoutedPayments(command, fresh_database_url, tmp_path, names=("main", "second"))
    for role, name in (("operator", "li"), ("approver", "wang")):
        Path(keys(command, tmp_path, role)[role]).rename(tmp_path / f"{name}.key")
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    known: dict[str, str] = {}
    routed.place([10_000] * 8, paid=8)
    for line, printed in steps(CONSOLE):
        arguments = [known.get(part, part) for part in shlex.split(line)[1:]]
        done = command(*arguments)
        output = done.stdout + done.stderr
        refused = bool(printed) and printed[0].startswith("hutong: ")
        assert done.returncode == (2 if refused else 0), f"{line}: {output}"
        known |= dict(zip(ID.findall("\n".join(printed)), ID.findall(output), strict=False))
        for each in printed:
            assert ID.sub("ID", each) in ID.sub("ID", output), line
    assert (tmp_path / "change.svg").read_text().startswith("<svg")
    assert len(steps(CONSOLE)) == COMMANDS


COMMANDS = 17
"""So that a change of the guide's form cannot make this test run nothing."""
