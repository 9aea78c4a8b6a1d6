"""From the outbox through a real broker to a consumer, with losses on the way."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import confluent_kafka
import psycopg
import pytest

from hutong import consumer, db, events
from hutong.bench.rabbitmq import RabbitMQ
from hutong.clock import SystemClock
from hutong.consumer import Consumer, Message, Policy, Taken
from hutong.db import Database
from hutong.errors import ConfigurationError, Unavailable
from hutong.ids import Ids
from support.fixtures.consumer import World, message

EXAMPLE = Path(__file__).parents[2] / "examples" / "consume_events.py"
CLOCK = SystemClock()
NEW = Ids(CLOCK).new
POLICY = Policy(patience=timedelta(milliseconds=200), repeat_max=timedelta(seconds=1))


class Lossy(Consumer):
    """Loses one message in ten on the way in: the broker has forgotten it, and nobody has it."""

    lost = 0

    async def take(self, messages: Sequence[bytes]) -> Taken:
        kept = [one for one in messages if random.random() >= 0.1]
        self.lost += len(messages) - len(kept)
        return await super().take(kept)


class Platform:
    """Events that happen, numbered and published under a name that no other test uses."""

    def __init__(self, database: Database, url: str) -> None:
        self.database, self.url = database, url
        self.source = f"t{secrets.token_hex(5)}"
        self.merchant = uuid4()
        self.objects: dict[str, int] = {}

    async def happen(self, count: int, of: int = 50, type_: str = "payment.succeeded") -> None:
        objects: list[UUID] = [uuid4() for _ in range(of)]
        made = [events.Event(NEW(), type_, self.merchant, random.choice(objects), {"n": n}) for n in range(count)]
        for one in made:
            self.objects[str(one.object_id)] = self.objects.get(str(one.object_id), 0) + 1
        async with self.database.transaction() as tx:
            await events.record(tx, made, now=CLOCK.now())
        await events.sequence(self.database, source=self.source)

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        relay = events.Relay(
            self.database,
            CLOCK,
            connect=events.connector(self.url, source=self.source),
            new_id=NEW,
            digest_every=100,
            digest_interval=timedelta(seconds=1),
        )
        running = asyncio.create_task(relay.run())
        yield
        relay.stop()
        await running

    def expected(self) -> dict[str, list[int]]:
        return {name: list(range(1, count + 1)) for name, count in self.objects.items()}


@pytest.fixture
async def platform_database(fresh_database_url: str) -> AsyncIterator[Database]:
    async with Database.open(fresh_database_url, size=6) as database:
        yield database


@asynccontextmanager
async def running(*consumers: asyncio.Task[None]) -> AsyncIterator[None]:
    yield
    for one in consumers:
        assert not one.done() or one.exception() is None
        one.cancel()
    for one in consumers:
        with suppress(asyncio.CancelledError):
            await one


async def until(world: World, expected: dict[str, list[int]]) -> None:
    found: dict[str, list[int]] = {}
    try:
        async with asyncio.timeout(120):
            while (found := await world.objects()) != expected:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        assert found == expected
        raise


async def test_losses_between_a_real_broker_and_two_processes_are_made_good(
    own_database: Database, platform_database: Database, rabbitmq: RabbitMQ
) -> None:
    world = World(own_database, CLOCK)
    platform = Platform(platform_database, rabbitmq.url)
    consumers = [Lossy(world.name, world.write_down, own_database, topics=["payment"], policy=POLICY) for _ in range(2)]
    async with platform.relaying():
        await platform.happen(300)
        tasks = [
            asyncio.create_task(
                consumer.rabbit(one, rabbitmq.url, queue=f"q{platform.source}", source=platform.source, batch=20)
            )
            for one in consumers
        ]
        async with running(*tasks):
            await asyncio.sleep(1)
            await platform.happen(300)
            await until(world, platform.expected())
    assert sum(one.lost for one in consumers) > 10
    (progress,) = await world.all_progress()
    assert (progress.done_no, progress.missing, progress.lost) == (600, 0, 0)


async def test_the_example_of_the_guide_counts(
    own_url: str, own_database: Database, platform_database: Database, rabbitmq: RabbitMQ
) -> None:
    platform = Platform(platform_database, rabbitmq.url)
    platform.source = "hutong"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), env={**os.environ, "DATABASE_URL": own_url, "BROKER_URL": rabbitmq.url}
    )
    try:
        async with platform.relaying():
            await platform.happen(30)
            await platform.happen(5, type_="refund.succeeded")
            await platform.happen(10)
            async with asyncio.timeout(120):
                while not (found := await counted(own_url)) or found[0][1] < 40:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
    finally:
        process.terminate()
        await process.wait()
    from hutong import ids

    assert found == [(ids.encode("mer", platform.merchant), 40)]
    async with own_database.transaction() as tx:
        assert [one.stream for one in await consumer.progress(tx, "counter")] == ["hutong.payment.0"]


async def counted(url: str) -> list[tuple[str, int]]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        try:
            rows = await connection.execute("SELECT merchant, payments FROM paid")
        except psycopg.errors.UndefinedTable:
            return []
        return [(str(merchant), int(payments)) for merchant, payments in await rows.fetchall()]


async def test_a_broker_that_is_not_there_is_reported_at_the_start(world: World) -> None:
    with pytest.raises(Unavailable):
        await consumer.rabbit(world.consumer(), "amqp://guest:guest@127.0.0.1:1/", queue="q")


async def test_a_database_that_is_away_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from hutong.consumer import transport

    monkeypatch.setattr(transport, "_PAUSE_S", 0.01)

    class Away(Consumer):
        tries = 0

        async def take(self, messages: Sequence[bytes]) -> Taken:
            self.tries += 1
            if self.tries < 4:
                raise Unavailable("the database does not answer")
            return await super().take(messages)

    away = Away(world.name, world.write_down, world.database, clock=world.clock)
    await transport.take_batch(away, [message(1)])
    assert await world.applied() == [1]
    assert away.tries == 4


async def test_a_database_without_the_tables_is_not_waited_for(database_url: str) -> None:
    from hutong.consumer import transport

    async def nothing(tx: db.Tx, received: Message) -> None: ...

    async with Database.open(database_url, size=2) as database:
        listener = Consumer("x", nothing, database)
        with pytest.raises(asyncpg.UndefinedTableError):
            await transport.take_batch(listener, [message(1)])
        with pytest.raises(asyncpg.UndefinedTableError):
            await listener.attend(None)


async def test_a_package_that_is_not_installed_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hutong.consumer.rabbitmq", None)
    with pytest.raises(ConfigurationError, match=r"hutong\[rabbit\]"):
        await consumer.rabbit(world.consumer(), "amqp://127.0.0.1/", queue="q")


async def test_over_kafka_offsets_are_committed_after_the_transaction(world: World) -> None:
    """Against the cluster that librdkafka brings along. What is missing a person has sent again."""
    cluster = confluent_kafka.Producer({"test.mock.num.brokers": 1})
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    servers = f"{broker.host}:{broker.port}"

    partition = 0

    def publish(*bodies: bytes) -> None:
        for body in bodies:
            cluster.produce("hutong.payment", body, partition=partition)
        assert cluster.flush(10) == 0

    calls = 0

    async def dies_once(tx: db.Tx, received: Message) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Unavailable("not now")
        await world.write_down(tx, received)

    def committed() -> int:
        place = confluent_kafka.TopicPartition("hutong.payment", partition)
        member = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": world.name})
        try:
            return int(member.committed([place], timeout=10)[0].offset)
        finally:
            member.close()

    publish(*(message(no, f"o{no}") for no in range(1, 31) if no != 7), b"no message")
    listener = Consumer(world.name, dies_once, world.database, policy=POLICY)
    task = asyncio.create_task(consumer.kafka(listener, servers, topics=["hutong.payment"], batch=10))
    async with running(task), asyncio.timeout(120):
        while len(await world.applied()) < 29:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        publish(message(31, "o1", 2), message(7, "o7"))
        while len(await world.applied()) < 31 or committed() < 32:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert committed() == 32
    assert sorted(await world.applied()) == list(range(1, 32))
    assert (await world.progress()).done_no == 31
    assert [one.reason for one in await world.parked()] == ["is not JSON"]
