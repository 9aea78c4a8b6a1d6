"""The command line, called as an operator calls it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hutong.cli import main
from support.command_line import Done, Run


@pytest.fixture
def command(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`hutong …` on a database and a data folder of its own."""
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path / "home"))

    def run_one(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["hutong", *arguments])
        status: object = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        return Done(int(str(status or 0)), *capsys.readouterr())

    return run_one
