"""Kafka gets every event under its object's key, from an idempotent producer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, Message, Producer

from hutong import events
from hutong.clock import SystemClock
from hutong.errors import Unavailable
from hutong.events import DIGEST, Relay
from hutong.ids import Ids
from support.fakes.broker import check, check_digests, names
from support.fixtures.webhooks import World, until

TOPIC = "hutong.payment"


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """The address of the cluster of three brokers that the client library brings along for tests."""
    holder = Producer({"test.mock.num.brokers": 3})
    brokers = holder.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{one.host}:{one.port}" for one in brokers)
    del holder


def read(servers: str, count: int) -> list[Message]:
    """The first so many messages, by partition."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    found: list[Message] = []
    deadline = time.monotonic() + 240
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
    consumer.close()
    return found


async def test_events_and_digests_arrive_by_key(world: World, kafka: str) -> None:
    clock = SystemClock()
    made = [world.event(world.ids.new()) for _ in range(5)]
    made += [world.event(event.object_id) for event in made]
    await world.record(*made)
    await events.sequence(world.database)
    connect = events.connector(f"kafka://{kafka}")
    relay = Relay(world.database, clock, connect=connect, new_id=Ids(clock).new)
    running = asyncio.create_task(relay.run())
    messages = await asyncio.to_thread(read, kafka, len(made) + 1)
    relay.stop()
    await running
    bodies = [(json.loads(m.value() or b""), m.value() or b"") for m in messages]
    published = [(parsed, raw) for parsed, raw in bodies if parsed["type"] != DIGEST]
    assert check(published, names(made)) == 0
    numbered = {(parsed["stream"], parsed["no"]): raw for parsed, raw in published}
    check_digests([parsed for parsed, _ in bodies if parsed["type"] == DIGEST], numbered)
    for message, (parsed, _) in zip(messages, bodies, strict=True):
        headers = dict(message.headers() or [])
        assert headers["type"] == parsed["type"].encode()
        assert headers["message_id"] == parsed["id"].encode()
        assert message.key() == parsed.get("object_id", parsed["stream"]).encode()
        if parsed["type"] != DIGEST:
            assert headers["no"] == str(parsed["no"]).encode()
    partitions: dict[bytes | None, set[int | None]] = {}
    for message in messages:
        partitions.setdefault(message.key(), set()).add(message.partition())
    assert all(len(found) == 1 for found in partitions.values())


async def test_an_unreachable_cluster_is_named(world: World) -> None:
    connect = events.connector("kafka://127.0.0.1:1", confirm_limit_s=1)
    with pytest.raises(Unavailable):
        async with connect(None):
            raise AssertionError
    relay = Relay(world.database, SystemClock(), connect=connect, new_id=world.ids.new, lease=timedelta(seconds=3))
    running = asyncio.create_task(relay.run())
    await asyncio.sleep(0.1)
    relay.stop()
    await running
    await until(running.done)
