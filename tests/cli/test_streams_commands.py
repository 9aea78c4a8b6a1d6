"""`hutong events streams` and `resend`, as they are called."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import aio_pika
import pytest

from hutong import events
from hutong.bench.rabbitmq import RabbitMQ
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.ids import Ids
from support.command_line import Run


@pytest.fixture
def numbered(fresh_database_url: str) -> str:
    """A database with three events of payments, numbered and not published."""

    async def happen() -> None:
        clock = SystemClock()
        new = Ids(clock).new
        async with Database.open(fresh_database_url, size=2) as database:
            made = [events.Event(new(), "payment.closed", new(), uuid4(), {}) for _ in range(3)]
            async with database.transaction() as tx:
                await events.record(tx, made, now=clock.now())
            await events.sequence(database, source="cli")

    asyncio.run(happen())
    return fresh_database_url


def test_streams_are_shown(command: Run, numbered: str) -> None:
    done = command("events", "streams", "--json")
    assert done.returncode == 0, done.stderr
    [stream] = json.loads(done.stdout)["streams"]
    assert stream.pop("lag_s") > 0
    assert stream == {
        "stream": "cli.payment.0",
        "last_no": 3,
        "published_no": 0,
        "digested_no": 0,
        "backlog": 3,
    }
    assert "cli.payment.0" in command("events", "streams").stdout


def test_sending_again_needs_a_broker(command: Run, numbered: str) -> None:
    done = command("events", "resend", "--stream", "cli.payment.0", "--from", "1", "--to", "2")
    assert done.returncode == 1
    assert "HUTONG_BROKER_URL" in done.stderr


def test_a_broker_of_an_unknown_kind_is_refused(command: Run, numbered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUTONG_BROKER_URL", "redis://user:hush@localhost")
    done = command("events", "resend", "--stream", "cli.payment.0", "--from", "1", "--to", "2")
    assert done.returncode == 1
    assert "amqp://" in done.stderr
    assert "hush" not in done.stderr


def test_a_range_is_sent_again(
    command: Run, numbered: str, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def publish() -> None:
        clock = SystemClock()
        async with Database.open(numbered, size=2) as database:
            connect = events.connector(rabbitmq.url, source="cli")
            relay = events.Relay(database, clock, connect=connect, new_id=Ids(clock).new)
            async with connect(None) as publisher:
                await relay.run_once(publisher)

    async def result() -> list[tuple[int, bool]]:
        async with await aio_pika.connect(rabbitmq.url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue("cli.events")
            found = []
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                if message.type != events.DIGEST:
                    found.append((message.headers["no"], bool(message.headers.get("resent"))))
        return found

    asyncio.run(publish())
    monkeypatch.setenv("HUTONG_BROKER_URL", rabbitmq.url)
    monkeypatch.setenv("HUTONG_EVENT_SOURCE", "cli")
    done = command("events", "resend", "--stream", "cli.payment.0", "--from", "2", "--to", "3", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"resent": 2})
    assert asyncio.run(result()) == [(1, False), (2, False), (3, False), (2, True), (3, True)]
    refused = command("events", "resend", "--stream", "cli.payment.0", "--from", "2", "--to", "4")
    assert refused.returncode == 2
    assert "to must not be greater than 3" in refused.stderr
