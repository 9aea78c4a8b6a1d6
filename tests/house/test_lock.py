"""What is locked can be installed on every Python that is promised."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tomllib
from pathlib import Path

import locked
import pytest
from packaging.specifiers import SpecifierSet

from support import unavailable

SPARK = {entry.name for entry in locked.pinned(locked.SPARK.read_text())}
ROOT = Path(__file__).parents[2]
PINNED = [(each.name, each.version) for each in locked.everything() if " ;" not in each.lines.splitlines()[0]]


@pytest.mark.parametrize(("package", "version"), PINNED, ids=lambda value: value)
def test_what_is_pinned_for_all_runs_on_the_oldest_python(package: str, version: str) -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    if package in SPARK and importlib.util.find_spec("pyspark") is None:
        unavailable("the extra spark is not installed: make spark")
    found = importlib.metadata.metadata(package)
    assert found["Version"] == version
    assert SpecifierSet(found.get("Requires-Python") or "").contains(oldest)
