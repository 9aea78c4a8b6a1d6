"""A channel account that does not answer holds up its own payments and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hutong.channels import ChannelAnswer, ChannelState, OrderReference
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import PaymentStatus, polling
from support.fakes.channel import HonestChannel
from support.fixtures.payments import AMOUNT, World
from support.platform import wired

LATER = datetime(9000, 1, 1, tzinfo=UTC)
CLAIM = 20
HANGING = 150
"""More than all claims of a test take."""


@dataclass
class HangingChannel(HonestChannel):
    """Answers no query until it is released."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    asked: int = 0

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        self.asked += 1
        self.arrived.release()
        await self.released.wait()
        return ChannelAnswer(ChannelState.PENDING)


@dataclass
class PaidChannel(HonestChannel):
    """Every order of it is paid."""

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        return ChannelAnswer(ChannelState.SUCCEEDED, AMOUNT, "CNY", channel_order_no="4200001")


@dataclass
class Accounts:
    channels: dict[UUID, HonestChannel]

    async def get(self, account_id: UUID) -> HonestChannel:
        return self.channels[account_id]

    def text(self, channel: str, code: str) -> None:
        """Return no text for payers: these channels' codes have none."""


@pytest.fixture
async def world(payments_database: Database, clock: ManualClock) -> AsyncIterator[World]:
    # What other tests have left is not due here.
    await payments_database.pool.execute(
        "UPDATE payments.attempt SET next_query_at = $1 WHERE next_query_at < $1", LATER
    )
    world = World(payments_database, clock)
    healthy = world.ids.new()
    hanging_channel = HangingChannel()
    accounts = Accounts({world.account_id: hanging_channel, healthy: PaidChannel()})
    platform = wired(payments_database, accounts, clock=clock, ids=world.ids)
    world.transactions, world.lifecycle = platform.transactions, platform.lifecycle
    world.healthy, world.hanging_channel = healthy, hanging_channel  # type: ignore[attr-defined]
    yield world
    hanging_channel.released.set()
    await asyncio.wait_for(world.lifecycle.stop(), 60)


async def test_a_payment_at_a_healthy_account_is_credited_while_another_account_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_CLAIM_LIMIT", CLAIM)
    await world.place(*(world.order() for _ in range(HANGING)))
    world.clock.advance(timedelta(seconds=1))
    intent = replace(world.new_attempt(), account_id=world.healthy)  # type: ignore[attr-defined]
    (healthy,) = await world.place(world.order(first_attempt=intent))
    unpaid = await world.payment(attempt=False, validity=timedelta(seconds=30))
    world.clock.advance(timedelta(seconds=61))
    for _ in range(6):  # as the worker does, twice a second
        await asyncio.wait_for(world.lifecycle.sweep(patience_s=0.1), 60)
    async with asyncio.timeout(20):
        while (await world.see(healthy)).payment.status is not PaymentStatus.SUCCEEDED:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    assert await world.lifecycle.expire() == 1
    assert (await world.see(unpaid)).payment.status is PaymentStatus.CLOSED
    channel: HangingChannel = world.hanging_channel  # type: ignore[attr-defined]
    assert not channel.released.is_set()
    assert 0 < channel.asked <= 16, "one account gets so many calls at once and no more"


async def test_what_waited_past_its_lease_is_left_to_the_next_claim(world: World) -> None:
    await world.place(*(world.order() for _ in range(40)))
    world.clock.advance(timedelta(seconds=61))
    await world.lifecycle.sweep(patience_s=0.1)
    channel: HangingChannel = world.hanging_channel  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        for _ in range(16):
            await channel.arrived.acquire()
    assert channel.asked == 16
    world.clock.advance(timedelta(seconds=16))
    channel.released.set()
    async with asyncio.timeout(20):
        while await due(world) > 40 - 16:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    assert channel.asked == 16, "the others were not asked under a lease that has ended"
    async with asyncio.timeout(20):
        while channel.asked < 40:
            await world.lifecycle.sweep()
            await asyncio.sleep(0.05)
    assert await due(world) == 0


async def due(world: World) -> int:
    query = "SELECT count(*) FROM payments.attempt WHERE account_id = $1 AND next_query_at <= $2"
    count: int = await world.database.pool.fetchval(query, world.account_id, world.clock.now())
    return count
