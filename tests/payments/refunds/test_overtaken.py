"""A request that works on its key for longer than the claim holds, overtaken by its own repetition: one answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hutong import channels, idempotency
from hutong.channels import ChannelAnswer, PayRequest
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.idempotency.model import LEASE
from hutong.payments import PlaceOrder
from hutong.payments.refunds.lifecycle import RefundOrder
from support.fakes.channel import HonestChannel
from support.fixtures.payments import World, answered
from support.fixtures.refunds import RefundingChannel, RefundWorld

SLOW = LEASE + timedelta(seconds=1)


@dataclass
class SlowChannel(HonestChannel):
    """While it is thinking about an order the merchant asks again."""

    again: Any = None
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        self.answers.append(await self.again())
        return await super().pay(request, now=now)


@dataclass
class SlowRefunds(RefundingChannel):
    """While it is thinking about a refund the merchant asks again."""

    again: Any = None
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    async def refund(self, refund: channels.RefundRequest, *, now: datetime) -> ChannelAnswer:
        self.answers.append(await self.again())
        return await super().refund(refund, now=now)


async def test_an_overtaken_order_is_answered_as_its_repetition_was(world: World) -> None:
    channel = SlowChannel()
    world.channel = channel
    world.restart()
    order = PlaceOrder(world.order(), idempotency.Claim(world.merchant_id, "slow", b"f" * 32))

    async def again() -> tuple[int, bytes]:
        world.clock.advance(SLOW)
        return await answered(world.lifecycle, order)

    channel.again = again
    answer = await answered(world.lifecycle, order)
    assert channel.answers == [answer]
    assert await answered(world.lifecycle, order) == answer
    await world.lifecycle.stop()


async def test_an_overtaken_refund_is_answered_as_its_repetition_was(
    payments_database: Database, clock: ManualClock
) -> None:
    world = RefundWorld(payments_database, clock)
    payment = await world.paid()
    channel = SlowRefunds(capabilities=world.channel.capabilities)
    world.channel = channel
    world.restart()
    request = RefundOrder("slow", 500, "damaged")
    claim = idempotency.Claim(world.merchant_id, "slow refund", b"f" * 32)

    async def again() -> tuple[int, bytes]:
        world.clock.advance(SLOW)
        return await world.answered(payment, request, claim=claim)

    channel.again = again
    answer = await world.answered(payment, request, claim=claim)
    assert channel.answers == [answer]
    assert await world.answered(payment, request, claim=claim) == answer
    await world.lifecycle.stop()
    assert [refund.amount_minor for refund in await world.refunds(payment)] == [500]
