"""What was told is told again on request: one event, those of a time, those that were given up; in order, same ids."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from hutong import events
from hutong.errors import Conflict, NotFound
from hutong.events import Event, ReplayRequest
from hutong.events.model import DeliveryAttempt, DeliveryState, NewEndpoint
from hutong.events.webhooks.retry import ATTEMPTS_MAX
from hutong.events.webhooks.worker import DeliveryCounts
from support.event_ids import published_id
from support.fixtures.webhooks import Receiver, World


async def replay(
    world: World, new: NewEndpoint, wanted: ReplayRequest, *, limit: int = 1_000, merchant: UUID | None = None
) -> events.ReplayResult:
    async with world.database.transaction() as tx:
        return await events.replay(
            tx, merchant or world.merchant, new.endpoint.endpoint_id, wanted, now=world.clock.now(), limit=limit
        )


async def deliver_all(world: World) -> int:
    """Deliver until nothing is left; says how many were."""
    delivered = 0
    while (counts := await world.deliverer().run_once()) != DeliveryCounts(0, 0, 0):
        delivered += counts.delivered
    return delivered


def arrived(receiver: Receiver) -> list[str]:
    return [body["id"] for body in receiver.bodies()]


def names(*given: Event) -> list[str]:
    return [published_id(event) for event in given]


async def test_one_event_comes_again_under_its_id_with_all_its_attempts(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    first, second = await world.happens(), await world.happens()
    await deliver_all(world)
    world.clock.advance(timedelta(days=30))
    done = await replay(world, new, ReplayRequest.one(first[0].event_id))
    assert (done.count, done.seen) == (1, 1)
    receiver.fail()
    await world.deliverer().run_once()
    [delivery] = await world.deliveries(first[0])
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)
    receiver.succeed()
    world.clock.advance(timedelta(minutes=1))
    assert await deliver_all(world) == 1
    assert arrived(receiver) == names(*first, *second, *first, *first)
    bodies = [body for _, headers, body in receiver.requests if headers["webhook-id"] == names(*first)[0]]
    assert len(set(bodies)) == 1


async def test_a_range_takes_its_begin_and_leaves_its_end(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    made, begun = [], world.clock.now()
    for _ in range(5):
        made += await world.happens()
        world.clock.advance(timedelta(seconds=1))
    await deliver_all(world)
    receiver.requests.clear()
    wanted = ReplayRequest.between(begun + timedelta(seconds=1), begun + timedelta(seconds=3))
    assert (await replay(world, new, wanted)).count == 2
    await deliver_all(world)
    assert arrived(receiver) == names(*made[1:3])


async def test_only_what_was_given_up_is_sent_again(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await world.happens()
    await deliver_all(world)
    receiver.fail()
    dead = await world.happens(count=1) + await world.happens(count=1)
    for _ in range(ATTEMPTS_MAX):
        for _ in dead:  # one at a time, since it is known to fail
            await world.deliverer().run_once()
        world.clock.advance(timedelta(hours=7))
    receiver.succeed()
    receiver.requests.clear()
    assert (await replay(world, new, ReplayRequest(failed=True))).count == 2
    assert (await replay(world, new, ReplayRequest(failed=True))).count == 0
    assert await deliver_all(world) == 2
    assert sorted(arrived(receiver)) == sorted(names(*dead))


async def test_an_objects_events_come_again_in_order(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    payment = uuid4()
    await world.happens(payment, 6)
    await deliver_all(world)
    receiver.requests.clear()
    await replay(world, new, ReplayRequest())
    await world.happens(payment)
    await deliver_all(world)
    assert [body["object_seq"] for body in receiver.bodies()] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_new_endpoint_is_brought_up_to_date_with_what_it_wants(world: World, receiver: Receiver) -> None:
    await world.record(world.event(uuid4()), world.event(uuid4(), "payment.closed"))
    foreign, own = world.ids.new(), world.merchant
    world.merchant = foreign
    await world.happens()
    world.merchant = own
    new = await world.endpoint(types=("payment.closed",))
    assert (await replay(world, new, ReplayRequest())).count == 1
    await deliver_all(world)
    assert [body["type"] for body in receiver.bodies()] == ["payment.closed"]


async def test_what_is_on_its_way_is_left_as_it_is(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    [event] = await world.happens()
    receiver.fail()
    await world.deliverer().run_once()
    before = await world.deliveries(event)
    done = await replay(world, new, ReplayRequest())
    assert (done.count, done.seen) == (0, 1)
    assert await world.deliveries(event) == before


@pytest.mark.parametrize("failed", [False, True])
async def test_a_long_range_is_worked_through_page_by_page(world: World, receiver: Receiver, failed: bool) -> None:
    new = await world.endpoint()
    made = [event for _ in range(7) for event in await world.happens()]
    await deliver_all(world)
    if failed:
        async with world.database.transaction() as tx:
            await tx.execute("UPDATE events.delivery SET state = 'dead'")
    wanted, counts = ReplayRequest(failed=failed), []
    while True:
        done = await replay(world, new, wanted, limit=3)
        counts.append(done.count)
        if done.last is None:
            break
        wanted = wanted.after(done.last)
    assert counts == [3, 3, 1]
    receiver.requests.clear()
    assert await deliver_all(world) == 7
    assert sorted(arrived(receiver)) == sorted(names(*made))


async def test_a_disabled_or_foreign_endpoint_gets_nothing(world: World) -> None:
    new = await world.endpoint()
    with pytest.raises(NotFound):
        await replay(world, new, ReplayRequest(), merchant=world.ids.new())
    await world.disable(new.endpoint.endpoint_id)
    with pytest.raises(Conflict):
        await replay(world, new, ReplayRequest())


# The log of tries


async def attempts_to(world: World, new: NewEndpoint, **wanted: object) -> list[DeliveryAttempt]:
    async with world.database.transaction() as tx:
        return await events.list_delivery_attempts(tx, new.endpoint.endpoint_id, **wanted)  # type: ignore[arg-type]


async def test_every_attempt_is_in_the_log_newest_first(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    [event] = await world.happens()
    begun = world.clock.now()
    receiver.fail(status=503)
    await world.deliverer().run_once()
    receiver.succeed()
    world.clock.advance(timedelta(seconds=6))
    await world.deliverer().run_once()
    second, first = await attempts_to(world, new)
    assert [(t.number, t.state, t.status, t.error) for t in (first, second)] == [
        (1, "failed", 503, "status"),
        (2, "delivered", 200, None),
    ]
    assert (first.attempted_at, second.attempted_at) == (begun, begun + timedelta(seconds=6))
    assert first.event.event_id == second.event.event_id == event.event_id
    assert first.duration_ms >= 0
    assert [t.number for t in await attempts_to(world, new, after=second.attempt_id)] == [1]
    assert [t.number for t in await attempts_to(world, new, state="delivered")] == [2]
    assert await attempts_to(world, new, event_id=uuid4()) == []
    assert await attempts_to(world, await world.endpoint("/other")) == []


async def test_the_last_attempt_is_logged_as_dead(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await world.happens()
    receiver.fail()
    for _ in range(ATTEMPTS_MAX):
        await world.deliverer().run_once()
        world.clock.advance(timedelta(hours=7))
    log = await attempts_to(world, new)
    assert [one.number for one in log] == list(range(ATTEMPTS_MAX, 0, -1))
    assert [one.state for one in log] == ["dead", *["failed"] * (ATTEMPTS_MAX - 1)]


async def test_the_log_shows_the_request_but_no_secret_and_no_answer(world: World, receiver: Receiver) -> None:
    from aiohttp import web

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, text="api_key=hunter2\x00 " + "x" * 10_000)

    receiver.answers["/hook"] = answer
    new = await world.endpoint(url=world.url + "/hook?token=hunter2")
    await world.record(
        world.event(uuid4(), subject="茶", checkout_url="https://x.example/pay?token=hunter2", n="y" * 5000)
    )
    await world.deliverer().run_once()
    [one] = await attempts_to(world, new)
    _, headers, body = receiver.requests[-1]
    document = events.delivery_attempt_document(one, new.endpoint)
    assert document["id"].startswith("whd_")
    sent = document["request"]
    assert sent["headers"] == {
        "content-type": "application/json",
        "webhook-id": headers["webhook-id"],
        "webhook-timestamp": headers["webhook-timestamp"],
        "webhook-signature": "[masked]",
    }
    assert len(sent["body"]) == 1_024
    assert sent["body"].startswith(body.decode()[:60])
    assert "hunter2" not in str(document)
    assert "xxx" not in str(document)
    assert one.answer is not None
    assert one.answer.startswith("api_key=[masked]")
    assert len(one.answer) <= 512


async def test_a_success_keeps_nothing_of_the_answer(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await world.happens()
    await world.deliverer().run_once()
    assert [one.answer for one in await attempts_to(world, new)] == [None]
