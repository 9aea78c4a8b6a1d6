"""One process of the platform: real code on a gated database. It can be killed at any moment."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from modelled_channel import ModelledAccounts
from simulated_database import Gate, Pool
from simulated_loop import OWNER, SimulatedLoop

from hutong import idempotency, payments
from hutong.api.responses import JsonAnswers
from hutong.clock import to_ns
from hutong.db import Database
from hutong.errors import NotFound
from hutong.ids import Ids
from hutong.payments.refunds.lifecycle import RefundOrder
from support.platform import wired

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class SimulatedClock:
    """The loop's time as a calendar has it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return START + timedelta(microseconds=round(self._loop.time() * 1e6))

    def now_ns(self) -> int:
        return to_ns(self.now())


@dataclass(frozen=True)
class Order:
    """What a merchant orders, the same in every repetition."""

    number: str
    amount_minor: int
    expires_at: datetime
    methods: tuple[str, str]
    at_once: bool
    manual: bool


class Process:
    """Flow, coalescers and connections, made anew at each start on what the database holds."""

    def __init__(
        self,
        name: str,
        loop: SimulatedLoop,
        gate: Gate,
        accounts: ModelledAccounts,
        clock: SimulatedClock,
        rng: Random,
        merchant_id: UUID,
    ) -> None:
        self.name = name
        self.loop = loop
        self.clock = clock
        self.merchant_id = merchant_id
        self.pool = Pool(gate, loop)
        self.ids = Ids(clock, random_bits=rng.getrandbits)
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.sweeping = False
        self.database = Database(self.pool)  # type: ignore[arg-type]
        platform = wired(self.database, accounts, clock=clock, ids=self.ids)
        self.lifecycle = platform.lifecycle
        self.answers = JsonAnswers(platform.documents)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin work that lives and dies with this process."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self.tasks)
        return self.loop.create_task(work, context=context)

    def die(self) -> None:
        """Connections end, the server undoes what was not committed, and no line of the process runs to any effect."""
        self.pool.die()
        for _ in range(100):
            for task in list(self.tasks):
                task.cancel()
            self.loop.drain()
            if not self.tasks:
                return
        raise AssertionError(f"{self.tasks} cannot be stopped")

    # What the edges of the platform do with a request

    async def place(self, order: Order) -> tuple[int, bytes]:
        capture_method = payments.CaptureMethod.MANUAL if order.manual else payments.CaptureMethod.AUTOMATIC
        first = None
        if order.at_once and order.expires_at > self.clock.now():
            wanted_route = payments.RouteRequest(
                order.methods[0],
                order.amount_minor,
                "CNY",
                capture_method=capture_method,
                merchant_id=self.merchant_id,
                merchant_order_no=order.number,
            )
            first = await self.lifecycle.route_selector.choose(wanted_route)
        new = payments.NewPayment(
            payment_id=self.ids.new(),
            merchant_id=self.merchant_id,
            merchant_order_no=order.number,
            amount_minor=order.amount_minor,
            currency="CNY",
            subject="x",
            expires_at=order.expires_at,
            checkout_token="t",
            fee_ppm=6_000,
            first_attempt=first,
            capture_method=capture_method,
        )
        command = payments.PlaceOrder(new, self._claim(order.number))
        if order.expires_at <= self.clock.now():
            repeated = await self.lifecycle.repeated(command)
            return (422, b"") if repeated is None else _answered(self.answers.to_order(repeated))
        return _answered(self.answers.to_order(await self.lifecycle.place(command)))

    def _claim(self, key: str) -> idempotency.Claim:
        return idempotency.Claim(self.merchant_id, key, hashlib.sha256(key.encode()).digest())

    async def _find(self, order: Order) -> payments.Payment:
        async with self.database.transaction() as tx:
            found = await payments.list_payments(tx, self.merchant_id, merchant_order_no=order.number)
        if not found:
            raise NotFound("no payment")
        return found[0]

    async def start(self, order: Order, method: str) -> None:
        await self.lifecycle.start(await self._find(order), method)

    async def close(self, order: Order) -> None:
        await self.lifecycle.close(await self._find(order))

    async def capture(self, order: Order, amount_minor: int | None) -> None:
        await self.lifecycle.capture(await self._find(order), amount_minor)

    async def refund(self, order: Order, number: str, amount_minor: int | None, *, fee: bool) -> tuple[int, bytes]:
        command = RefundOrder(number, amount_minor, "damaged", returns_fee=fee)
        result = await self.lifecycle.refunds.place(await self._find(order), command, claim=self._claim(number))
        return _answered(self.answers.to_refund(result))

    async def sweep(self, due: Collection[str]) -> None:
        """What the worker does again and again, done when it would find something."""
        self.sweeping = True
        try:
            sweeps = {"payments": self._sweep_payments, "refunds": self.lifecycle.refunds.sweep}
            await asyncio.gather(*(sweeps[kind]() for kind in due))
        finally:
            self.sweeping = False

    async def _sweep_payments(self) -> None:
        await self.lifecycle.expire()
        await self.lifecycle.sweep()


def _answered(answer: idempotency.StoredAnswer) -> tuple[int, bytes]:
    return answer.status_code, bytes(answer.body)
