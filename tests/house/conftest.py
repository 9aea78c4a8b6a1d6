"""The parsed source is large and lives to the end: no collector need walk through it again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
