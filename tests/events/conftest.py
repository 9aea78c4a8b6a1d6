"""What the tests of events share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
from aiohttp import web

from hutong.clock import ManualClock
from hutong.db import Database, migrate
from hutong.ids import Ids
from hutong.vault import Vault
from support import create_database

from .world import Receiver, World


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
def vault() -> Vault:
    return Vault([b"k" * 32])


@pytest.fixture(scope="session")
def events_url(server_url: str) -> str:
    """A database whose deliveries belong to one test at a time, since a deliverer takes whatever is due."""
    url = create_database(server_url)
    migrate(url)
    return url


@pytest.fixture
async def world(
    events_url: str, vault: Vault, clock: ManualClock, ids: Ids, receiver: Receiver
) -> AsyncIterator[World]:
    with psycopg.connect(events_url, autocommit=True) as owner:
        owner.execute("TRUNCATE events.object, events.outbox, events.endpoint, events.delivery, events.delivery_try")
    async with Database.open(events_url, size=8) as database:
        yield World(database, vault, clock, ids, receiver.url)
