"""Authorize, capture, give up: one of the two intents is written first, and then the channel's answers decide."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hutong.channels import ChannelState
from hutong.payments import CaptureMethod, Payment, Payments, Source
from hutong.payments.capture import RequestCapture
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.errors import (
    CaptureExceedsAuthorized,
    CaptureInProgress,
    PartialCaptureNotOffered,
    PaymentAlreadySucceeded,
    PaymentNotCapturable,
)
from support.fakes.channel import CAPABILITIES, NOTHING, HonestChannel
from support.fixtures.payments import AMOUNT, World, number, placed, sweep


async def authorized(world: World, lifecycle: Payments, channel: HonestChannel, **changed: Any) -> Payment:
    payment = await placed(world, lifecycle, capture_method=CaptureMethod.MANUAL, **changed)
    channel.payer_pays(number(payment))
    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, number(payment).encode())
    return (await world.see(payment)).payment


async def test_an_authorization_books_nothing_until_it_is_captured(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel, fee_ppm=6_000)
    assert (payment.status, payment.attempts[0].state) == ("requires_capture", "authorized")
    assert payment.capture_before == world.clock.now() + timedelta(days=7)
    assert (await world.see(payment)).transfers == []
    assert not channel.orders[number(payment)].request.capture
    captured = await lifecycle.capture(payment)
    assert (captured.status, captured.amount_captured_minor) == ("succeeded", AMOUNT)
    stored = await world.see(payment)
    assert stored.events == [(1, "payment.authorized"), (2, "payment.captured"), (3, "payment.succeeded")]
    assert sorted(amount for _, amount, _, _ in stored.transfers) == [12, AMOUNT]


async def test_a_part_is_captured_and_booked_with_its_fee(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel, fee_ppm=6_000)
    captured = await lifecycle.capture(payment, 1000)
    assert (captured.status, captured.amount_minor, captured.amount_captured_minor) == ("succeeded", AMOUNT, 1000)
    assert channel.orders[number(payment)].captured_minor == 1000
    stored = await world.see(payment)
    assert sorted(amount for _, amount, _, _ in stored.transfers) == [6, 1000]
    await world.books_balance()


async def test_the_same_capture_again_is_the_same_and_another_is_refused(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    await lifecycle.capture(payment, 1000)
    again = await lifecycle.capture(payment, 1000)
    assert again.amount_captured_minor == 1000
    with pytest.raises(PaymentNotCapturable):
        await lifecycle.capture(payment, 999)
    assert [call for call, _ in channel.calls].count("capture") == 1


async def test_a_capture_whose_intent_was_lost_by_a_restore_is_the_same_when_it_is_repeated(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    order = channel.orders[number(payment)]
    order.state, order.captured_minor = ChannelState.SUCCEEDED, 1000
    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, number(payment).encode())
    again = await lifecycle.capture(payment, 1000)
    assert (again.status, again.amount_captured_minor) == ("succeeded", 1000)
    with pytest.raises(PaymentNotCapturable):
        await lifecycle.capture(payment, 999)
    assert [call for call, _ in channel.calls].count("capture") == 0


async def test_more_than_was_authorized_is_refused_and_nothing_written(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    before = await world.see(payment)
    with pytest.raises(CaptureExceedsAuthorized):
        await lifecycle.capture(payment, AMOUNT + 1)
    assert await world.see(payment) == before


async def test_a_channel_that_takes_the_whole_only_is_not_asked_for_a_part(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.capabilities = replace(CAPABILITIES, partial_capture=False)
    payment = await authorized(world, lifecycle, channel)
    with pytest.raises(PartialCaptureNotOffered):
        await lifecycle.capture(payment, 1)
    assert (await lifecycle.capture(payment)).status == "succeeded"


async def test_capture_after_void_and_void_after_capture_are_refused(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    voided = await authorized(world, lifecycle, channel)
    assert (await lifecycle.close(voided)).status == "closed"
    with pytest.raises(PaymentNotCapturable):
        await lifecycle.capture(voided)
    captured = await authorized(world, lifecycle, channel)
    await lifecycle.capture(captured)
    with pytest.raises(PaymentAlreadySucceeded):
        await lifecycle.close(captured)
    assert [call for call, _ in channel.calls].count("capture") == 1
    assert (await world.see(voided)).events == [(1, "payment.authorized"), (2, "payment.closed")]


async def test_an_unpaid_or_ordinary_payment_cannot_be_captured(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    for payment in (
        await placed(world, lifecycle, capture_method=CaptureMethod.MANUAL),
        await placed(world, lifecycle),
        await placed(world, lifecycle, attempt=False),
    ):
        with pytest.raises(PaymentNotCapturable):
            await lifecycle.capture(payment)


async def test_captures_and_voids_at_once_have_one_winner(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    for _ in range(5):
        channel.calls.clear()
        payment = await authorized(world, lifecycle, channel)
        wanted = [lifecycle.capture(payment, 1000 + n % 2) if n % 3 else lifecycle.close(payment) for n in range(40)]
        results = await asyncio.gather(*wanted, return_exceptions=True)
        for result in results:
            assert isinstance(
                result,
                Payment | PaymentNotCapturable | CaptureInProgress | PaymentAlreadySucceeded,
            )
        stored = await world.see(payment)
        order = channel.orders[number(payment)]
        calls = {call for call, _ in channel.calls} & {"capture", "close"}
        if stored.payment.status == "succeeded":
            assert (order.state, calls) == (ChannelState.SUCCEEDED, {"capture"})
            assert [amount for _, amount, _, _ in stored.transfers] == [order.captured_minor]
        else:
            assert (stored.payment.status, order.state, calls) == ("closed", ChannelState.CLOSED, {"close"})
            assert stored.transfers == []


async def test_a_capture_in_doubt_is_asked_about_and_never_decided_again(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    channel.replies = False
    pending = await lifecycle.capture(payment, 700)
    assert (pending.status, pending.capture_minor) == ("requires_capture", 700)
    with pytest.raises(CaptureInProgress):
        await lifecycle.close(payment)
    with pytest.raises(CaptureInProgress):
        await lifecycle.capture(payment, 701)
    world.clock.advance(timedelta(days=8))  # nor does its lapse end it
    await world.transactions.expire(limit=10_000)
    assert await world.transactions.expire(limit=10_000) == 0
    await lifecycle.expire()
    await lifecycle.sweep()
    assert (await world.see(payment)).payment.is_capturing
    channel.replies = True
    await sweep(world, lifecycle)
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.amount_captured_minor) == ("succeeded", 700)
    assert [call for call, _ in channel.calls].count("capture") == 1


async def test_a_capture_that_never_arrived_is_sent_again_as_it_was(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    await world.transactions.capture([RequestCapture(payment.payment_id, 900)])  # the process dies here
    await sweep(world, lifecycle)
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.amount_captured_minor) == ("succeeded", 900)
    assert [call for call, _ in channel.calls] == ["pay", "query", "capture"]


async def test_a_capture_that_the_channel_refuses_leaves_nothing_to_capture(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    channel.orders[number(payment)].state = ChannelState.FAILED
    with pytest.raises(PaymentNotCapturable):
        await lifecycle.capture(payment)
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.capture_minor, stored.attempts[0].state) == ("requires_payment", None, "failed")


async def test_an_authorization_is_given_up_at_its_end(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    await sweep(world, lifecycle, timedelta(hours=2))  # past the time to pay, which has been done
    assert (await world.see(payment)).payment.status == "requires_capture"
    await sweep(world, lifecycle, timedelta(days=7))
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.close_reason) == ("closed", "expired")
    assert channel.orders[number(payment)].state is ChannelState.CLOSED


async def test_a_channel_that_took_the_money_at_once_is_believed(world: World) -> None:
    payment = await world.payment(capture_method=CaptureMethod.MANUAL)
    (recorded,) = await world.record(world.report(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=AMOUNT - 1))
    assert recorded.outcome is RecordOutcome.APPLIED
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.amount_captured_minor) == ("succeeded", AMOUNT - 1)


@pytest.mark.parametrize("captured", [699, 701, AMOUNT])
async def test_a_captured_amount_that_was_not_asked_for_is_not_booked(world: World, captured: int) -> None:
    payment = await world.payment(capture_method=CaptureMethod.MANUAL)
    (attempt,) = payment.attempts
    await world.record(world.report(attempt, ChannelState.AUTHORIZED, amount_minor=AMOUNT))
    await world.transactions.capture([RequestCapture(payment.payment_id, 700)])
    (recorded,) = await world.record(
        world.report(attempt, ChannelState.SUCCEEDED, Source.CAPTURE, amount_minor=captured)
    )
    assert recorded.outcome is RecordOutcome.MISMATCH
    assert (await world.see(payment)).transfers == []


async def test_an_ordinary_payment_that_is_only_reserved_is_not_paid(world: World) -> None:
    payment = await world.payment()
    await world.record(world.report(payment.attempts[0], ChannelState.AUTHORIZED, amount_minor=AMOUNT))
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.attempts[0].state) == ("processing", "submitted")


async def test_the_channels_silence_on_an_unreachable_line_changes_nothing(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await authorized(world, lifecycle, channel)
    channel.reachable = False
    assert (await lifecycle.close(payment)).status == "requires_capture"
    assert NOTHING.state is ChannelState.UNKNOWN
    with pytest.raises(PaymentNotCapturable):
        await lifecycle.capture(payment)
    channel.reachable = True
    await sweep(world, lifecycle)
    assert (await world.see(payment)).payment.status == "closed"
