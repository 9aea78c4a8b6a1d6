"""Databases for simulations alone: their sweeps look at every payment there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulated_database import Backend

from simulation import open_backend
from support import migrated_database


def _backend(server_url: str) -> Iterator[Backend]:
    url = migrated_database(server_url)
    with open_backend(url) as backend:
        yield backend


@pytest.fixture(scope="session")
def backend(server_url: str) -> Iterator[Backend]:
    yield from _backend(server_url)


@pytest.fixture(scope="session")
def broken_backend(server_url: str) -> Iterator[Backend]:
    yield from _backend(server_url)


@pytest.fixture
def other_backend(server_url: str) -> Iterator[Backend]:
    yield from _backend(server_url)
