"""Events are written with what made them true: numbered without a gap, once for each endpoint that wants them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from uuid import RFC_4122, UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong import events
from hutong.clock import SystemClock
from hutong.db import Database, Tx
from hutong.events import Event
from hutong.ids import Ids, encode
from support import migrated_database
from support.fixtures.webhooks import World, recorded_events

NEW = Ids(SystemClock()).new


def make(merchant: UUID, payment: UUID, name: str = "payment.succeeded") -> Event:
    return Event(NEW(), name, merchant, payment, {"amount": 1})


async def numbers(tx: Tx, merchant: UUID) -> dict[UUID, list[int]]:
    found: dict[UUID, list[int]] = {}
    for event in await recorded_events(tx, merchant):
        found.setdefault(event.object_id, []).append(event.object_seq)
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=6))
async def test_numbers_follow_the_order_given_whatever_is_joined_in_one_call(
    tx: Tx, clock: SystemClock, calls: list[list[int]]
) -> None:
    merchant, payments = NEW(), [uuid4() for _ in range(5)]
    expected: dict[UUID, int] = {}
    for call in calls:
        batch = [make(merchant, payments[i]) for i in call]
        await events.record(tx, batch, now=clock.now())
        seen = {event.event_id: event.object_seq for event in await recorded_events(tx, merchant)}
        for event in batch:
            expected[event.object_id] = expected.get(event.object_id, 0) + 1
            assert seen[event.event_id] == expected[event.object_id]


async def test_numbers_have_no_gap_under_concurrency_and_rollback(
    database: Database, clock: SystemClock, rng: random.Random
) -> None:
    merchant, payments = NEW(), [uuid4() for _ in range(5)]
    committed = dict.fromkeys(payments, 0)

    async def work(chosen: list[UUID], fails: bool) -> None:
        try:
            async with database.transaction() as tx:
                await events.record(tx, [make(merchant, payment) for payment in chosen], now=clock.now())
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return
        for payment in chosen:
            committed[payment] += 1

    await asyncio.gather(*(work(rng.choices(payments, k=rng.randint(1, 6)), rng.random() < 0.3) for _ in range(200)))
    async with database.transaction() as tx:
        found = await numbers(tx, merchant)
    assert {payment: sorted(seen) for payment, seen in found.items()} == {
        payment: list(range(1, count + 1)) for payment, count in committed.items() if count
    }


async def test_an_event_is_recorded_with_its_transaction_or_not_at_all(database: Database, clock: SystemClock) -> None:
    merchant = NEW()

    async def work(tx: Tx) -> None:
        await events.record(tx, [make(merchant, uuid4())], now=clock.now())
        assert await numbers(tx, merchant) != {}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(work)
    async with database.transaction() as tx:
        assert await numbers(tx, merchant) == {}


async def test_fifty_events_are_one_statement(tx: Tx, clock: SystemClock) -> None:
    ran: list[str] = []
    tx.add_query_logger(lambda query: ran.append(query.query))
    await events.record(tx, [make(NEW(), uuid4()) for _ in range(50)], now=clock.now())
    await events.record(tx, [], now=clock.now())
    await asyncio.sleep(0)  # the driver logs a turn later
    assert len(ran) == 1


@pytest.mark.parametrize("payload", [{"amount": 1, "subject": "茶"}, b'{"amount":1,"subject":"\xe8\x8c\xb6"}'])
async def test_the_text_that_was_given_is_kept(tx: Tx, clock: SystemClock, payload: dict[str, object] | bytes) -> None:
    event = replace(make(NEW(), uuid4()), payload=payload)
    await events.record(tx, [event], now=clock.now())
    [recorded] = await recorded_events(tx, event.merchant_id)
    assert recorded == events.RecordedEvent(
        event.event_id,
        event.type,
        1,
        event.merchant_id,
        event.object_id,
        1,
        '{"amount":1,"subject":"茶"}',
        clock.now(),
        recorded.public_id,
    )


@pytest.mark.parametrize("payload", ["[1]", "1", "{", "", '{"a":1}{"b":2}'])
async def test_a_payload_that_is_not_an_object_is_refused(tx: Tx, clock: SystemClock, payload: str) -> None:
    with pytest.raises((asyncpg.DataError, asyncpg.CheckViolationError)):
        await events.record(tx, [replace(make(NEW(), uuid4()), payload=payload)], now=clock.now())


async def test_each_enabled_endpoint_that_wants_the_type_gets_a_delivery(world: World) -> None:
    other = world.ids.new()
    everything = await world.endpoint("/all")
    refunds = await world.endpoint("/refunds", types=("refund.succeeded", "refund.failed"))
    disabled = await world.endpoint("/disabled")
    await world.disable(disabled.endpoint.endpoint_id)
    await world.endpoint("/other", merchant=other)
    payment, refund = world.event(uuid4()), world.event(uuid4(), "refund.succeeded")
    await world.record(payment, refund)
    assert [d.endpoint_id for d in await world.deliveries(payment)] == [everything.endpoint.endpoint_id]
    assert [d.endpoint_id for d in await world.deliveries(refund)] == sorted(
        [everything.endpoint.endpoint_id, refunds.endpoint.endpoint_id]
    )


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("UPDATE events.outbox SET type = 'x'", False),
        ("DELETE FROM events.outbox", False),
        ("TRUNCATE events.outbox", False),
        ("UPDATE events.outbox_first SET type = 'x'", False),
        ("DELETE FROM events.object", False),
        ("DELETE FROM events.endpoint", False),
        ("DELETE FROM events.delivery", False),
        ("ALTER TABLE events.outbox ADD COLUMN x int", False),
        ("UPDATE events.delivery SET attempts = attempts", True),
    ],
)
async def test_the_application_cannot_rewrite_the_journal(tx: Tx, statement: str, allowed: bool) -> None:
    if allowed:
        await tx.execute(statement)
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.execute(statement)


async def test_an_event_repeated_in_a_restored_database_keeps_its_id(server_url: str, clock: SystemClock) -> None:
    merchant, payment, other = NEW(), NEW(), NEW()
    published: list[list[str]] = []
    for _ in range(2):  # the second database knows nothing of the first
        async with Database.open(migrated_database(server_url)) as database:
            async with database.transaction() as tx:
                await events.record(tx, [make(merchant, payment, "payment.authorized")], now=clock.now())
                await events.record(tx, [make(merchant, payment), make(merchant, other)], now=clock.now())
            async with database.transaction() as tx:
                recorded = await recorded_events(tx, merchant)
                names = {(e.object_id, e.object_seq): e.name for e in recorded}
                published.append([names[payment, 1], names[payment, 2], names[other, 1]])
                assert {e.public_id.version for e in recorded if e.public_id} == {8}
    assert published[0] == published[1]
    assert len(set(published[0])) == 3


async def test_an_events_public_id_carries_its_zone_and_follows_from_object_number_and_type(tx: Tx) -> None:
    async def public_id(*given: object) -> UUID:
        found: UUID = await tx.fetchval("SELECT events.public_id($1, $2, $3, $4)", *given)
        return found

    payment, other = NEW(), NEW()
    there = Ids(SystemClock(), zone=0xA7).new()
    first = await public_id(payment, 1, "payment.succeeded", there)
    assert first == await public_id(payment, 1, "payment.succeeded", Ids(SystemClock(), zone=0xA7).new())
    assert (first.version, first.variant, first.int >> 68 & 0xFF) == (8, RFC_4122, 0xA7)
    others = [
        await public_id(other, 1, "payment.succeeded", there),
        await public_id(payment, 2, "payment.succeeded", there),
        await public_id(payment, 1, "payment.closed", there),
    ]
    assert len({first, *others}) == 4


async def test_an_event_from_before_derived_ids_keeps_the_id_it_was_published_under(tx: Tx, clock: SystemClock) -> None:
    event = make(NEW(), uuid4())
    await events.record(tx, [event], now=clock.now())
    await tx.execute("SET LOCAL ROLE NONE")
    await tx.execute("UPDATE events.outbox SET public_id = NULL WHERE event_id = $1", event.event_id)
    found = await events.history.find_event(tx, event.event_id)
    assert found.name == encode("evt", event.event_id)
