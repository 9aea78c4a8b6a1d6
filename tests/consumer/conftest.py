"""What the tests of consumers share: a database that is not Hutong's."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hutong import consumer
from hutong.clock import ManualClock
from hutong.db import Database
from support import create_database
from support.fixtures.consumer import World


@pytest.fixture(scope="session")
def own_url(server_url: str) -> str:
    """The consumers' own database: no migration of ours ever ran there."""
    return create_database(server_url)


@pytest.fixture(scope="session")
async def own_database(own_url: str) -> AsyncIterator[Database]:
    async with Database.open(own_url, size=12, role=None) as database:
        async with database.transaction() as tx:
            await consumer.install(tx)
            await tx.execute("CREATE TABLE applied (n bigserial, consumer text, object_id text, seq bigint, no bigint)")
        yield database


@pytest.fixture
def world(own_database: Database, clock: ManualClock) -> World:
    return World(own_database, clock)
