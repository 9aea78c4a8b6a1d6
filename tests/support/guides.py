"""The guides of the documentation, to be done as they are printed."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import typer
from typer.core import TyperGroup

from hutong.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CHINESE = {
    "index.md": "index.md",
    "quickstart.md": "quickstart.md",
    "accepting-a-payment.md": "guides/accepting-a-payment.md",
    "cashier.md": "guides/cashier.md",
    "payments.md": "concepts/payments.md",
    "refunding.md": "guides/refunding.md",
    "refunds.md": "concepts/refunds.md",
    "receiving-webhooks.md": "guides/receiving-webhooks.md",
    "webhooks.md": "concepts/webhooks.md",
    "reconciliation.md": "concepts/reconciliation.md",
    "reconciling.md": "guides/reconciling.md",
    "errors.md": "reference/errors.md",
} | {f"{channel}.md": f"guides/{channel}.md" for channel in ("wechat", "alipay", "unionpay", "stripe")}
"""The Chinese pages, in docs/zh-CN, with the English page of each."""

ID = re.compile(r"\b[a-z]{3}_[0-7][0-9a-z]{25}\b")
_PREFIX = re.compile(r"(?:\.venv/bin/)?hutong ")


def guide(name: str) -> str:
    return (DOCS / "guides" / name).read_text()


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def consoles(text: str) -> list[str]:
    """The console blocks of a guide."""
    return [block for language, block in blocks(text) if language == "console"]


def steps(console: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines that are printed below it. A line that ends in a backslash goes on in the next."""
    found: list[tuple[str, list[str]]] = []
    for line in console.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def hutong_arguments(line: str) -> list[str] | None:
    """The arguments of a line that calls `hutong`, without its comment; None for any other line."""
    found = _PREFIX.match(line)
    return None if found is None else shlex.split(line[found.end() :], comments=True)


def check_command(arguments: list[str]) -> None:
    """Read the arguments as the command line does, and run nothing.

    Errors:
        UsageError: There is no such command or option, or a value is not allowed.
    """
    command = _command_line()
    context = typer.Context(command, info_name="hutong")
    while isinstance(command, TyperGroup):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        command, context = found, typer.Context(found, info_name=name, parent=context)
        if not arguments:
            return
    command.make_context(context.info_name, arguments, parent=context.parent)


@cache
def _command_line() -> TyperGroup:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    return command
