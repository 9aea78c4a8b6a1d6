"""What is locked can be installed on every Python that is promised."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from locked import everything
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PINNED = [(each.name, each.version) for each in everything() if " ;" not in each.lines.splitlines()[0]]


@pytest.mark.parametrize(("package", "version"), PINNED, ids=lambda value: value)
def test_what_is_pinned_for_all_runs_on_the_oldest_python(package: str, version: str) -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    found = importlib.metadata.metadata(package)
    assert found["Version"] == version
    assert SpecifierSet(found.get("Requires-Python") or "").contains(oldest)
