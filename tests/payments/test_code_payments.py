"""Payments by the code that a payer shows: decided within seconds, or reversed; counted once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from hutong.channels import ChannelState
from hutong.errors import HutongError
from hutong.ids import encode
from hutong.payments import Payment, Payments
from hutong.payments.errors import PaymentNotPayable
from support.fakes.channel import CAPABILITIES, HonestChannel
from support.fixtures.payments import World, number, sweep

METHOD = "test_barcode"
CODE, OTHER_CODE = {"auth_code": "130000000000000001"}, {"auth_code": "130000000000000002"}
BOUND = CAPABILITIES.methods[METHOD].decided_within
PAYMENTS, STEPS = 25, 9


async def scan(world: World, lifecycle: Payments) -> Payment:
    return await lifecycle.start(await world.payment(attempt=False), METHOD, payer=CODE)


async def seconds(world: World, lifecycle: Payments, count: int) -> None:
    for _ in range(count // 5):
        await sweep(world, lifecycle, timedelta(seconds=5))


async def test_a_payer_who_does_nothing_is_queried_every_five_seconds_and_the_order_reversed_in_time(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await scan(world, lifecycle)
    await seconds(world, lifecycle, 25)
    assert [verb for verb, _ in channel.calls] == ["pay", *["query"] * 5]
    await seconds(world, lifecycle, 5)
    assert [verb for verb, _ in channel.calls[6:]] == ["query", "close"]
    assert timedelta(seconds=30) == BOUND
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.attempts[0].state) == ("requires_payment", "closed")
    assert channel.orders[number(payment)].state is ChannelState.CLOSED


async def test_a_silent_channel_gets_the_reversal_and_the_end_is_proven_once_it_answers(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await scan(world, lifecycle)
    channel.replies = False
    await seconds(world, lifecycle, 40)
    assert ("close", number(payment)) in channel.calls
    assert (await world.see(payment)).payment.attempts[0].is_open
    channel.replies = True
    await seconds(world, lifecycle, 5)
    assert (await world.see(payment)).payment.attempts[0].state == "closed"


async def test_a_code_that_never_arrived_is_given_up_when_no_channel_would_take_it_any_more(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.capabilities = replace(CAPABILITIES, resubmits=False)
    channel.reachable = False
    payment = await scan(world, lifecycle)
    channel.reachable = True
    await seconds(world, lifecycle, 120)
    assert (await world.see(payment)).payment.attempts[0].is_open
    await seconds(world, lifecycle, 5)
    assert (await world.see(payment)).payment.attempts[0].state == "closed"


async def test_a_code_scanned_many_times_at_once_is_one_payment(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await world.payment(attempt=False)
    codes = [CODE, OTHER_CODE] * 5
    started = await asyncio.gather(*(lifecycle.start(payment, METHOD, payer=code) for code in codes))
    assert {tuple(attempt.attempt_id for attempt in each.attempts) for each in started} == {
        (started[0].attempts[0].attempt_id,)
    }
    assert len(channel.orders) == 1


async def test_another_code_after_a_decline_is_a_second_attempt(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await scan(world, lifecycle)
    channel.orders[number(payment)].state = ChannelState.FAILED
    await seconds(world, lifecycle, 5)
    world.clock.advance(timedelta(seconds=1))
    payment = await lifecycle.start(payment, METHOD, payer=OTHER_CODE)
    channel.payer_pays(number(payment))
    await seconds(world, lifecycle, 5)
    stored = await world.see(payment)
    assert [attempt.state for attempt in stored.payment.attempts] == ["failed", "succeeded"]
    assert channel.orders[number(payment)].request.payer == OTHER_CODE
    with pytest.raises(PaymentNotPayable):
        await lifecycle.start(payment, METHOD, payer=CODE)


async def test_a_payer_who_confirms_while_the_till_cancels_has_paid_once_or_not_at_all(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await scan(world, lifecycle)
    channel.before_close = lambda: channel.payer_pays(number(payment))
    with pytest.raises(HutongError) as refusal:
        await lifecycle.close(payment)
    assert refusal.value.code == "payment_already_succeeded"
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.attempts[0].surplus) == ("succeeded", False)


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_at_a_till_each_payment_ends_and_no_money_is_counted_twice(
    world: World, lifecycle: Payments, channel: HonestChannel, seed: int
) -> None:
    draw = random.Random(seed)
    sold = [await scan(world, lifecycle) for _ in range(PAYMENTS)]
    for _ in range(STEPS):
        channel.reachable, channel.replies = draw.random() > 0.2, draw.random() > 0.2
        for payment in sold:
            await happen(world, lifecycle, payment, draw.choice(("nothing", "nothing", "pay", "pay", "close", "scan")))
        await seconds(world, lifecycle, 5)
    channel.reachable = channel.replies = True
    for _ in range(5):
        await sweep(world, lifecycle, timedelta(seconds=30))
    await sweep(world, lifecycle, timedelta(days=1))  # what was paid after the reversal and never notified
    for stored in await world.stored(sold):
        payment = stored.payment
        assert not payment.open_attempts
        taken = [a for a in payment.attempts if _order(channel, a.attempt_id) is ChannelState.SUCCEEDED]
        counted = [a for a in payment.attempts if a.state == "succeeded" and not a.surplus]
        surplus = [a for a in payment.attempts if a.surplus]
        assert len(taken) == len(counted) + len(surplus)
        assert len(counted) == (payment.status == "succeeded") <= 1
        assert [name for _, name in stored.events].count("payment.succeeded") == len(counted)
        assert await refunds_of(world, payment) == len(surplus)
    await world.books_balance()


async def happen(world: World, lifecycle: Payments, payment: Payment, what: str) -> None:
    """Let one thing happen; a payer may confirm an order that was reversed, as no channel should let them."""
    channel = world.channel
    current = (await world.see(payment)).payment
    with contextlib.suppress(HutongError):
        if what == "close":
            await lifecycle.close(current)
        elif what == "scan":
            await lifecycle.start(current, METHOD, payer=OTHER_CODE)
        elif what == "pay":
            attempt_no = number(current)
            if attempt_no in channel.orders:
                channel.orders[attempt_no].state = ChannelState.SUCCEEDED
                if channel.reachable and channel.replies:
                    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, attempt_no.encode())


async def refunds_of(world: World, payment: Payment) -> int:
    async with world.database.transaction() as tx:
        return int(await tx.fetchval("SELECT count(*) FROM payments.refund WHERE payment_id = $1", payment.payment_id))


def _order(channel: HonestChannel, attempt_id: object) -> ChannelState | None:
    order = channel.orders.get(encode("att", attempt_id))  # type: ignore[arg-type]
    return None if order is None else order.state
