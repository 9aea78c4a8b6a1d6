"""Commands in this process: what they are called with, their exit status and their output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hutong.cli import main


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """Run `hutong …` in this process."""
    monkeypatch.setattr(sys, "argv", ["hutong", *arguments])
    status: object = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    return Done(int(str(status or 0)), *capsys.readouterr())
