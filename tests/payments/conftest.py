"""A database of their own for tests that expire and sweep, since these look at every payment there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from payment_world import World

from hutong.clock import ManualClock
from hutong.db import Database, migrate
from support import create_database


@pytest.fixture(scope="session")
async def payments_database(server_url: str) -> AsyncIterator[Database]:
    url = create_database(server_url)
    migrate(url)
    async with Database.open(url, size=16) as opened:
        yield opened


@pytest.fixture
def world(payments_database: Database, clock: ManualClock) -> World:
    return World(payments_database, clock)
