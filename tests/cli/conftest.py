"""The command line, called as an operator calls it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from support.command_line import Run, run_here


@pytest.fixture
def command(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """`hutong …` on a database and a data folder of its own."""
    monkeypatch.setenv("HUTONG_DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("HUTONG_HOME", str(tmp_path / "home"))

    return partial(run_here, monkeypatch, capsys)
