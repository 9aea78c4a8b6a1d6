"""RabbitMQ is told every event at least once and each object's in order, whatever dies in between."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest

import support.processes
from hutong import events
from hutong.bench.rabbitmq import RabbitMQ
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.events import DIGEST, Event, Relay
from hutong.events.streams.messages import StreamItem
from hutong.ids import Ids
from support import unavailable
from support.fakes.broker import check, check_digests, names
from support.fakes.lossy_proxy import LossyProxy
from support.fixtures.webhooks import World

PROCESS = Path(support.processes.__file__).parent / "relay.py"
_REGISTERED_S = 4.0  # RabbitMQ 3.10 writes the name of a new quorum queue down some seconds after it has confirmed it
OUTAGE_S = float(os.environ.get("HUTONG_TEST_OUTAGE_S", "2"))
CLOCK = SystemClock()
NEW = Ids(CLOCK).new


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A broker that tests may kill; they leave it running."""
    if not RabbitMQ.available():
        unavailable("RabbitMQ is not installed")
    broker = RabbitMQ(tmp_path_factory.mktemp("mortal"))
    broker.start()
    yield broker
    broker.close()


@dataclass
class Stand:
    """A source of events, numbered and published as they come, under a name that no other test uses."""

    database: Database
    source: str = field(default_factory=lambda: f"t{secrets.token_hex(5)}")
    made: list[Event] = field(default_factory=list)
    objects: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(60)])
    merchant: UUID = field(default_factory=uuid4)

    @property
    def stream(self) -> str:
        return f"{self.source}.payment.0"

    async def happen(self, count: int) -> None:
        made = [Event(NEW(), "payment.x", self.merchant, random.choice(self.objects), {"n": i}) for i in range(count)]
        async with self.database.transaction() as tx:
            await events.record(tx, made, now=CLOCK.now())
        self.made += made
        await events.sequence(self.database, source=self.source)

    @asynccontextmanager
    async def load(self, pause_s: float = 0.02, count: int = 10) -> AsyncIterator[None]:
        """Events go on happening."""

        async def go_on() -> None:
            while True:
                await asyncio.shield(self.happen(count))
                await asyncio.sleep(pause_s)

        going = asyncio.create_task(go_on())
        try:
            yield
        finally:
            going.cancel()
            await asyncio.wait([going])
            await asyncio.sleep(0.2)

    def relay(self, url: str, confirm_limit_s: float = 1.0, **options: Any) -> Relay:
        connect = events.connector(url, source=self.source, confirm_limit_s=confirm_limit_s)
        given = {"digest_interval": timedelta(seconds=1), "lease": timedelta(seconds=3), **options}
        return Relay(self.database, CLOCK, connect=connect, new_id=NEW, **given)

    @asynccontextmanager
    async def relaying(self, url: str, **options: Any) -> AsyncIterator[Relay]:
        relay = self.relay(url, **options)
        running = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            relay.stop()
            await running

    async def position(self) -> tuple[int, int, int]:
        async with self.database.transaction() as tx:
            for one in await events.list_streams(tx):
                if one.stream == self.stream:
                    return one.last_no, one.published_no, one.digested_no
        return 0, 0, 0

    async def until_published(self, count: int | None = None, limit_s: float = 60) -> None:
        async with asyncio.timeout(limit_s):
            while (await self.position())[1] < (count or len(self.made)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_digested(self) -> None:
        async with asyncio.timeout(120):
            while (await self.position())[2] < len(self.made):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
async def stand(world: World) -> Stand:
    return Stand(world.database)


async def read(url: str, source: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """All that the queue holds, in order."""
    found: list[aio_pika.abc.AbstractIncomingMessage] = []

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        found.append(message)

    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(f"{source}.events", ensure=False)
        await queue.consume(take, no_ack=True)
        seen = -1
        while len(found) != seen:
            seen = len(found)
            await asyncio.sleep(0.6)
    return found


async def verify(stand: Stand, url: str) -> int:
    """Nothing lost, nothing out of order, repetitions the same, digests right; returns how many were repeated."""
    messages = await read(url, stand.source)
    published = [(json.loads(m.body), m.body) for m in messages if m.type != DIGEST]
    repeated = check(published, names(stand.made))
    bodies = {(parsed["stream"], parsed["no"]): raw for parsed, raw in published}
    check_digests([json.loads(m.body) for m in messages if m.type == DIGEST], bodies)
    return repeated


async def test_a_message_on_the_wire(stand: Stand, rabbitmq: RabbitMQ) -> None:
    async with stand.relaying(rabbitmq.url):
        await stand.happen(1)
        await stand.until_digested()
    message, digest, *_ = await read(rabbitmq.url, stand.source)
    assert message.message_id == json.loads(message.body)["id"]
    assert message.headers == {"stream": stand.stream, "no": 1, "type": "payment.x"}
    assert (message.type, message.routing_key, message.exchange) == ("payment.x", "payment.x", f"{stand.source}.events")
    assert (message.content_type, message.delivery_mode) == ("application/json", aio_pika.DeliveryMode.PERSISTENT)
    assert (digest.type, digest.routing_key) == (DIGEST, DIGEST)
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed, match="quorum"):
            await channel.declare_queue(f"{stand.source}.events", durable=True, arguments={"x-queue-type": "classic"})


async def test_what_no_queue_takes_is_not_published(stand: Stand, rabbitmq: RabbitMQ) -> None:
    async def ignore(_: bytes) -> None: ...

    async with events.connector(rabbitmq.url, source=stand.source)(ignore) as publisher:
        item = StreamItem("evt_1", stand.stream, "payment.x", "1", b"{}", 1)
        assert await publisher.publish([item]) == [True]
        async with await aio_pika.connect(rabbitmq.url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(f"{stand.source}.events")
            await queue.unbind(f"{stand.source}.events", routing_key="#")
        assert await publisher.publish([item]) == [False]


async def test_a_listener_gets_again_what_it_asks_for(stand: Stand, rabbitmq: RabbitMQ) -> None:
    async with stand.relaying(rabbitmq.url):
        await stand.happen(20)
        await stand.until_digested()
        first = {m.headers["no"]: m.body for m in await read(rabbitmq.url, stand.source) if m.type != DIGEST}
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        for request in (
            b"nonsense",
            json.dumps({"kind": "resend", "stream": stand.stream, "from": 7, "to": 700}).encode(),
            json.dumps({"kind": "resend", "stream": stand.stream, "from": 7, "to": 9}).encode(),
            json.dumps({"kind": "digest", "stream": stand.stream, "from": 1, "to": 20, "parts": 2}).encode(),
        ):
            await channel.default_exchange.publish(aio_pika.Message(request), f"{stand.source}.events.requests")
    async with stand.relaying(rabbitmq.url):  # they wait there, for instance while a worker is started again
        again = await read(rabbitmq.url, stand.source)
    resent = {m.headers["no"]: m.body for m in again if m.headers.get("resent")}
    assert resent == {no: first[no] for no in (7, 8, 9)}
    answers = [json.loads(m.body) for m in again if m.type == DIGEST]
    asked = [answer for answer in answers if answer.get("answer")]
    assert [(answer["from"], answer["to"]) for answer in asked] == [(1, 10), (11, 20)]


async def test_a_relay_killed_at_any_moment_loses_nothing(stand: Stand, rabbitmq: RabbitMQ, events_url: str) -> None:
    """Between publishing and marking too: a batch is on its way nearly all the time, so some are repeated."""
    for _ in range(4):
        await stand.happen(1_000)
    kills = 0
    while (await stand.position())[1] < len(stand.made):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(PROCESS), events_url, rabbitmq.url, stand.source, "0.3"
        )
        await stand.until_published((await stand.position())[1] + 1)
        await asyncio.sleep(random.random() / 2)
        process.kill()
        await process.wait()
        kills += 1
        await stand.happen(50)
        if kills == 3:
            break
    async with stand.relaying(rabbitmq.url):
        await stand.until_digested()
    assert kills > 1
    assert await verify(stand, rabbitmq.url) > 0


async def test_a_broker_that_does_not_confirm_is_not_believed(stand: Stand, rabbitmq: RabbitMQ) -> None:
    async with LossyProxy(rabbitmq.port) as proxy:
        url = rabbitmq.url.replace(str(rabbitmq.port), str(proxy.port))
        async with stand.relaying(url):
            await stand.happen(30)
            await stand.until_digested()
            proxy.swallows = True
            await stand.happen(30)
            await asyncio.sleep(1.5)
            assert (await stand.position())[1] == 30
            proxy.swallows = False
            await stand.until_digested()
    assert await verify(stand, rabbitmq.url) > 0


async def test_a_broker_killed_under_load_loses_nothing(stand: Stand, mortal: RabbitMQ) -> None:
    async with stand.relaying(mortal.url):
        async with stand.load():
            await stand.until_published(100)
            await asyncio.sleep(_REGISTERED_S)
            mortal.kill()
            await asyncio.to_thread(mortal.start)
            await stand.until_published((await stand.position())[0], limit_s=60 + OUTAGE_S)
        await stand.until_digested()
    repeated = await verify(stand, mortal.url)
    print(f"{len(stand.made)} events, {repeated} repeated, none lost")


async def test_a_broker_that_is_stopped_under_load_holds_up_nobody(stand: Stand, mortal: RabbitMQ) -> None:
    async with stand.relaying(mortal.url):
        async with stand.load():
            await stand.until_published(100)
            await asyncio.to_thread(mortal.stop)
            before = len(stand.made)
            await asyncio.sleep(OUTAGE_S)
            assert len(stand.made) > before, "recording goes on"
            await asyncio.to_thread(mortal.start)
            await stand.until_published((await stand.position())[0], limit_s=60 + OUTAGE_S)
        await stand.until_digested()
    repeated = await verify(stand, mortal.url)
    print(f"{len(stand.made)} events, {repeated} repeated, none lost")
