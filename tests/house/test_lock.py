"""What is locked can be installed on every Python that is promised."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PINNED = re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==([^ ;]+) \\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("package", "version"), PINNED, ids=lambda value: value)
def test_what_is_pinned_for_all_runs_on_the_oldest_python(package: str, version: str) -> None:
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    found = importlib.metadata.metadata(package)
    assert found["Version"] == version
    assert SpecifierSet(found.get("Requires-Python") or "").contains(oldest)
