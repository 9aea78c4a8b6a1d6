"""The help of every command has one form, and names every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

from hutong.cli.main import app

CHOICES = re.compile(r"[a-z0-9][a-z0-9_.-]*(\|[a-z0-9][a-z0-9_.-]*)+")
VALUE = re.compile(r"[A-Z][A-Z0-9_]*([:|][A-Z][A-Z0-9_]*)*(\.\.\.)?")
ARGUMENT = re.compile(r"[A-Z][A-Z_]*(\.\.\.)?|\[[A-Z][A-Z_]*(\.\.\.)?\]")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = list(commands(get_command(app)))


def test_every_value_has_a_name_of_one_form_and_a_help() -> None:
    wrong = []
    for path, command in ALL:
        for parameter in command.params:
            if parameter.hidden:
                continue
            named, where = parameter.metavar, f"{path}: {parameter.name}"
            if parameter.param_type_name == "argument":
                (usage,) = parameter.get_usage_pieces(typer.Context(command))
                right = ARGUMENT.fullmatch(usage) and parameter.display_type_rich(ctx=None) in ("", _choices(parameter))
            elif parameter.is_flag:
                right = named == ""
            else:
                right = CHOICES.fullmatch(named) or VALUE.fullmatch(named)
            wrong += [] if right else [f"{where}: {named}"]
            wrong += [] if (parameter.help or "").endswith(".") else [f"{where}: its help is no sentence"]
    assert "\n".join(wrong) == ""


def _choices(parameter: Any) -> str:
    return "|".join(str(choice.value) for choice in parameter.type_descriptor.choices or ())


def test_the_option_for_programs_is_the_same_everywhere() -> None:
    options = [one for _, command in ALL for one in command.params if "--json" in one.opts]
    assert len(options) > 100
    assert {(one.name, tuple(one.opts), one.is_flag, one.help) for one in options} == {
        ("as_json", ("--json",), True, "Print one JSON object, for programs.")
    }


@pytest.mark.parametrize("path", ["payment list", "events replay", "channels add", "ledger set-cut-time"])
def test_help_as_printed(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        get_command(app).main([*path.split(), "--help"], prog_name="hutong")
    assert re.findall(r"[<{][^ ]*[>}]|%[A-Z]", capsys.readouterr().out) == []
