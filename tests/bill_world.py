"""Merchants' payments as events tell them, and a query store to put them in."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

from hutong import db, events, ids
from hutong import search as query
from hutong.clock import ManualClock, instant
from hutong.events import RecordedEvent

_numbers = itertools.count(1)
HOUSE = "query"


class Bills:
    """Writes what events would carry, numbers each object's, and knows nothing else."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.ids = ids.Ids(clock)
        self.merchant_id = self.ids.new()
        self._seq: dict[UUID, int] = {}

    def payment(self, payment_id: UUID | None = None, *, told: str = "payment.succeeded", **changed: Any) -> Any:
        """An event of a payment; by default a new one that has succeeded. Each is a millisecond after the last."""
        self.clock.advance(timedelta(milliseconds=1))
        payment_id = payment_id or self.ids.new()
        now = instant(self.clock.now())
        document = {
            "id": ids.encode("pay", payment_id),
            "status": "succeeded",
            "merchant_order_no": f"order-{next(_numbers)}",
            "amount_minor": 1999,
            "amount_captured_minor": 1999,
            "currency": "CNY",
            "subject": "糖醋排骨",
            "customer": None,
            "created_at": now,
            "authorized_at": None,
            "succeeded_at": now,
            "closed_at": None,
            "attempts": [{"state": "succeeded", "surplus": False, "method": "wechat_native", "channel": "wechat"}],
        }
        merchant_id = changed.pop("merchant_id", self.merchant_id)
        return self._event(told, payment_id, merchant_id, document | changed)

    def refund(self, payment: RecordedEvent, *, told: str = "refund.succeeded", **changed: Any) -> RecordedEvent:
        """An event of a refund of the payment that another event is about."""
        self.clock.advance(timedelta(milliseconds=1))
        refund_id = changed.pop("refund_id", None) or self.ids.new()
        now = instant(self.clock.now())
        document = {
            "id": ids.encode("ref", refund_id),
            "payment_id": ids.encode("pay", payment.object_id),
            "kind": "refund",
            "state": "succeeded",
            "merchant_refund_no": f"refund-{next(_numbers)}",
            "amount_minor": 500,
            "reason": "退货",
            "route": "original",
            "created_at": now,
            "finished_at": now,
        }
        return self._event(told, refund_id, payment.merchant_id, document | changed)

    def customer(self, customer_id: str, name: str | None, avatar: str | None = None) -> RecordedEvent:
        """An event of a customer who was told of outside of orders."""
        self.clock.advance(timedelta(milliseconds=1))
        document = {"id": customer_id, "name": name, "avatar": avatar, "updated_at": instant(self.clock.now())}
        object_id = uuid5(self.merchant_id, customer_id)
        return self._event("customer.updated", object_id, self.merchant_id, document)

    def _event(self, kind: str, object_id: UUID, merchant_id: UUID, document: dict[str, Any]) -> RecordedEvent:
        seq = self._seq[object_id] = self._seq.get(object_id, 0) + 1
        text = orjson.dumps(document).decode()
        return RecordedEvent(self.ids.new(), kind, 1, merchant_id, object_id, seq, text, self.clock.now())


async def put(tx: db.Tx, *told: RecordedEvent) -> None:
    """Apply events, outside any stream."""
    await tx.execute("SELECT set_config('search_path', $1, true)", HOUSE)
    await query.apply(tx, query.facts_of(told))


async def found(tx: db.Tx, limit: int = 100, **wanted: Any) -> list[query.PaymentRecord]:
    return (await query.search(tx, query.RecordQuery(**wanted), limit=limit)).bills


async def record(database: db.Database, *told: RecordedEvent) -> None:
    """Write events as payments do, and number them."""
    async with database.transaction() as tx:
        for one in told:
            event = events.Event(one.event_id, one.type, one.merchant_id, one.object_id, one.data)
            await events.record(tx, [event], now=one.created_at)
    await events.sequence(database)


async def follow(source: db.Database, store: db.Database, now: datetime) -> int:
    return await query.follow(source, store, now=now)


@asynccontextmanager
async def opened(url: str, *, role: str | None = "hutong_app") -> AsyncIterator[db.Database]:
    async with db.Database.open(url, size=4, role=role) as database:
        yield database
