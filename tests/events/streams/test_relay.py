"""The relay publishes every number at least once, an object's in order, whatever breaks in between."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from hutong import events, ids
from hutong.errors import InvalidParameter, InvalidRequest, NotFound, Unavailable
from hutong.events import DIGEST, Event, Relay, make_all_due
from hutong.events.streams.relay import _BrokerFailed
from hutong.events.streams.streams import answer_request
from support.event_ids import published_id
from support.fakes.broker import MemoryBroker, check, check_digests, names
from support.fixtures.webhooks import World, until

PAYMENTS = "hutong.payment.0"
LEASE = timedelta(seconds=31)
INTERVAL = timedelta(seconds=10)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def relay_of(world: World, broker: MemoryBroker, **options: Any) -> Relay:
    return Relay(world.database, world.clock, connect=broker.connect, new_id=world.ids.new, **options)


async def happen(world: World, count: int, objects: list[UUID] | None = None) -> list[Event]:
    """Events that are numbered, each of an object of its own unless said otherwise."""
    made = []
    for i in range(count):
        made.append(world.event(objects[i % len(objects)] if objects else uuid4(), n=i))
        world.clock.advance(timedelta(milliseconds=1))  # so that ids are in order
    await world.record(*made)
    await events.sequence(world.database)
    return made


async def stream_of(world: World, stream: str = PAYMENTS) -> events.Stream:
    async with world.database.transaction() as tx:
        return next(one for one in await events.list_streams(tx) if one.stream == stream)


def kept(broker: MemoryBroker) -> list[tuple[dict[str, Any], bytes]]:
    return [(json.loads(item.body), item.body) for item in broker.kept if item.type != DIGEST]


def numbered(broker: MemoryBroker) -> dict[tuple[str, int], bytes]:
    return {(parsed["stream"], parsed["no"]): raw for parsed, raw in kept(broker)}


async def test_a_message_says_what_was_recorded(world: World, broker: MemoryBroker) -> None:
    event = Event(world.ids.new(), "payment.succeeded", world.merchant, uuid4(), '{"b": 1.0,  "a":"茶"}', version=3)
    await world.record(event)
    await events.sequence(world.database)
    await relay_of(world, broker).run_once(broker)
    item = broker.kept[0]
    assert (item.message_id, item.stream, item.no) == (published_id(event), PAYMENTS, 1)
    assert (item.type, item.key) == ("payment.succeeded", str(event.object_id))
    assert b'"data":{"b": 1.0,  "a":"\xe8\x8c\xb6"}' in item.body
    assert json.loads(item.body) == {
        "id": published_id(event),
        "stream": PAYMENTS,
        "no": 1,
        "type": "payment.succeeded",
        "version": 3,
        "object_id": str(event.object_id),
        "object_seq": 1,
        "merchant_id": ids.encode("mer", world.merchant),
        "created_at": "2026-01-01T00:00:00Z",
        "data": {"b": 1.0, "a": "茶"},
    }


async def test_of_an_object_the_next_goes_when_the_one_before_is_confirmed(world: World, broker: MemoryBroker) -> None:
    one, other = str(uuid4()), str(uuid4())
    await happen(world, 7, [UUID(one), UUID(other)])
    await relay_of(world, broker).run_once(broker)
    waves = [Counter(item.key for item in batch) for batch in broker.batches if batch[0].type != DIGEST]
    assert sum(waves, Counter()) == Counter({one: 4, other: 3}) or sum(waves, Counter()) == Counter({one: 3, other: 4})
    assert max(max(wave.values()) for wave in waves) == 1
    assert len(waves) == 4


async def test_an_unconfirmed_message_is_published_again_and_holds_back_its_object(
    world: World, broker: MemoryBroker
) -> None:
    made = await happen(world, 6, [uuid4(), uuid4()])
    broker.keeps = lambda item: item.no != 3
    relay = relay_of(world, broker)
    with pytest.raises(_BrokerFailed, match="not_confirmed"):
        await relay.run_once(broker)
    assert (await stream_of(world)).published_no == 2
    broker.keeps = lambda _: True
    await relay.run_once(broker)
    assert (await stream_of(world)).published_no == 6
    check(kept(broker), names(made))


async def test_what_was_kept_but_not_confirmed_is_repeated_under_the_same_id(
    world: World, broker: MemoryBroker
) -> None:
    made = await happen(world, 4)
    broker.confirms = lambda _: False
    relay = relay_of(world, broker)
    with pytest.raises(_BrokerFailed, match="not_confirmed"):
        await relay.run_once(broker)
    broker.confirms = lambda _: True
    await relay.run_once(broker)
    assert check(kept(broker), names(made)) == 4


async def test_a_relay_that_dies_between_publishing_and_marking_is_followed_by_another(
    world: World, broker: MemoryBroker
) -> None:
    made = await happen(world, 5)
    broker.dies = True
    with pytest.raises(asyncio.CancelledError):
        await relay_of(world, broker).run_once(broker)
    broker.dies = False
    other = relay_of(world, broker)
    assert await other.run_once(broker) is False
    assert (await stream_of(world)).published_no == 0, "the lease still holds"
    world.clock.advance(LEASE)
    await other.run_once(broker)
    assert (await stream_of(world)).published_no == 5
    assert check(kept(broker), names(made)) == 5


async def test_after_a_jump_of_the_clock_no_lease_and_no_digest_is_of_the_future(
    world: World, broker: MemoryBroker
) -> None:
    made = await happen(world, 2)
    world.clock.advance(timedelta(days=1))
    await relay_of(world, broker).run_once(broker)
    world.clock.advance(LEASE)
    made.extend(await happen(world, 2))
    broker.dies = True
    with pytest.raises(asyncio.CancelledError):
        await relay_of(world, broker).run_once(broker)
    broker.dies = False
    world.clock.advance(-timedelta(days=1))
    other = relay_of(world, broker)
    assert await other.run_once(broker) is False, "the lease holds for a day"
    await make_all_due(world.database, now=world.clock.now())
    await other.run_once(broker)
    stream = await stream_of(world)
    assert (stream.published_no, stream.digested_at) == (4, world.clock.now())
    assert check(kept(broker), names(made)) == 2


async def test_one_that_was_taken_for_dead_moves_nothing(world: World, broker: MemoryBroker) -> None:
    made = await happen(world, 3)
    slow, publish = relay_of(world, broker), broker.publish

    async def stall(items: Any) -> list[bool]:
        broker.publish = publish  # type: ignore[method-assign]
        world.clock.advance(LEASE)
        other = relay_of(world, broker)
        await other.run_once(broker)
        made.extend(await happen(world, 2))
        await other.run_once(broker)
        return await publish(items)

    broker.publish = stall  # type: ignore[method-assign]
    await slow.run_once(broker)
    assert (await stream_of(world)).published_no == 5
    assert check(kept(broker), names(made)) == 3


async def test_each_stream_is_published_by_one_of_many_relays(world: World, broker: MemoryBroker) -> None:
    made = await happen(world, 30)
    relays = [relay_of(world, broker) for _ in range(4)]
    await asyncio.gather(*(relay.run_once(broker) for relay in relays))
    assert check(kept(broker), names(made)) == 0


async def test_whatever_fails_all_arrive_in_order(world: World, broker: MemoryBroker, rng: random.Random) -> None:
    """Unconfirmed, kept or not; relays that die; others that take over: and still nothing is lost or out of order."""
    objects, made = [uuid4() for _ in range(12)], []
    relays = [relay_of(world, broker, digest_every=7) for _ in range(2)]
    for _ in range(60):
        made += await happen(world, rng.randint(0, 12), [rng.choice(objects) for _ in range(12)])
        broker.keeps = lambda _: rng.random() > 0.05
        broker.confirms = lambda _: rng.random() > 0.05
        broker.dies = rng.random() < 0.1
        i = rng.randrange(2)
        try:
            await relays[i].run_once(broker)
        except (_BrokerFailed, asyncio.CancelledError):
            if broker.dies:
                relays[i] = relay_of(world, broker, digest_every=7)
        world.clock.advance(timedelta(seconds=rng.choice([0, 1, 20])))
    broker.keeps = broker.confirms = lambda _: True
    broker.dies = False
    while (await stream_of(world)).digested_no < len(made):
        world.clock.advance(LEASE)
        await relays[0].run_once(broker)
    assert check(kept(broker), names(made)) > 0
    check_digests(broker.digests(), numbered(broker))


async def test_of_two_transactions_that_commit_in_reverse_order_both_are_published(
    world: World, broker: MemoryBroker
) -> None:
    """Whoever goes by the last id that was seen would lose the first."""
    early, late = world.event(uuid4()), world.event(uuid4())
    relay = relay_of(world, broker)
    async with world.database.transaction() as first:
        await events.record(first, [early], now=world.clock.now())
        await world.record(late)
        await events.sequence(world.database)
        await relay.run_once(broker)
        assert [body["id"] for body in broker.bodies()] == [published_id(late)]
    await events.sequence(world.database)
    await relay.run_once(broker)
    assert check(kept(broker), names([early, late])) == 0


# Digests


async def test_a_digest_covers_the_messages_since_the_last_one(world: World, broker: MemoryBroker) -> None:
    relay = relay_of(world, broker)
    await happen(world, 3)
    await relay.run_once(broker)
    await happen(world, 2)
    await relay.run_once(broker)
    assert [(d["from"], d["to"]) for d in broker.digests()] == [(1, 3)], "the second waits for the interval"
    world.clock.advance(INTERVAL)
    await relay.run_once(broker)
    assert [(d["from"], d["to"], d["count"]) for d in broker.digests()] == [(1, 3, 3), (4, 5, 2)]
    check_digests(broker.digests(), numbered(broker))
    last = broker.digests()[-1]
    hashes = [hashlib.sha256(body).digest() for _, body in kept(broker)][3:]
    assert last["hash"] == hashlib.sha256(b"".join(hashes)).hexdigest()
    assert (last["type"], last["version"], last["stream"]) == ("stream.digest", 1, PAYMENTS)
    assert set(last) == {"id", "type", "version", "stream", "from", "to", "count", "hash", "created_at"}


async def test_a_digest_follows_so_many_events(world: World, broker: MemoryBroker) -> None:
    await happen(world, 25)
    relay = relay_of(world, broker, digest_every=10)
    while await relay.run_once(broker):
        pass
    assert [(d["from"], d["to"]) for d in broker.digests()] == [(1, 10), (11, 20)]
    check_digests([*broker.digests(), *await rest(world, broker, relay)], numbered(broker))


async def rest(world: World, broker: MemoryBroker, relay: Relay) -> list[dict[str, Any]]:
    world.clock.advance(INTERVAL)
    await relay.run_once(broker)
    return broker.digests()[-1:]


async def test_an_idle_stream_repeats_its_last_number(world: World, broker: MemoryBroker) -> None:
    await happen(world, 3)
    relay = relay_of(world, broker)
    await relay.run_once(broker)
    assert await relay.run_once(broker) is False
    world.clock.advance(INTERVAL)
    await relay.run_once(broker)
    assert [(d["from"], d["to"]) for d in broker.digests()] == [(1, 3), (3, 3)]
    check_digests(broker.digests(), numbered(broker))
    assert [item.expires_s for item in broker.kept if item.type == DIGEST] == [None, 60]


async def test_a_digest_that_was_not_confirmed_is_made_again(world: World, broker: MemoryBroker) -> None:
    await happen(world, 3)
    broker.keeps = lambda item: item.type != DIGEST
    with pytest.raises(_BrokerFailed, match="not_confirmed"):
        await relay_of(world, broker).run_once(broker)
    broker.keeps = lambda _: True
    world.clock.advance(LEASE)
    await relay_of(world, broker).run_once(broker)
    assert [(d["from"], d["to"]) for d in broker.digests()] == [(1, 3)]
    check_digests(broker.digests(), numbered(broker))


# Requests


async def published(world: World, broker: MemoryBroker, count: int) -> Relay:
    await happen(world, count)
    relay = relay_of(world, broker)
    await relay.run_once(broker)
    return relay


def asking(**fields: Any) -> bytes:
    return json.dumps({"kind": "resend", "stream": PAYMENTS, "from": 1, "to": 1, **fields}).encode()


async def answer(world: World, broker: MemoryBroker, request: bytes) -> int:
    now = world.clock.now()
    return await answer_request(world.database, broker, request, new_id=world.ids.new, now=now)


async def test_what_is_sent_again_is_the_same_and_says_so(world: World, broker: MemoryBroker) -> None:
    await published(world, broker, 10)
    first = [item for item in broker.kept if item.no in {4, 5, 6}]
    broker.kept.clear()
    assert await answer(world, broker, asking(**{"from": 4, "to": 6})) == 3
    assert [(item.message_id, item.body) for item in broker.kept] == [(item.message_id, item.body) for item in first]
    assert [item.resent for item in first + broker.kept] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(("parts", "ranges"), [(1, [(1, 10)]), (3, [(1, 4), (5, 8), (9, 10)]), (16, None)])
async def test_digests_of_parts_are_those_of_the_published_messages(
    world: World, broker: MemoryBroker, parts: int, ranges: list[tuple[int, int]] | None
) -> None:
    await published(world, broker, 10)
    bodies = numbered(broker)
    broker.kept.clear()
    count = await answer(world, broker, asking(kind="digest", to=10, parts=parts))
    found = [(d["from"], d["to"]) for d in broker.digests()]
    assert found == (ranges or [(no, no) for no in range(1, 11)])
    assert count == len(found)
    assert all(d["answer"] is True for d in broker.digests())
    check_digests(broker.digests(), bodies)


@pytest.mark.parametrize(
    ("request_", "error", "param"),
    [
        (b"{", InvalidRequest, None),
        (b"[]", InvalidParameter, "stream"),
        (asking(stream=7), InvalidParameter, "stream"),
        (asking(stream="hutong.nothing.0"), NotFound, None),
        (asking(kind="drop"), InvalidParameter, "kind"),
        (asking(**{"from": 0}), InvalidParameter, "from"),
        (asking(**{"from": True}), InvalidParameter, "from"),
        (asking(**{"from": "1"}), InvalidParameter, "from"),
        (asking(**{"from": 2}), InvalidParameter, "to"),
        (asking(to=11), InvalidParameter, "to"),
        (asking(to=2**70), InvalidRequest, None),
        (asking(to=10_001), InvalidParameter, "to"),
        (asking(kind="digest", parts=0), InvalidParameter, "parts"),
        (asking(kind="digest", parts="2"), InvalidParameter, "parts"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused(
    world: World, broker: MemoryBroker, request_: bytes, error: type[Exception], param: str | None
) -> None:
    relay = await published(world, broker, 10)
    broker.kept.clear()
    with pytest.raises(error) as refused:
        await answer(world, broker, request_)
    assert getattr(refused.value, "param", None) == param or error is InvalidRequest
    await relay._answer(broker, request_)
    assert broker.kept == []


async def test_archived_numbers_are_refused_and_do_not_hold_up_other_streams(
    world: World, broker: MemoryBroker, events_url: str
) -> None:
    await published(world, broker, 3)
    await happen(world, 2)
    refund = world.event(uuid4(), "refund.succeeded")
    await world.record(refund)
    await events.sequence(world.database)
    with psycopg.connect(events_url, autocommit=True) as owner:
        owner.execute("DELETE FROM events.stream_entry WHERE stream = %s AND no IN (2, 4)", (PAYMENTS,))
    with pytest.raises(NotFound, match="archived"):
        await answer(world, broker, asking(to=3))
    broker.kept.clear()
    await relay_of(world, broker).run_once(broker)
    world.clock.advance(LEASE)
    await relay_of(world, broker).run_once(broker)
    assert [body["type"] for body in broker.bodies()] == ["refund.succeeded"]


async def test_a_request_is_given_back_when_the_broker_does_not_confirm(world: World, broker: MemoryBroker) -> None:
    relay = await published(world, broker, 3)
    broker.confirms = lambda _: False
    with pytest.raises(Unavailable):
        await relay._answer(broker, asking())


# Running


async def test_a_broker_that_is_away_is_waited_for(world: World, broker: MemoryBroker) -> None:
    broker.up = False
    relay = relay_of(world, broker)
    running = asyncio.create_task(relay.run())
    made = await happen(world, 5)
    broker.up = True
    await until(lambda: len(broker.bodies()) == 5)
    broker.up = False
    made += await happen(world, 5)
    broker.up = True
    await until(lambda: len(broker.bodies()) >= 10)
    connections = broker.connections
    await broker.request(asking(to=2))
    assert sum(item.resent for item in broker.kept) == 2
    relay.stop()
    await running
    assert connections >= 1
    check([(json.loads(i.body), i.body) for i in broker.kept if i.type != DIGEST and not i.resent], names(made))
    lease = await world.database.pool.fetchval("SELECT count(lease_owner) FROM events.stream")
    assert lease == 0, "another one need not wait"


async def test_a_request_that_comes_before_the_connection_stands_is_answered(
    world: World, broker: MemoryBroker
) -> None:
    await published(world, broker, 3)
    asked: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def connect(request: Any) -> AsyncIterator[MemoryBroker]:
        asked.append(asyncio.create_task(request(asking())))
        await asyncio.sleep(0.05)
        yield broker

    relay = Relay(world.database, world.clock, connect=connect, new_id=world.ids.new)
    running = asyncio.create_task(relay.run())
    await until(lambda: bool(asked) and asked[0].done())
    asked[0].result()
    relay.stop()
    await running
    assert sum(item.resent for item in broker.kept) == 1
