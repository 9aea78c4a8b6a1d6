"""The guide to routing, done as it is printed: its files, its commands in their order, and what they answer."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from support.command_line import Run
from support.fixtures.routing_commands import RoutedPayments, keys

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "routing.md").read_text()
FILES = re.findall(r"^\*\*`(\S+)`\*\*\n\n```json\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
CONSOLES = re.findall(r"^```console\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ID = re.compile(r"\b[a-z]{3}_[0-7][0-9a-z]{25}\b")


def steps() -> list[tuple[str, list[str]]]:
    """Each command with the lines that are printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(CONSOLES).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


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
    for line, printed in steps():
        arguments = [known.get(part, part) for part in shlex.split(line)[1:]]
        done = command(*arguments)
        output = done.stdout + done.stderr
        refused = bool(printed) and printed[0].startswith("hutong: ")
        assert done.returncode == int(refused), f"{line}: {output}"
        known |= dict(zip(ID.findall("\n".join(printed)), ID.findall(output), strict=False))
        for each in printed:
            assert ID.sub("ID", each) in ID.sub("ID", output), line
    assert (tmp_path / "change.svg").read_text().startswith("<svg")
    assert len(steps()) == COMMANDS


COMMANDS = 17
"""So that a change of the guide's form cannot make this test run nothing."""
