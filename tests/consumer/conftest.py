"""What the tests of consumers share: a database that is not Hutong's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hutong import consumer
from hutong.clock import ManualClock
from hutong.db import Database
from rabbitmq import RabbitMQ
from support import create_database, unavailable

from .told import World


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


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    if not RabbitMQ.available():
        unavailable("RabbitMQ is not installed")
    broker = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"))
    broker.start()
    yield broker
    broker.close()
