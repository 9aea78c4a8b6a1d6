"""A channel account that does not answer holds up its own payments and nobody else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hutong.app.worker import look_at_clock, make_worker
from hutong.channels import ChannelAnswer, ChannelState, OrderReference
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import Payment, PaymentStatus, polling
from support import create_database
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
    world.accounts = accounts  # type: ignore[attr-defined]
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


async def due(world: World, *accounts: UUID) -> int:
    query = "SELECT count(*) FROM payments.attempt WHERE account_id = ANY($1) AND next_query_at <= $2"
    count: int = await world.database.pool.fetchval(query, accounts or [world.account_id], world.clock.now())
    return count


COPIES = """
    WITH made AS (
        SELECT gen_random_uuid() AS payment_id, gen_random_uuid() AS attempt_id, n FROM generate_series(1, $2) n
    ), paid AS (
        INSERT INTO payments.payment
        SELECT (jsonb_populate_record(p, jsonb_build_object(
            'id', m.payment_id, 'merchant_order_no', 'hanging-' || m.n || m.payment_id, 'checkout_token', m.payment_id
        ))).* FROM payments.payment p, made m WHERE p.id = $1
    )
    INSERT INTO payments.attempt
    SELECT (jsonb_populate_record(a, jsonb_build_object(
            'id', m.attempt_id, 'payment_id', m.payment_id, 'account_id', ($3::uuid[])[1 + m.n % cardinality($3)]
        ))).*
    FROM payments.attempt a, made m WHERE a.payment_id = $1
"""
"""Copies of a payment and its attempt, by their owner."""
ONE_AFTER_THE_OTHER = """
    UPDATE payments.attempt SET next_query_at = created_at + array_position($1, account_id) * interval '1 millisecond'
    WHERE account_id = ANY($1)
"""


async def test_a_healthy_order_is_credited_within_three_seconds_beside_5000_that_hang(world: World) -> None:
    """The channel that hangs has several accounts, as a merchant's own and a collective one."""
    (template,) = await world.place(world.order())
    hanging = [world.account_id, *(world.ids.new() for _ in range(5))]
    world.accounts.channels |= dict.fromkeys(hanging, world.hanging_channel)  # type: ignore[attr-defined]
    async with world.database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE NONE")
        await tx.execute(COPIES, template.payment_id, 5_000, hanging)
        await tx.execute(ONE_AFTER_THE_OTHER, hanging)
    world.clock.advance(timedelta(seconds=1))
    intent = replace(world.new_attempt(), account_id=world.healthy)  # type: ignore[attr-defined]
    (healthy,) = await world.place(world.order(first_attempt=intent))
    world.clock.advance(timedelta(seconds=61))
    assert await due(world, *hanging) == 5_001
    began = time.monotonic()
    while (await world.see(healthy)).payment.status is not PaymentStatus.SUCCEEDED:
        assert time.monotonic() < began + 3
        await world.lifecycle.sweep(patience_s=0.5)  # as the worker does, twice a second
        await asyncio.sleep(0.5)
    print(f"credited after {time.monotonic() - began:.2f} s")
    channel: HangingChannel = world.hanging_channel  # type: ignore[attr-defined]
    assert not channel.released.is_set()
    async with world.database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE NONE")
        await tx.execute("DELETE FROM payments.attempt WHERE account_id = ANY($1)", hanging)


@dataclass
class DoubtedChannel(HonestChannel):
    """Every order of it is paid, and while its clock is wrong no answer of it can be relied on."""

    is_wrong: bool = True
    meanwhile: ChannelState = ChannelState.UNKNOWN

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        if self.is_wrong:
            return ChannelAnswer(self.meanwhile, channel_code="stale")
        return ChannelAnswer(ChannelState.SUCCEEDED, AMOUNT, "CNY", channel_order_no="4200001")


@pytest.fixture
async def alone(server_url: str, template_url: str) -> AsyncIterator[Database]:
    """A database in which nothing else is open."""
    async with Database.open(create_database(server_url, template_url), size=8) as opened:
        yield opened


async def seconds_until_paid(world: World, payments: list[Payment], sweep: Callable[[], Awaitable[object]]) -> int:
    """Sweep as the worker does until all are paid; return how many seconds of the clock that took."""
    for seconds in range(0, 7_200, 5):
        world.clock.advance(timedelta(seconds=5))
        await sweep()
        states = [(await world.see(payment)).payment.status for payment in payments]
        if all(state is PaymentStatus.SUCCEEDED for state in states):
            return seconds + 5
    raise AssertionError(f"not all of them are paid: {states}")


async def test_all_open_orders_end_within_a_minute_of_the_return_of_a_channel_whose_clock_was_wrong(
    world: World,
) -> None:
    channel = DoubtedChannel()
    world.channel = channel
    world.restart()
    payments = await world.place(*(world.order(validity=timedelta(hours=3)) for _ in range(20)))
    for _ in range(60):  # ten minutes, in which the pauses between queries grow
        world.clock.advance(timedelta(seconds=10))
        await world.lifecycle.sweep()
    channel.is_wrong = False
    assert await seconds_until_paid(world, payments, world.lifecycle.sweep) <= 60
    await world.lifecycle.stop()


@pytest.mark.parametrize("minutes", [10, -10])
async def test_all_open_orders_end_within_a_minute_of_the_return_of_our_own_clock(
    alone: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    channel = DoubtedChannel(meanwhile=ChannelState.PENDING)  # it does not mind our clock
    world = World(alone, clock, channel)
    platform = world.new_process()
    world.lifecycle = platform.lifecycle
    seconds = 0.0
    monkeypatch.setattr("hutong.clock.monotonic", lambda: seconds)
    worker = make_worker(platform)

    async def sweep() -> None:
        nonlocal seconds
        seconds += 5
        await look_at_clock(worker)
        await world.lifecycle.sweep()

    world.clock.advance(timedelta(minutes=minutes))
    payments = await world.place(*(world.order(validity=timedelta(hours=3)) for _ in range(5)))
    for _ in range(12):
        world.clock.advance(timedelta(seconds=5))
        await sweep()
    world.clock.advance(-timedelta(minutes=minutes))
    channel.is_wrong = False
    assert await seconds_until_paid(world, payments, sweep) <= 60
    await world.lifecycle.stop()
