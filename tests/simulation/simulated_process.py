"""One process of the platform: real code on a gated database. It can be killed at any moment."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from modelled_channel import ModelledAccounts
from simulated_database import Gate, Pool
from simulated_loop import OWNER, SimulatedLoop

from hutong import idempotency, payments
from hutong.clock import to_ns
from hutong.db import Database
from hutong.ids import Ids

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
    key: str
    amount_minor: int
    expires_at: datetime
    method: str | None


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
        self.committer = payments.Committer(
            self.database, clock=clock, ids=self.ids, checkout_url=lambda p: f"/pay/{p.checkout_token}"
        )
        self.flow = payments.Flow(
            self.database,
            accounts,  # type: ignore[arg-type]
            self.committer,
            clock=clock,
            ids=self.ids,
            public_url="https://pay.example",
        )

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
        claim = idempotency.Claim(self.merchant_id, order.key, hashlib.sha256(repr(order).encode()).digest())
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
        )
        if order.expires_at <= self.clock.now():
            return await self.flow.repeated(payments.PlaceOrder(new, claim)) or (422, b"")
        if order.method:
            first = await self.flow.choice.choose(order.method, order.amount_minor, "CNY")
            new = payments.NewPayment(
                **{field: getattr(new, field) for field in new.__slots__} | {"first_attempt": first}
            )
        return await self.flow.place(payments.PlaceOrder(new, claim))

    async def find(self, order: Order) -> payments.Payment | None:
        async with self.database.transaction() as tx:
            found = await payments.list_payments(tx, self.merchant_id, merchant_order_no=order.number)
        return found[0] if found else None

    async def start(self, order: Order, method: str) -> None:
        if payment := await self.find(order):
            await self.flow.start(payment, method)

    async def close(self, order: Order) -> None:
        if payment := await self.find(order):
            await self.flow.close(payment)

    async def sweep(self) -> None:
        self.sweeping = True
        try:
            await self.flow.sweep()
        finally:
            self.sweeping = False
