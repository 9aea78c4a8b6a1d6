"""One form for the help of all commands: values are named in capitals, choices stand as `a|b`, flags take no value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import typer

_TYPES = ((bool, ""), (int, "NUMBER"), (float, "NUMBER"), (UUID, "ID"))


def make_uniform(command: Any) -> None:
    """Give all values of a command, and of the commands below it, names of one form."""
    for parameter in [*command.params, command.get_help_option(typer.Context(command))]:
        if getattr(parameter, "type_descriptor", None) is None:
            continue  # another version of the library, with help of its own form
        if parameter.param_type_name == "argument":
            _name_argument(parameter)
        elif parameter.metavar is None or parameter.is_flag:
            parameter.metavar = "" if parameter.is_flag else _kind(parameter)
    children: Iterable[Any] = getattr(command, "commands", {}).values()
    for child in children:
        make_uniform(child)


def _name_argument(argument: Any) -> None:
    name = (argument.metavar or argument.name.removesuffix("_id")).strip("[]{}.").upper()
    shown = name if argument.nargs == 1 else f"{name}..."
    usage = [shown if argument.required else f"[{shown}]"]
    kind = _kind(argument)
    argument.metavar = shown
    argument.get_usage_pieces = lambda _: usage
    argument.display_type_rich = lambda ctx: kind if "|" in kind else ""  # noqa: ARG005 - named by the library


def _kind(parameter: Any) -> str:
    """Return the name of a value by its type: its choices, or what kind of value it is."""
    described = parameter.type_descriptor
    if described.is_choice:
        return "|".join(str(getattr(choice, "value", choice)) for choice in described.choices or ())
    if described.is_datetime:
        formats = "".join(described.parameter_info.formats or ["%Y%H"])
        return "INSTANT" if "%Y" in formats and "%H" in formats else "DAY" if "%Y" in formats else "TIME"
    if described.is_path:
        return "FOLDER" if re.search(r"dir", described.path_type) else "FILE"
    return next((name for kind, name in _TYPES if described.annotation is kind), "TEXT")
