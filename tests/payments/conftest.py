"""A database of their own for tests that expire and sweep, since these look at every payment there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import Payments
from support import migrated_database
from support.event_forms import EventForms
from support.fakes.channel import HonestChannel
from support.fixtures.disputes import DisputeWorld
from support.fixtures.payments import World
from support.fixtures.refunds import RefundWorld


@pytest.fixture(scope="session")
async def payments_database(server_url: str) -> AsyncIterator[Database]:
    url = migrated_database(server_url)
    async with Database.open(url, size=16) as opened:
        yield opened
        _, faults = await EventForms().recorded(opened)
        assert faults == [], "events in another form than the published one"


@pytest.fixture(scope="session")
def template_url(server_url: str) -> str:
    """A migrated database that nobody uses: copies of it are made at once."""
    return migrated_database(server_url)


@pytest.fixture
def world(payments_database: Database, clock: ManualClock) -> World:
    return World(payments_database, clock)


@pytest.fixture
def channel(world: World) -> HonestChannel:
    return world.channel


@pytest.fixture
async def lifecycle(world: World) -> AsyncIterator[Payments]:
    # What other tests have left open is not swept: this channel does not know it.
    async with world.database.transaction() as tx:
        await tx.execute("UPDATE payments.attempt SET next_query_at = 'infinity' WHERE next_query_at IS NOT NULL")
        await tx.execute("UPDATE payments.attempt SET verify_at = NULL WHERE verify_at IS NOT NULL")
    yield world.lifecycle
    await world.lifecycle.stop()


@pytest.fixture
async def shop(payments_database: Database, clock: ManualClock) -> AsyncIterator[RefundWorld]:
    made = RefundWorld(payments_database, clock)
    await made.quiet()
    yield made
    await made.lifecycle.stop()
    await made.books_have_no_holds()


@pytest.fixture
async def court(payments_database: Database, clock: ManualClock) -> AsyncIterator[DisputeWorld]:
    """A merchant whose payments are disputed."""
    made = DisputeWorld(payments_database, clock)
    await made.quiet()
    yield made
    await made.lifecycle.stop()
