"""The parts of the documentation that are generated from the code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "ext"))


@pytest.fixture(scope="session")
def parts() -> dict[str, str]:
    """The generated parts of the documentation, by file name."""
    import generate

    found: dict[str, str] = generate.parts()
    return found
