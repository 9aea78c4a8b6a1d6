"""Nothing stays in doubt unseen: it has an age, it is counted, and it is reported once at each age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.payments import CaptureMethod, Payments
from hutong.payments.in_doubt import AGES, list_in_doubt
from support.fakes.channel import HonestChannel
from support.fixtures.payments import World, number, placed, sweep
from support.fixtures.refunds import RefundWorld


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def world(fresh_database_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world without neighbours, since everything in doubt is counted."""
    async with Database.open(fresh_database_url, size=4) as database:
        yield World(database, clock)


def ages(lines: list[Any]) -> list[int]:
    return [line["age_s"] for line in lines if line["event"] == "attempt_in_doubt"]


async def test_an_attempt_without_an_answer_is_counted_by_age_and_reported_once_at_each_age(
    world: World, lifecycle: Payments, channel: HonestChannel, logged: list[Any]
) -> None:
    channel.replies = False
    payment = await placed(world, lifecycle, validity=timedelta(days=3))
    assert (await lifecycle.report_in_doubt())["under 1 min"] == 1
    seen = []
    for step in (4, 2, 1, 60, 1, 23 * 60, 10):
        await sweep(world, lifecycle, timedelta(minutes=step))
        counts = await lifecycle.report_in_doubt()
        seen.append([name for name, count in counts.items() if count])
    assert seen == [
        ["1 to 5 min"], ["5 min to 1 h"], ["5 min to 1 h"], ["1 h to 1 day"], ["1 h to 1 day"], ["over 1 day"],
        ["over 1 day"],
    ]  # fmt: skip
    assert ages(logged) == [360, 4020, 86_880]
    async with world.database.transaction() as tx:
        ((doubt,), _) = await list_in_doubt(tx)
    assert (doubt.payment_id, doubt.doubt_since) == (payment.payment_id, payment.attempts[0].created_at)
    channel.replies = True
    await sweep(world, lifecycle, timedelta(hours=2))
    assert sum((await lifecycle.report_in_doubt()).values()) == 0


async def test_an_intent_that_nobody_carried_out_is_in_doubt_once_its_answer_is_overdue(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    async def broken(order: Any, *, now: Any) -> Any:
        raise RuntimeError("a bug in an adapter")

    channel.query = broken  # type: ignore[method-assign]
    await world.payment(validity=timedelta(days=1))
    await sweep(world, lifecycle, timedelta(minutes=2))
    assert (await lifecycle.report_in_doubt())["1 to 5 min"] == 1


async def test_a_capture_and_an_end_without_an_answer_are_in_doubt_since_they_were_asked_for(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    ending = await placed(world, lifecycle, validity=timedelta(days=1))
    capturing = await placed(world, lifecycle, capture_method=CaptureMethod.MANUAL, validity=timedelta(days=1))
    await world.record(world.report(capturing.attempts[0], ChannelState.AUTHORIZED))
    channel.payer_pays(number(capturing))
    assert sum((await lifecycle.report_in_doubt()).values()) == 0
    world.clock.advance(timedelta(minutes=30))
    channel.reachable = False
    await lifecycle.close(ending)
    await lifecycle.capture(capturing)
    world.clock.advance(timedelta(minutes=2))
    assert (await lifecycle.report_in_doubt())["1 to 5 min"] == 2


async def test_refunds_without_an_answer_are_counted_by_age_listed_and_reported_at_each_age(
    fresh_database_url: str, clock: ManualClock, logged: list[Any]
) -> None:
    def counted() -> dict[str, float]:
        values = {age: REGISTRY.get_sample_value("hutong_refunds_in_doubt", {"age": age}) for age, _ in AGES}
        return {age: value for age, value in values.items() if value}

    async with Database.open(fresh_database_url, size=4) as database:
        shop = RefundWorld(database, clock)
        payment = await shop.paid()
        shop.channel.reachable = False
        first = await shop.refund(payment, 500)
        clock.advance(timedelta(minutes=10))
        await shop.refund(payment, 100)
        shop.channel.reachable = True
        await shop.refund(payment, 100)  # succeeds at once
        assert sum((await shop.lifecycle.report_in_doubt()).values()) == 2
        assert counted() == {"under 1 min": 1, "5 min to 1 h": 1}
        assert [line["age_s"] for line in logged if line.get("refund") == first["id"]] == [600]
        async with database.transaction() as tx:
            attempts, refunds = await list_in_doubt(tx)
        assert (attempts, [doubt.state for doubt in refunds]) == ([], ["unknown"] * 2)
        clock.advance(timedelta(days=2))
        await shop.lifecycle.report_in_doubt()
        assert counted() == {"over 1 day": 2}
        await shop.lifecycle.report_in_doubt()
        assert [line["age_s"] for line in logged if line.get("refund") == first["id"]] == [600, 173_400]
        await shop.sweep()
        await shop.lifecycle.report_in_doubt()
        assert counted() == {}
        await shop.lifecycle.stop()


async def test_a_refund_that_its_channel_has_accepted_or_refused_for_now_is_not_in_doubt(
    fresh_database_url: str, clock: ManualClock
) -> None:
    async with Database.open(fresh_database_url, size=4) as database:
        shop = RefundWorld(database, clock)
        payment = await shop.paid()
        shop.channel.verdicts = [
            ChannelAnswer(ChannelState.PENDING),
            ChannelAnswer(ChannelState.FAILED, retryable=True),
        ]
        assert [(await shop.refund(payment, 100))["state"] for _ in range(2)] == ["submitted", "held"]
        clock.advance(timedelta(seconds=30))
        assert sum((await shop.lifecycle.report_in_doubt()).values()) == 0
        await shop.sweep(timedelta(days=2))
        assert sum((await shop.lifecycle.report_in_doubt()).values()) == 0
        await shop.lifecycle.stop()


async def test_a_reserved_refund_that_nobody_sent_is_in_doubt_once_it_is_overdue(
    fresh_database_url: str, clock: ManualClock
) -> None:
    async with Database.open(fresh_database_url, size=4) as database:
        shop = RefundWorld(database, clock)
        payment = await shop.paid()
        await shop.intend(payment, 100)  # the process dies here

        async def broken(refund: Any, *, now: Any) -> Any:
            raise RuntimeError("a bug in an adapter")

        shop.channel.refund = broken  # type: ignore[method-assign]
        assert sum((await shop.lifecycle.report_in_doubt()).values()) == 0
        await shop.sweep()
        clock.advance(timedelta(minutes=2))
        assert (await shop.lifecycle.report_in_doubt())["1 to 5 min"] == 1
        await shop.lifecycle.stop()


async def test_refunds_are_queried_at_the_pace_of_the_policy(fresh_database_url: str, clock: ManualClock) -> None:
    async with Database.open(fresh_database_url, size=4) as database:
        shop = RefundWorld(database, clock)
        shop.restart(query_cadence="2,7")
        payment = await shop.paid()
        shop.channel.verdicts = [ChannelAnswer(ChannelState.PENDING)]
        await shop.refund(payment, 100)
        waits = []
        for _ in range(4):
            (refund,) = await shop.refunds(payment)
            assert refund.next_query_at is not None
            waits.append((refund.next_query_at - clock.now()).total_seconds())
            await shop.sweep(refund.next_query_at - clock.now())
        assert waits == [2, 7, 7, 7]
        await shop.lifecycle.stop()
