"""A channel as bad as real ones: slow, deaf, forgetful, repetitive, sometimes contradicting itself, but it keeps a log
of the money that it moved, which is the truth that everything is held against."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from hutong.channels import (
    ActionKind,
    Capabilities,
    Channel,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Method,
    Notification,
    NotificationRefused,
    Offer,
    PayerAction,
    PayRequest,
)
from hutong.channels import Order as ChannelOrder
from hutong.errors import NotFound

TIMEOUT_S = 10.0
LIE_MAX_S = 240.0
"""How long a channel may still say "no such order" of one it has; below the grace that the platform gives it."""

_S = ChannelState
_NOTHING = ChannelAnswer(_S.UNKNOWN, channel_code="no_answer")


@dataclass
class Weather:
    """How bad this channel is in one simulation; each number is a probability."""

    lost: float = 0.0
    slow: float = 0.0
    hidden: float = 0.0
    refused: float = 0.0
    at_once: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    silent: float = 0.0
    paid: float = 0.75

    @classmethod
    def draw(cls, rng: Random) -> Weather:
        """Most simulations have few kinds of trouble, and then enough of each to meet."""

        def some(*choices: float) -> float:
            return rng.choice((0.0, 0.0, *choices))

        return cls(
            lost=some(0.1, 0.4),
            slow=some(0.2, 0.5),
            hidden=some(0.3, 0.8),
            refused=some(0.1, 0.3),
            at_once=some(0.2),
            late=some(0.5, 1.0),
            repeated=some(0.3, 0.8),
            silent=some(0.5),
            paid=rng.choice((0.5, 0.8, 0.95)),
        )

    @classmethod
    def fine(cls) -> Weather:
        return cls()


@dataclass
class Order:
    """What the channel knows of one order."""

    request: PayRequest
    state: ChannelState
    seen_from: float
    taken: list[float] = field(default_factory=list)
    must_tell: bool = False
    """Nobody will ask any more, so it is told until somebody takes the word."""


@dataclass
class ChannelWorld:
    """The channel's own side, which outlives every process of ours.

    Args:
        deliver: Posts a notification to the platform; gives back whether it was accepted.
    """

    loop: asyncio.AbstractEventLoop
    clock: Callable[[], datetime]
    rng: Random
    weather: Weather
    deliver: Callable[[Mapping[str, str], bytes, Callable[[bool], None]], None]
    note: Callable[[str], None]
    resubmits: bool = True
    orders: dict[str, Order] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _messages: int = 0

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.rng.random() < probability

    async def call(self, verb: str, number: str, act: Callable[[], ChannelAnswer]) -> ChannelAnswer:
        """One request over a bad network: it may not arrive, arrive late, and its answer may not come back."""
        answer: asyncio.Future[ChannelAnswer] = self.loop.create_future()
        way = self.rng.uniform(0.01, 0.5)
        if self.chance(self.weather.slow):
            way = self.rng.choice((self.rng.uniform(0.5, 9), self.rng.uniform(TIMEOUT_S, 60)))
        if self.chance(self.weather.lost):
            self.note(f"channel {verb} {number} lost")
        else:
            back = None if self.chance(self.weather.lost) else self.rng.uniform(0.01, 0.5)
            # In a context of its own: what has been sent does not die with the process that has sent it.
            self.loop.call_later(way, self._arrive, verb, number, act, answer, back, context=Context())
        self.loop.call_later(TIMEOUT_S, _say, answer, _NOTHING)
        return await answer

    def _arrive(
        self,
        verb: str,
        number: str,
        act: Callable[[], ChannelAnswer],
        answer: asyncio.Future[ChannelAnswer],
        back: float | None,
    ) -> None:
        said = act()
        self.note(f"channel {verb} {number} -> {said.state.value}{'' if back else ' (answer lost)'}")
        if back is not None:
            self.loop.call_later(back, _say, answer, said)

    # Orders

    def pay(self, request: PayRequest) -> ChannelAnswer:
        order = self.orders.get(request.attempt_no)
        if order is None:
            order = self._new_order(request)
        elif order.request != request:
            self.problems.append(f"{request.attempt_no} asks for something else than before")
        return self.word(order, action=True)

    def _new_order(self, request: PayRequest) -> Order:
        now = self.loop.time()
        hidden = self.rng.uniform(1, LIE_MAX_S - 70) if self.chance(self.weather.hidden) else 0.0
        order = Order(request, _S.PENDING, now + hidden)
        self.orders[request.attempt_no] = order
        if self.chance(self.weather.refused):
            order.state = _S.FAILED
        elif self.chance(self.weather.at_once):
            self._take(order)
        elif self.chance(self.weather.paid):
            left = max(0.0, (request.expires_at - self.clock()).total_seconds())
            after = self.rng.choice((self.rng.uniform(0.1, 6), self.rng.uniform(0, 90), left + self.rng.uniform(-3, 1)))
            self.loop.call_later(max(0.05, after), self._payer_pays, order)
        return order

    def _payer_pays(self, order: Order) -> None:
        if order.state is _S.PENDING and self.clock() < order.request.expires_at:
            self._take(order)

    def _take(self, order: Order) -> None:
        order.state = _S.SUCCEEDED
        order.taken.append(self.loop.time())
        self.note(f"channel takes the money of {order.request.attempt_no}")
        copies = 1 + self.rng.randrange(3) if self.chance(self.weather.repeated) else 1
        if order.must_tell or not self.chance(self.weather.silent):
            for _ in range(copies):
                self._tell(order, self.word(order), self.rng.uniform(0.05, 3), tries=0)

    def query(self, number: str) -> ChannelAnswer:
        order = self.orders.get(number)
        if order is None or self.loop.time() < order.seen_from:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        return self.word(order)

    def close(self, number: str) -> ChannelAnswer:
        order = self.orders.get(number)
        if order is None:
            return ChannelAnswer(_S.NOT_FOUND, channel_code="ORDER_NOT_EXIST")
        if order.state is _S.PENDING:
            order.state = _S.CLOSED
            if self.chance(self.weather.late):
                # The payer's bank was faster than the word of the end.
                order.must_tell = True
                self.loop.call_later(self.rng.choice((0.05, self.rng.uniform(0, 60))), self._take, order)
        return self.word(order)

    def word(self, order: Order, *, action: bool = False) -> ChannelAnswer:
        """What the channel says of an order now."""
        money = order.state is _S.SUCCEEDED
        qr = PayerAction(ActionKind.QR_CODE, f"qr:{order.request.attempt_no}")
        return ChannelAnswer(
            order.state,
            order.request.amount_minor if money else None,
            order.request.currency if money else None,
            action=qr if action and order.state is _S.PENDING else None,
        )

    # Notifications

    def _tell(self, order: Order, word: ChannelAnswer, delay: float, *, tries: int) -> None:
        self.loop.call_later(delay, self._send, order, word, tries)

    def _send(self, order: Order, word: ChannelAnswer, tries: int) -> None:
        self._messages += 1
        number = order.request.attempt_no
        message = {"number": number, "state": word.state, "amount": word.amount_minor, "currency": word.currency}

        def done(accepted: bool) -> None:
            if not accepted and (order.must_tell or tries < 3):
                self._tell(order, word, min(3600.0, self.rng.uniform(1, 15) * 4**tries), tries=tries + 1)

        if self.chance(self.weather.lost):
            self.note(f"channel notification {number} lost")
            done(False)
        else:
            self.note(f"channel notification {number} {word.state.value}")
            self.deliver({"x-key": str(self._messages)}, json.dumps(message).encode(), done)

    # The truth

    def took(self) -> dict[str, int]:
        """How often the money of each order moved, for orders where it did."""
        return {number: len(order.taken) for number, order in self.orders.items() if order.taken}


class ModelledChannel(Channel):
    """The adapter that a process of ours holds."""

    def __init__(self, world: ChannelWorld) -> None:
        self.world = world
        self.capabilities = Capabilities(
            channel="modelled",
            methods={"qr": Method(ActionKind.QR_CODE), "qr_other": Method(ActionKind.QR_CODE)},
            currencies=frozenset({"CNY"}),
            amount_minor_min=1,
            amount_minor_max=1_000_000,
            order_no_length_max=32,
            expiry_min=timedelta(minutes=1),
            expiry_max=timedelta(hours=2),
            notifies=True,
            resubmits=world.resubmits,
            subject_length_max=127,
        )

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("pay", request.attempt_no, lambda: self.world.pay(request))

    async def query(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("query", order.attempt_no, lambda: self.world.query(order.attempt_no))

    async def close(self, order: ChannelOrder, *, now: datetime) -> ChannelAnswer:
        return await self.world.call("close", order.attempt_no, lambda: self.world.close(order.attempt_no))

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        if "x-key" not in headers:
            raise NotificationRefused("not proven")
        said = json.loads(body)
        answer = ChannelAnswer(ChannelState(said["state"]), said["amount"], said["currency"])
        key = headers["x-key"]
        return Notification(key, said["number"], answer, replay_key=key.encode())

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(204)

    def refuse_notification(self, reason: str) -> HttpAnswer:
        return HttpAnswer(401)


@dataclass(frozen=True)
class ModelledAccounts:
    """The one channel account of a simulation."""

    account_id: UUID
    channel: ModelledChannel

    async def get(self, account_id: UUID) -> ModelledChannel:
        if account_id != self.account_id:
            raise NotFound("no channel account has this id")
        return self.channel

    async def offers(self) -> list[Offer]:
        return [Offer(self.account_id, self.channel.capabilities, sandbox=False)]


def _say(answer: asyncio.Future[ChannelAnswer], said: ChannelAnswer) -> None:
    if not answer.done():
        answer.set_result(said)
