"""An endpoint that fails for days is given up, told of and taken up again; one that only stumbles is not."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hutong import events, ids
from hutong.errors import Conflict, NotFound
from hutong.events.model import DisabledReason, Endpoint, NewEndpoint
from hutong.events.webhooks.endpoint_health import FAILING_MAX
from hutong.events.webhooks.endpoints import ENDPOINTS_MAX
from hutong.events.webhooks.queue import EndpointSlots
from hutong.events.webhooks.retry import ATTEMPTS_MAX
from hutong.events.webhooks.worker import DeliveryCounts
from support.event_forms import EventForms
from support.fixtures.webhooks import Receiver, World, recorded_events


async def enable(world: World, endpoint_id: UUID) -> Endpoint:
    async with world.database.transaction() as tx:
        return await events.enable_endpoint(tx, world.merchant, endpoint_id)


async def look(world: World, new: NewEndpoint) -> Endpoint:
    async with world.database.transaction() as tx:
        return await events.find_endpoint(tx, world.merchant, new.endpoint.endpoint_id)


async def fail_for(world: World, receiver: Receiver, duration: timedelta) -> None:
    """An event fails now, and after this time for the last time."""
    receiver.fail()
    await world.happens()
    await world.deliverer().run_once()
    world.clock.advance(duration)
    await make_last(world)
    await world.deliverer().run_once()


async def make_last(world: World) -> None:
    """Whatever is pending has one try left."""
    async with world.database.transaction() as tx:
        await tx.execute(f"UPDATE events.delivery SET attempts = {ATTEMPTS_MAX - 1} WHERE state = 'pending'")


async def test_an_endpoint_that_fails_for_days_is_disabled_and_the_others_are_notified(
    world: World, receiver: Receiver
) -> None:
    new, watching = await world.endpoint(), await world.endpoint("/watching")
    begun = world.clock.now()
    before = REGISTRY.get_sample_value("hutong_webhook_endpoints_disabled_total") or 0
    with capture_logs() as logs:
        await fail_for(world, receiver, FAILING_MAX)
    endpoint = await look(world, new)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (world.clock.now(), DisabledReason.FAILING)
    assert endpoint.failing_since == begun
    assert [(line["event"], line["log_level"]) for line in logs] == [("webhook_endpoint_disabled", "error")]
    assert REGISTRY.get_sample_value("hutong_webhook_endpoints_disabled_total") == before + 1
    assert (await look(world, watching)).disabled_at is None
    await world.deliverer().run_once()
    disabled_events = [body for body in receiver.bodies("/watching") if body["type"] == events.ENDPOINT_DISABLED]
    assert [(one["object_seq"], one["data"]) for one in disabled_events] == [(1, events.endpoint_document(endpoint))]
    assert EventForms().faults(disabled_events[0]) == []
    assert disabled_events[0]["data"]["id"] == ids.encode("whe", endpoint.endpoint_id)


async def test_a_disabled_endpoint_gets_nothing_and_is_reported_once(world: World, receiver: Receiver) -> None:
    await world.endpoint()
    await world.endpoint("/watching")
    await fail_for(world, receiver, FAILING_MAX)
    sent = len(receiver.bodies())
    await world.happens()
    for _ in range(5):
        world.clock.advance(timedelta(days=1))
        await world.deliverer().run_once()
    assert len(receiver.bodies()) == sent
    assert [b["type"] for b in receiver.bodies("/watching")].count(events.ENDPOINT_DISABLED) == 1


async def test_an_endpoint_that_has_failed_for_less_is_kept(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await fail_for(world, receiver, FAILING_MAX - timedelta(milliseconds=1))
    assert (await look(world, new)).disabled_at is None


async def test_one_failure_after_days_of_silence_is_not_days_of_failure(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await fail_for(world, receiver, timedelta(days=1))
    world.clock.advance(FAILING_MAX)
    await world.happens()
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=0, failed=1, dead=0)
    assert (await look(world, new)).disabled_at is None


async def test_one_success_forgets_the_failures(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await fail_for(world, receiver, FAILING_MAX - timedelta(hours=1))
    receiver.succeed()
    await world.happens()
    await world.deliverer().run_once()
    assert (await look(world, new)).failing_since is None
    await fail_for(world, receiver, timedelta(hours=2))
    assert (await look(world, new)).disabled_at is None


async def test_of_successes_and_failures_at_once_the_success_counts(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    await fail_for(world, receiver, FAILING_MAX - timedelta(hours=1))
    world.clock.advance(timedelta(hours=2))
    taken = iter([200, *[500] * 9])

    async def answer(_: object) -> object:
        from aiohttp import web

        return web.Response(status=next(taken))

    receiver.answers["/hook"] = answer  # type: ignore[assignment]
    await world.record(*(world.event(uuid4()) for _ in range(5)))
    await make_last(world)
    deliverer = world.deliverer()
    deliverer._slots[new.endpoint.endpoint_id] = EndpointSlots(
        0, 5
    )  # as long as it is known to fail it gets one at a time
    assert await deliverer.run_once() == DeliveryCounts(delivered=1, failed=0, dead=4)
    assert (await look(world, new)).disabled_at is None


async def test_a_disabled_endpoint_is_enabled_as_if_new_and_what_it_missed_is_replayed(
    world: World, receiver: Receiver
) -> None:
    new = await world.endpoint()
    await fail_for(world, receiver, FAILING_MAX)
    await world.happens()
    enabled = await enable(world, new.endpoint.endpoint_id)
    assert (enabled.disabled_at, enabled.disabled_reason, enabled.failing_since) == (None, None, None)
    receiver.succeed()
    await world.happens()
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)
    async with world.database.transaction() as tx:
        done = await events.replay(
            tx, world.merchant, new.endpoint.endpoint_id, events.ReplayRequest(failed=True), now=world.clock.now()
        )
    assert (done.count, done.last) == (1, None)
    assert await world.deliverer().run_once() == DeliveryCounts(delivered=1, failed=0, dead=0)


async def test_who_disabled_it_is_remembered(world: World, receiver: Receiver) -> None:
    new = await world.endpoint()
    assert (await world.disable(new.endpoint.endpoint_id)).disabled_reason is DisabledReason.MERCHANT
    failing = await world.endpoint()
    await fail_for(world, receiver, FAILING_MAX)
    assert (await world.disable(failing.endpoint.endpoint_id)).disabled_reason is DisabledReason.FAILING


async def test_enabling_counts_like_creating_and_repeats_without_effect(world: World) -> None:
    first = await world.endpoint()
    assert (await enable(world, first.endpoint.endpoint_id)).disabled_at is None
    await world.disable(first.endpoint.endpoint_id)
    for index in range(ENDPOINTS_MAX):
        await world.endpoint(f"/{index}")
    with pytest.raises(Conflict):
        await enable(world, first.endpoint.endpoint_id)
    foreign = await world.endpoint(merchant=world.ids.new())
    with pytest.raises(NotFound):
        await enable(world, foreign.endpoint.endpoint_id)


async def test_a_worker_that_marks_again_after_the_disabling_changes_nothing(world: World, receiver: Receiver) -> None:
    """Two workers' batches fail at once: the endpoint is disabled by the first and told of once."""
    new = await world.endpoint()
    await world.endpoint("/watching")
    await fail_for(world, receiver, FAILING_MAX - timedelta(seconds=10))
    world.clock.advance(timedelta(seconds=10))
    await world.record(*(world.event(uuid4()) for _ in range(2)))
    await make_last(world)
    for _ in range(2):
        await world.deliverer(in_flight=2, per_endpoint=1).run_once()
    assert (await look(world, new)).disabled_reason is DisabledReason.FAILING
    async with world.database.transaction() as tx:
        recorded = await recorded_events(tx, world.merchant)
    assert [event.type for event in recorded].count(events.ENDPOINT_DISABLED) == 1
