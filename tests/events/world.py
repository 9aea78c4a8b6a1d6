"""A merchant's server, and merchants that do things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web

from hutong import events
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.events import Event
from hutong.ids import Ids
from hutong.vault import Vault

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """An HTTP server that writes down what it gets, and answers as told."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    connections: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.path, {k.lower(): v for k, v in request.headers.items()}, body))
        answer = self.answers.get(request.path)
        return await answer(request) if answer else web.Response(text="ok")

    def bodies(self, path: str = "/hook") -> list[dict[str, Any]]:
        return [orjson.loads(body) for at, _, body in self.requests if at == path]

    def fail(self, path: str = "/hook", status: int = 500) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status)

        self.answers[path] = answer

    def succeed(self, path: str = "/hook") -> None:
        self.answers.pop(path, None)

    def hang(self, path: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            await asyncio.Event().wait()
            raise AssertionError

        self.answers[path] = answer


class World:
    """Merchants that do things, in a database of their own."""

    def __init__(self, database: Database, vault: Vault, clock: ManualClock, ids: Ids, url: str) -> None:
        self.database, self.vault, self.clock, self.ids, self.url = database, vault, clock, ids, url
        self.merchant = ids.new()

    def event(self, object_id: UUID, name: str = "payment.succeeded", **data: Any) -> Event:
        return Event(self.ids.new(), name, self.merchant, object_id, data or {"amount": 1})

    async def record(self, *given: Event) -> None:
        async with self.database.transaction() as tx:
            await events.record(tx, given, now=self.clock.now())

    async def happens(self, object_id: UUID | None = None, count: int = 1) -> list[Event]:
        made = [self.event(object_id or uuid4()) for _ in range(count)]
        await self.record(*made)
        return made

    async def endpoint(
        self,
        path: str = "/hook",
        *,
        merchant: UUID | None = None,
        types: tuple[str, ...] = (),
        url: str | None = None,
        scheme: events.Scheme = events.Scheme.HMAC,
    ) -> events.NewEndpoint:
        async with self.database.transaction() as tx:
            return await events.create_endpoint(
                tx,
                endpoint_id=self.ids.new(),
                merchant_id=merchant or self.merchant,
                url=url or self.url + path,
                types=types,
                scheme=scheme,
                now=self.clock.now(),
                vault=self.vault,
                allow_private=True,
            )

    async def disable(self, endpoint_id: UUID) -> events.Endpoint:
        async with self.database.transaction() as tx:
            return await events.disable_endpoint(tx, self.merchant, endpoint_id, now=self.clock.now())

    def deliverer(self, **options: Any) -> events.WebhookWorker:
        given = {"new_id": self.ids.new, "allow_private": True, "random": lambda: 0.5, **options}
        return events.WebhookWorker(self.database, self.vault, self.clock, **given)

    async def deliveries(self, event: Event) -> list[events.Delivery]:
        async with self.database.transaction() as tx:
            return await events.deliveries_of(tx, event.merchant_id, event.event_id)

    async def numbers(self, object_id: UUID) -> list[int]:
        async with self.database.transaction() as tx:
            seen = await events.list_events(tx, self.merchant, limit=10_000)
        return [event.object_seq for event in seen if event.object_id == object_id]

    def later(self, instant: datetime) -> None:
        self.clock.advance(instant - self.clock.now())


async def until(condition: Callable[[], bool], *, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait for something that happens in another task, and do something again and again meanwhile."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)
            meanwhile()
