"""What is recorded is delivered: signed, in order, again after a failure, and never lost."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from uuid import uuid4

import orjson
import psycopg
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from standardwebhooks import Webhook, WebhookVerificationError

from hutong import ids as typeids
from hutong.clock import SystemClock
from hutong.db import Database
from hutong.events import Event, find_endpoint, make_all_due
from hutong.events.model import DeliveryState
from hutong.events.webhooks.queue import EndpointSlots
from hutong.events.webhooks.retry import ATTEMPTS_MAX, delay_after
from hutong.events.webhooks.worker import LEASE, DeliveryCounts
from hutong.vault import Vault
from support.event_ids import published_id
from support.fixtures.webhooks import Receiver, World, until


async def test_a_delivery_is_signed_as_the_standard_library_verifies(world: World, receiver: Receiver) -> None:
    world.clock = SystemClock()  # the library looks at the machine's clock
    endpoint, other = await world.endpoint(), await world.endpoint("/other")
    event = world.event(uuid4(), amount=1999, subject="茶")
    await world.record(event)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=2, failed=0, dead=0)
    [(headers, body)] = [(headers, body) for path, headers, body in receiver.requests if path == "/hook"]
    verified = Webhook(endpoint.secret).verify(body, headers)
    assert verified == {
        "id": published_id(event),
        "type": "payment.succeeded",
        "version": 1,
        "created_at": verified["created_at"],
        "object_seq": 1,
        "data": {"amount": 1999, "subject": "茶"},
    }
    assert headers["webhook-id"] == verified["id"]
    assert verified["created_at"].endswith("Z")
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(other.secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(body.replace(b"1999", b"1998"), headers)


async def test_the_log_has_the_outcome_of_each_attempt(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()
    receiver.fail(status=503)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.PENDING, 1, 503)
    assert delivery.last_error == "status"
    assert delivery.next_at == world.clock.now() + timedelta(seconds=5)
    assert delivery.last_at == world.clock.now()
    receiver.succeed()
    assert await world.deliverer().run_once() == DeliveryCounts(0, 0, 0)
    world.later(delivery.next_at)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.DELIVERED, 2, 200)
    assert (delivery.last_error, delivery.next_at) == (None, None)
    assert delivery.last_duration_ms is not None
    assert len({(headers["webhook-id"], body) for _, headers, body in receiver.requests}) == 1


async def test_after_sixteen_attempts_a_delivery_is_dead(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()
    receiver.fail()
    begun = world.clock.now()
    for attempts in range(1, ATTEMPTS_MAX + 1):
        await world.deliverer().run_once()
        [delivery] = await world.deliveries(event)
        assert delivery.attempts == attempts
        if delivery.next_at:
            world.later(delivery.next_at)
    assert (delivery.state, delivery.next_at) == (DeliveryState.DEAD, None)
    assert timedelta(hours=24) <= world.clock.now() - begun <= timedelta(hours=25)
    world.clock.advance(timedelta(days=30))
    assert await world.deliverer().run_once() == DeliveryCounts(0, 0, 0)
    assert len(receiver.requests) == ATTEMPTS_MAX


async def test_retries_are_spread_around_their_times(world: World, receiver: Receiver) -> None:
    """In virtual time, over the whole schedule: no two of many that failed together come again together."""
    await world.endpoint()
    made = [world.event(uuid4()) for _ in range(40)]
    await world.record(*made)
    receiver.fail()
    drawn = random.Random(7).random
    for attempts in range(1, 4):
        deliverer = world.deliverer(random=drawn)
        deliverer._slots[(await world.deliveries(made[0]))[0].endpoint_id] = EndpointSlots(0, 40)
        await deliverer.run_once()
        due = [(await world.deliveries(event))[0].next_at for event in made]
        middle = delay_after(attempts, lambda: 0.5)
        assert middle is not None
        waits = [at - world.clock.now() for at in due if at]
        assert len(set(waits)) == 40
        assert all(abs(wait / middle - 1) <= 0.1 + 1e-6 for wait in waits)
        world.clock.advance(max(waits))


async def test_an_objects_events_wait_for_the_one_before(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    payment, other = uuid4(), uuid4()
    first, second = await world.happens(payment, 2)
    await world.happens(other)
    receiver.fail()
    deliverer = world.deliverer()
    assert await deliverer.run_once() == DeliveryCounts(delivered=0, failed=2, dead=0)
    [third] = await world.happens(payment)
    assert await deliverer.run_once() == DeliveryCounts(0, 0, 0)
    receiver.succeed()
    world.clock.advance(timedelta(seconds=6))
    for _ in range(3):
        await deliverer.run_once()
    arrived = [body["object_seq"] for body in receiver.bodies() if body["id"] in names(first, second, third)]
    assert arrived == [1, 1, 2, 3]


async def test_a_dead_event_lets_the_next_one_go(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    payment = uuid4()
    first, second = await world.happens(payment, 2)
    receiver.fail()
    deliverer = world.deliverer()
    for _ in range(ATTEMPTS_MAX):
        assert len(receiver.bodies()) == len([b for b in receiver.bodies() if b["object_seq"] == 1])
        await deliverer.run_once()
        world.clock.advance(timedelta(hours=7))
    receiver.succeed()
    assert await deliverer.run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    assert receiver.bodies()[-1]["id"] in names(second)
    assert [d.state for d in await world.deliveries(first)] == [DeliveryState.DEAD]


async def test_order_holds_for_each_endpoint_by_itself(world: World, receiver: Receiver) -> None:
    await world.endpoint("/good")
    await world.endpoint("/bad")
    receiver.fail("/bad")
    await world.happens(uuid4(), 3)
    for _ in range(3):
        await world.deliverer().run_once()
    assert [body["object_seq"] for body in receiver.bodies("/good")] == [1, 2, 3]
    assert [body["object_seq"] for body in receiver.bodies("/bad")] == [1]


async def test_a_worker_killed_between_send_and_mark_loses_nothing(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()
    task = asyncio.create_task(world.deliverer().run())

    async def kill(_: web.Request) -> web.Response:
        task.cancel()
        return web.Response()

    receiver.answers["/hook"] = kill
    with pytest.raises(asyncio.CancelledError):
        await task
    receiver.succeed()
    assert [d.state for d in await world.deliveries(event)] == [DeliveryState.PENDING]
    assert await world.deliverer().run_once() == DeliveryCounts(0, 0, 0), "the dead worker's claim still holds"
    world.clock.advance(LEASE)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    assert [headers["webhook-id"] for _, headers, _ in receiver.requests] == [*names(event), *names(event)]


async def test_a_worker_killed_between_claim_and_send_loses_nothing(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    await world.happens()
    await world.database.run(world.deliverer()._claim)
    assert await world.deliverer().run_once() == DeliveryCounts(0, 0, 0)
    world.clock.advance(LEASE)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)


@pytest.mark.parametrize("away", [timedelta(days=1), timedelta(minutes=-5)])
async def test_after_a_jump_of_the_clock_nothing_waits_for_an_instant_of_the_other_clock(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, away: timedelta
) -> None:
    monkeypatch.setattr("hutong.events.webhooks.due._AT_ONCE", 1)
    endpoint = await world.endpoint()
    world.clock.advance(away)
    [claimed] = await world.happens()
    await world.database.run(world.deliverer()._claim)  # by a worker that dies
    [failed] = await world.happens()
    receiver.fail()
    await world.deliverer().run_once()
    assert [d.last_status for d in [*await world.deliveries(claimed), *await world.deliveries(failed)]] == [None, 500]
    receiver.succeed()
    world.clock.advance(-away)
    await make_all_due(world.database, now=world.clock.now())
    at_once = await world.deliverer().run_once()
    world.clock.advance(LEASE)
    later = await world.deliverer().run_once()
    assert at_once.delivered + later.delivered == 2
    assert (await world.deliveries(failed))[0].state is DeliveryState.DELIVERED
    async with world.database.transaction() as tx:
        assert (await find_endpoint(tx, world.merchant, endpoint.endpoint.endpoint_id)).failing_since is None


@pytest.mark.parametrize("away", [timedelta(days=1), timedelta(days=-1)])
def test_a_rest_is_short_whatever_the_clock_does(world: World, away: timedelta) -> None:
    slots = EndpointSlots(in_flight=0, slots=1)
    slots.failed(world.clock.now() + away)
    assert slots.slots_at(world.clock.now()) == 1
    assert slots.slots_at(world.clock.now() + away) == 0


async def test_a_failure_after_its_claim_has_passed_on_does_not_count(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()

    async def answer(_: web.Request) -> web.Response:
        """The first worker hangs; meanwhile its claim ends and another one delivers."""
        receiver.succeed()
        world.clock.advance(LEASE)
        assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
        return web.Response(status=500)

    receiver.answers["/hook"] = answer
    await world.deliverer().run_once()
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.DELIVERED, 1, 200)


async def test_a_success_counts_although_its_claim_has_passed_on(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()

    async def answer(_: web.Request) -> web.Response:
        receiver.fail()
        world.clock.advance(LEASE)
        assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)
        return web.Response()

    receiver.answers["/hook"] = answer
    await world.deliverer().run_once()
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.next_at) == (DeliveryState.DELIVERED, None)


async def test_a_failure_does_not_end_the_claim_of_another_worker(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    [event] = await world.happens()
    hanging, taking_over = world.deliverer(), world.deliverer()

    async def answer(_: web.Request) -> web.Response:
        world.clock.advance(LEASE)
        assert len(await world.database.run(taking_over._claim)) == 1
        return web.Response(status=500)

    receiver.answers["/hook"] = answer
    await hanging.run_once()
    [delivery] = await world.deliveries(event)
    assert delivery.attempts == 0
    receiver.succeed()
    assert await world.deliverer().run_once() == DeliveryCounts(0, 0, 0), "the second worker's claim still holds"


async def test_two_claims_at_once_take_different_deliveries_and_do_not_wait(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    await world.record(*(world.event(uuid4()) for _ in range(6)))
    async with world.database.transaction() as one, world.database.transaction() as two:
        first = await world.deliverer(per_endpoint=4)._claim(one)
        second = await asyncio.wait_for(world.deliverer(per_endpoint=4)._claim(two), 120)
    taken = [claim.webhook.event_id for claim in (*first, *second)]
    assert (len(first), len(second), len(set(taken))) == (4, 2, 6)


async def test_what_stands_behind_a_failure_waits_as_long(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    payment = uuid4()
    first, second = await world.happens(payment, 2)
    receiver.fail()
    await world.deliverer().run_once()
    [third] = await world.happens(payment)
    [other] = await world.happens()
    due = [(await world.deliveries(event))[0].next_at for event in (first, second, third, other)]
    later = world.clock.now() + timedelta(seconds=5)
    assert due == [later, later, later, world.clock.now()]


async def test_many_workers_send_each_event_once_and_in_order(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    payments = [uuid4() for _ in range(20)]
    for _ in range(5):
        await world.record(*(world.event(payment) for payment in payments))
    workers = [world.deliverer() for _ in range(4)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    await until(lambda: len(receiver.requests) >= 100)
    for worker in workers:
        worker.stop()
    await asyncio.gather(*tasks)
    assert len(receiver.requests) == 100
    for payment in payments:
        order = await events_of(world, receiver, payment)
        assert order == [1, 2, 3, 4, 5]


async def test_one_endpoint_that_hangs_does_not_delay_another(world: World, receiver: Receiver) -> None:
    slow, fast = world.ids.new(), world.ids.new()
    await world.endpoint("/slow", merchant=slow)
    await world.endpoint("/fast", merchant=fast)
    receiver.hang("/slow")
    for merchant in (slow, fast):
        world.merchant = merchant
        await world.record(*(world.event(uuid4()) for _ in range(200)))
    deliverer = world.deliverer(in_flight=64, per_endpoint=8)
    task = asyncio.create_task(deliverer.run())
    await until(lambda: len(receiver.bodies("/fast")) == 200)
    assert len(receiver.bodies("/slow")) <= 8
    task.cancel()


async def test_one_endpoint_that_is_slow_does_not_delay_another(world: World, receiver: Receiver) -> None:
    """The slow one answers once for every ten requests that the fast one has got."""
    slow, fast = world.ids.new(), world.ids.new()
    await world.endpoint("/slow", merchant=slow)
    await world.endpoint("/fast", merchant=fast)
    gate, answered = asyncio.Semaphore(0), 0

    async def answer_slowly(_: web.Request) -> web.Response:
        nonlocal answered
        await gate.acquire()
        answered += 1
        return web.Response()

    async def answer_fast(_: web.Request) -> web.Response:
        if len(receiver.bodies("/fast")) % 10 == 0:
            gate.release()
        return web.Response()

    receiver.answers |= {"/slow": answer_slowly, "/fast": answer_fast}
    for merchant in (slow, fast):
        world.merchant = merchant
        await world.record(*(world.event(uuid4()) for _ in range(200)))
    deliverer = world.deliverer(in_flight=64, per_endpoint=8)
    task = asyncio.create_task(deliverer.run())
    await until(lambda: len(receiver.bodies("/fast")) == 200)
    assert answered <= 20
    task.cancel()


async def test_an_endpoint_that_comes_back_is_not_met_by_its_whole_backlog(world: World, receiver: Receiver) -> None:
    """By a worker that has just been started and knows nothing of the failures itself."""
    await world.endpoint()
    receiver.fail()
    await world.happens()
    await world.deliverer().run_once()
    world.clock.advance(timedelta(minutes=1))
    await world.record(*(world.event(uuid4()) for _ in range(100)))
    inside = answered = 0
    crowds: list[tuple[int, int]] = []

    async def answer(_: web.Request) -> web.Response:
        nonlocal inside, answered
        inside += 1
        crowds.append((answered, inside))
        await asyncio.sleep(0.005)
        inside -= 1
        answered += 1
        return web.Response()

    receiver.answers["/hook"] = answer
    deliverer = world.deliverer(per_endpoint=16)
    task = asyncio.create_task(deliverer.run())
    await until(lambda: answered == 101)
    deliverer.stop()
    await task
    assert all(crowd <= before + 1 for before, crowd in crowds)
    assert 4 <= max(crowd for _, crowd in crowds) <= 16


async def test_an_endpoint_that_is_down_is_asked_less_and_less(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    receiver.fail()
    await world.record(*(world.event(uuid4()) for _ in range(20)))
    deliverer = world.deliverer(per_endpoint=1)
    task = asyncio.create_task(deliverer.run())
    for count, rest_ms in enumerate((100, 200, 400, 800, 1000, 1000), start=1):
        await until(lambda: len(receiver.requests) == count and not deliverer._running)  # noqa: B023 - awaited here
        world.clock.advance(timedelta(milliseconds=rest_ms - 1))
        await asyncio.sleep(0.1)
        assert len(receiver.requests) == count
        world.clock.advance(timedelta(milliseconds=1))
    await until(lambda: len(receiver.requests) == 7 and not deliverer._running)
    receiver.succeed()
    world.clock.advance(timedelta(minutes=1))
    await until(lambda: len({body["id"] for body in receiver.bodies()}) == 20 and not deliverer._slots)
    deliverer.stop()
    await task


async def test_the_backlog_of_a_disabled_endpoint_dies_at_once(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    receiver.fail()
    await world.happens()
    await world.deliverer().run_once()
    events = [world.event(uuid4()) for _ in range(50)]
    await world.record(*events)
    await world.disable(new.endpoint.endpoint_id)
    assert await world.deliverer(per_endpoint=100).run_once() == DeliveryCounts(delivered=0, failed=0, dead=50)


async def test_few_places_go_round_the_endpoints(world: World, receiver: Receiver) -> None:
    for index in range(4):
        world.merchant = world.ids.new()
        await world.endpoint(f"/{index}")
        await world.record(*(world.event(uuid4()) for _ in range(50 if index < 3 else 1)))
    assert await world.deliverer(in_flight=4).run_once() == DeliveryCounts(delivered=4, failed=0, dead=0)
    assert sorted(path for path, _, _ in receiver.requests) == ["/0", "/1", "/2", "/3"]


async def test_an_endpoint_that_fails_holds_fewer_and_fewer_places(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    receiver.fail()
    await world.record(*(world.event(uuid4()) for _ in range(24)))
    deliverer = world.deliverer(per_endpoint=8)
    task = asyncio.create_task(deliverer.run())
    await until(lambda: len(receiver.requests) >= 24, meanwhile=lambda: world.clock.advance(timedelta(milliseconds=50)))
    assert [slots.slots for slots in deliverer._slots.values()] == [1]
    receiver.succeed()
    world.clock.advance(timedelta(seconds=10))
    await until(lambda: len(receiver.requests) >= 48 and not deliverer._slots)
    deliverer.stop()
    await task


async def test_what_is_pending_for_a_disabled_endpoint_dies_unsent(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    [event] = await world.happens()
    await world.disable(new.endpoint.endpoint_id)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=0, dead=1)
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.attempts, delivery.last_error) == (DeliveryState.DEAD, 0, "endpoint_disabled")
    assert receiver.requests == []


async def test_run_delivers_what_comes_and_stop_ends_what_is_on_its_way(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    deliverer = world.deliverer()
    task = asyncio.create_task(deliverer.run())
    [first] = await world.happens()
    await until(lambda: len(receiver.requests) == 1)

    async def answer(_: web.Request) -> web.Response:
        deliverer.stop()
        await asyncio.sleep(0.01)
        return web.Response()

    receiver.answers["/hook"] = answer
    [second] = await world.happens()
    await task
    for event in (first, second):
        assert [d.state for d in await world.deliveries(event)] == [DeliveryState.DELIVERED]


async def test_a_database_that_is_away_at_the_end_does_not_fail_the_worker(
    world: World, receiver: Receiver, events_url: str
) -> None:
    await world.endpoint()
    async with Database.open(events_url, size=2) as gone:
        working, world.database = world.database, gone
        deliverer = world.deliverer()
    world.database = working
    deliverer.stop()
    await deliverer.run()


async def test_a_lost_database_connection_does_not_stop_the_worker(
    world: World, receiver: Receiver, events_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hutong.events.webhooks.worker._DOWN_S", 0.01)
    await world.endpoint()
    deliverer = world.deliverer()
    task = asyncio.create_task(deliverer.run())
    done: list[object] = []

    async def answer(_: web.Request) -> web.Response:
        with psycopg.connect(events_url, autocommit=True) as owner:
            done.append(
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).fetchall()
            )
        receiver.succeed()
        return web.Response()

    receiver.answers["/hook"] = answer
    [first] = await world.happens()
    await until(lambda: bool(done))
    async with Database.open(events_url, size=4) as world.database:
        [second] = await world.happens()
        await until(lambda: len(receiver.requests) >= 2)
    deliverer.stop()
    await task
    async with Database.open(events_url, size=4) as world.database:
        for event in (first, second):
            [delivery] = await world.deliveries(event)
            assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)


async def test_an_event_that_cannot_be_sent_at_all_fails_like_any_other(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    [event] = await world.happens()
    async with world.database.transaction() as tx:
        await tx.execute("UPDATE events.endpoint SET sealed_secret = 'x'")
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)
    [delivery] = await world.deliveries(event)
    assert (delivery.endpoint_id, delivery.last_error) == (new.endpoint.endpoint_id, "secret_unavailable")


async def test_with_another_secret_key_nothing_is_sent_and_nothing_counts_as_an_attempt(
    world: World, receiver: Receiver
) -> None:
    await world.endpoint()
    [event] = await world.happens()
    own, world.vault = world.vault, Vault([b"o" * 32])
    for _ in range(2):
        assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=0, dead=0)
        world.clock.advance(LEASE)
    [delivery] = await world.deliveries(event)
    assert (delivery.state, delivery.attempts, delivery.last_error) == (DeliveryState.PENDING, 0, None)
    world.vault = own
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)


async def test_metrics_count_attempts_and_the_backlog(world: World, receiver: Receiver) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    await world.endpoint()
    receiver.fail()
    await world.record(*(world.event(uuid4()) for _ in range(3)))
    world.clock.advance(timedelta(seconds=90))
    failed = value("hutong_webhook_tries_total", outcome="failed")
    deliverer = world.deliverer()
    task = asyncio.create_task(deliverer.run())
    await until(lambda: value("hutong_webhook_tries_total", outcome="failed") == failed + 3)
    assert value("hutong_webhook_pending") == 3
    assert value("hutong_webhook_overdue_seconds") == 90
    deliverer.stop()
    await task


async def test_the_oldest_supported_server_records_and_delivers(
    each_server_url: str, world: World, receiver: Receiver
) -> None:
    from support import migrated_database

    url = migrated_database(each_server_url)
    async with Database.open(url, size=4) as database:
        world.database = database
        await world.endpoint()
        first, second = await world.happens(uuid4(), 2)
        for _ in range(2):
            assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
        assert [headers["webhook-id"] for _, headers, _ in receiver.requests] == names(first, second)


def names(*given: Event) -> list[str]:
    return [published_id(event) for event in given]


async def events_of(world: World, receiver: Receiver, payment: object) -> list[int]:
    async with world.database.transaction() as tx:
        rows = await tx.fetch("SELECT public_id FROM events.outbox WHERE object_id = $1", payment)
    mine = {typeids.encode("evt", row["public_id"]) for row in rows}
    return [
        body["object_seq"] for body in map(orjson.loads, (b for _, _, b in receiver.requests)) if body["id"] in mine
    ]
