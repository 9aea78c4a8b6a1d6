"""The parsed source is large and lives to the end: no collector need walk through it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def default_logs() -> None:
    """Leave logs as they are, in place of setting them for each of some thousand tests: nothing here logs."""
