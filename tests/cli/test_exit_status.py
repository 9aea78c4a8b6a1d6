"""One rule of exit statuses for all commands: 2 for a request that was wrong or refused, 1 for a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hutong.cli.main import app
from hutong.errors import (
    ConfigurationError,
    Conflict,
    HutongError,
    InvalidParameter,
    InvalidRequest,
    InvariantBroken,
    NotFound,
    OutcomeUnknown,
    Unauthorized,
    Unavailable,
)
from support.command_line import Run

STATUSES = {
    InvalidRequest: 2, InvalidParameter: 2, Unauthorized: 2, NotFound: 2, Conflict: 2,
    ConfigurationError: 1, Unavailable: 1, OutcomeUnknown: 1, InvariantBroken: 1,
}  # fmt: skip


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_an_error_ends_every_command_with_the_status_of_its_class(
    kind: type[HutongError], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise kind("the reason")

    root: Any = get_command(app)
    found = list(leaves(root))
    assert {path[0] for path, _ in found} >= {
        "merchant",
        "operator",
        "channels",
        "ledger",
        "events",
        "routing",
        "backup",
    }
    for path, command in found:
        command.callback, command.params = fail, []
        with pytest.raises(SystemExit) as ended:
            root.main(list(path), prog_name="hutong")
        assert ended.value.code == STATUSES[kind], path
        output = capsys.readouterr()
        assert output.err == f"hutong: {kind.code}: the reason\n", path
        assert output.out == "", path


NOBODY = "mer_00000000000000000000000000"


@pytest.mark.parametrize(
    "arguments",
    [
        ("merchant", "add-key", NOBODY),
        ("merchant", "create", ""),
        ("operator", "add", "A. Li", "--role", "boss"),
        ("operator", "disable", "opr_00000000000000000000000000", "--reason", "left"),
        ("channels", "add", "wechat", "main", "--credentials", "nowhere.json"),
        ("channel", "add", "barter", "main", "--credentials", "nowhere.json"),
        ("ledger", "statement", "nonsense"),
        ("ledger", "trial-balance", "--day", "2020-01-01"),
        ("payment", "show", "nonsense"),
        ("routing", "check", "nowhere.json"),
        ("restore", "finish", "--reason", "x"),
        ("backup", "create", "--keep", "0"),
        ("doctor", "channel", "nowhere"),
        ("bench", "events", "--part", "pigeons"),
        ("merchant", "no-such-command"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_exits_2_and_prints_nothing_else(
    command: Run, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr
