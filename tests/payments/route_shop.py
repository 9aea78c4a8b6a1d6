"""A shop whose payments may go through several accounts, each in a mood of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from honest_channel import CAPABILITIES, HonestChannel
from payment_world import AMOUNT, METHOD, World

from hutong import idempotency, payments, routing
from hutong.channels import ChannelAnswer, ChannelState, Offer, PayRequest
from hutong.clock import ManualClock
from hutong.vault import Vault

BUSY = ChannelAnswer(ChannelState.FAILED, channel_code="SYSTEMERROR", code="channel_error", retryable=True)
POOR = ChannelAnswer(ChannelState.FAILED, channel_code="NOTENOUGH", code="insufficient_funds", retryable=True)
NOT_SENT = ChannelAnswer(ChannelState.UNKNOWN, channel_code="not_sent")


@dataclass
class MoodyChannel(HonestChannel):
    """Answers every order with `mood`, if it has one."""

    mood: ChannelAnswer | None = None
    slow: timedelta = timedelta(milliseconds=1)
    clock: ManualClock | None = None

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        if self.clock is not None:
            self.clock.advance(self.slow)
        if self.mood is None:
            return await super().pay(request, now=now)
        self.calls.append(("pay", request.attempt_no))
        return self.mood


@dataclass
class Accounts:
    """Several accounts, named a, b, c… in their order."""

    channels: dict[UUID, MoodyChannel] = field(default_factory=dict)

    async def get(self, account_id: UUID) -> MoodyChannel:
        return self.channels[account_id]

    async def offers(self) -> list[Offer]:
        return [Offer(account_id, channel.capabilities, sandbox=False) for account_id, channel in self.channels.items()]


class Shop:
    def __init__(self, world: World, names: str) -> None:
        self.world = world
        self.accounts = Accounts()
        for name in names:
            can = replace(CAPABILITIES, channel=name)
            self.accounts.channels[world.ids.new()] = MoodyChannel(can, clock=world.clock)
        self.live = routing.RoutingState(draw=lambda: 0.5)
        accounts: Any = self.accounts
        self.lifecycle = payments.Payments(
            world.database,
            accounts,
            world.transactions,
            clock=world.clock,
            ids=world.ids,
            public_url="https://pay.example/",
            vault=Vault([bytes(32)]),
            live=self.live,
        )

    def channel(self, name: str) -> MoodyChannel:
        return next(each for each in self.accounts.channels.values() if each.capabilities.channel == name)

    async def place(self, key: str = "", payer: dict[str, str] | None = None) -> payments.Payment:
        wish = payments.RouteRequest(METHOD, AMOUNT, "CNY", payer=payer, merchant_id=self.world.merchant_id)
        first = await self.lifecycle.route_selector.choose(wish)
        order = self.world.order(first_attempt=first)
        claim = idempotency.Claim(self.world.merchant_id, key, b"x" * 32) if key else None
        await self.lifecycle.place(payments.PlaceOrder(order, claim))
        async with self.world.database.transaction() as tx:
            return (await payments.find(tx, [order.payment_id]))[order.payment_id]


def tries(payment: payments.Payment) -> list[tuple[str, str]]:
    return [(attempt.channel, attempt.state.value) for attempt in payment.attempts]
