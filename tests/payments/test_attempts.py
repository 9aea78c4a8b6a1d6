"""Tries: all that a call says is kept, at most one could take money, and the story of each is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hutong import payments
from hutong.channels import ChannelState
from hutong.ids import encode
from hutong.merchants import Switching
from hutong.payments import Payment, Payments, Source
from hutong.payments.errors import AttemptInProgress, PayerDetailMissing, PaymentNotPayable
from hutong.payments.store import read_timeline
from support.fakes.channel import HonestChannel
from support.fixtures.payments import AMOUNT, METHOD, World, number, placed, sweep


async def started(world: World, lifecycle: Payments, method: str, **given: Any) -> Payment:
    payment = await world.payment(attempt=False)
    return await lifecycle.start(payment, method, **given)


async def timeline_of(world: World, payment: Payment) -> list[tuple[str, str | None]]:
    async with world.database.transaction() as tx:
        return [(entry.what, entry.source) for _, entry in await read_timeline(tx, [payment.payment_id])]


async def test_what_the_payer_tells_is_sent_again_exactly_and_kept_sealed_until_the_end(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.reachable = False
    payment = await started(
        world,
        lifecycle,
        "test_card",
        payer={"token": "tok_secret"},
        payer_ip="10.1.2.3",
        return_url="https://shop/back",
    )
    async with world.database.transaction() as tx:
        sealed = await tx.fetchval(
            "SELECT payer_sealed FROM payments.attempt WHERE payment_id = $1", payment.payment_id
        )
    assert b"tok_secret" not in sealed
    channel.reachable = True
    await sweep(world, lifecycle)
    request = channel.orders[number(payment)].request
    assert request.payer == {"token": "tok_secret"}
    assert request.return_url == "https://shop/back"
    await world.record(world.report(payment.attempts[0], ChannelState.FAILED))
    assert (await world.see(payment)).payment.attempts[0].payer_sealed is None


async def test_a_missing_detail_of_the_payer_is_named_and_nothing_written(world: World, lifecycle: Payments) -> None:
    with pytest.raises(PayerDetailMissing) as refusal:
        await started(world, lifecycle, "test_card", payer={"openid": "x"})
    assert (refusal.value.code, refusal.value.param) == ("missing_parameter", "payer.token")


async def test_a_channel_that_decides_at_once_is_done_at_once(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    pay = channel.pay

    async def decided(request: Any, *, now: Any) -> Any:
        await pay(request, now=now)
        channel.payer_pays(request.attempt_no)
        return await channel.query(_order(request), now=now)

    channel.pay = decided  # type: ignore[method-assign]
    payment = await started(world, lifecycle, "test_barcode", payer={"auth_code": "130000000000000001"})
    assert payment.status == "succeeded"
    assert await timeline_of(world, payment) == [("attempt.succeeded", "submission")]


def _order(request: Any) -> Any:
    from hutong.channels import OrderReference

    return OrderReference(
        request.attempt_no, request.method, request.amount_minor, request.currency, request.expires_at
    )


async def test_a_wallets_code_is_closed_at_its_channel_before_another_method_starts(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await started(world, lifecycle, METHOD)
    first = number(payment)
    world.clock.advance(timedelta(seconds=1))
    payment = await lifecycle.start(payment, "test_card", payer={"token": "t"})
    assert [(a.method, a.state.value) for a in payment.attempts] == [(METHOD, "closed"), ("test_card", "submitted")]
    assert channel.orders[first].state is ChannelState.CLOSED
    assert await timeline_of(world, payment) == [
        ("attempt.submitted", "submission"), ("attempt.close_requested", None), ("attempt.closed", "close"),
        ("attempt.submitted", "submission"),
    ]  # fmt: skip


async def test_a_code_that_was_paid_meanwhile_is_not_followed_by_another_attempt(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await started(world, lifecycle, METHOD)
    channel.payer_pays(number(payment))
    with pytest.raises(PaymentNotPayable):
        await lifecycle.start(payment, "test_card", payer={"token": "t"})
    assert (await world.see(payment)).payment.status == "succeeded"


async def test_no_other_attempt_while_one_in_doubt_could_still_take_the_money(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    card = await started(world, lifecycle, "test_card", payer={"token": "t"})
    with pytest.raises(AttemptInProgress):  # a card cannot be closed
        await lifecycle.start(card, METHOD, switching=Switching.STRICT)
    wallet = await started(world, lifecycle, METHOD)
    channel.reachable = False
    with pytest.raises(AttemptInProgress):  # nobody confirms that the code is closed
        await lifecycle.start(wallet, "test_card", payer={"token": "t"})
    channel.reachable = True
    await sweep(world, lifecycle)  # the end that was asked for is still pursued
    assert [a.state.value for a in (await world.see(wallet)).payment.attempts] == ["closed"]
    assert (await lifecycle.start(wallet, "test_card", payer={"token": "t"})).status == "processing"


async def test_a_payer_who_authorizes_while_room_is_made_keeps_the_authorization(
    world: World, lifecycle: Payments
) -> None:
    payment = await world.payment(capture_method=payments.CaptureMethod.MANUAL)
    (attempt,) = payment.attempts
    async with world.database.transaction() as tx:
        await tx.execute(
            "UPDATE payments.attempt SET close_requested_at = $2 WHERE id = $1", attempt.attempt_id, world.clock.now()
        )
    await world.record(world.report(attempt, ChannelState.AUTHORIZED))
    stored = (await world.see(payment)).payment
    assert not stored.wants_end(stored.attempts[0])


async def test_a_code_whose_own_end_has_passed_makes_room_for_another(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle, validity=timedelta(days=15))
    await sweep(world, lifecycle, timedelta(hours=2, minutes=2))
    stored = (await world.see(payment)).payment
    assert (stored.status, stored.attempts[0].state) == ("requires_payment", "closed")
    assert [call for call, _ in channel.calls] == ["pay", "query", "close"]


async def test_an_unpaid_end_is_verified_a_day_later_and_a_success_is_surplus(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    quiet, late = await placed(world, lifecycle), await placed(world, lifecycle)
    await lifecycle.close(quiet)
    await lifecycle.close(late)
    channel.payer_pays(number(late))
    channel.calls.clear()
    channel.reachable = False
    await sweep(world, lifecycle, timedelta(days=1))
    channel.reachable = True
    await sweep(world, lifecycle, timedelta(hours=1))  # no answer yet: asked again
    assert [s.payment.attempts[0].state.value for s in await world.stored([quiet, late])] == ["closed", "succeeded"]
    assert (await world.see(late)).events[-1][1] == "payment.surplus_received"
    await sweep(world, lifecycle, timedelta(days=1))
    assert len(channel.calls) == 4


async def test_a_channel_that_denies_a_success_is_reported_and_not_believed(world: World) -> None:
    payment = await world.payment()
    (attempt,) = payment.attempts
    await world.record(world.report(attempt, ChannelState.SUCCEEDED, Source.NOTIFICATION))
    (recorded,) = await world.record(world.report(attempt, ChannelState.CLOSED))
    assert recorded.contradicts
    assert (await world.see(payment)).payment.status == "succeeded"
    assert (await timeline_of(world, payment))[-1] == ("attempt.contradicted", "query")
    (again,) = await world.record(world.report(attempt, ChannelState.SUCCEEDED))
    assert not again.contradicts


async def test_a_payments_timeline_is_in_order_with_the_source_of_each_entry(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.replies = False
    payment = await placed(world, lifecycle)
    channel.replies = True
    channel.payer_pays(number(payment))
    await sweep(world, lifecycle)
    assert await timeline_of(world, payment) == [("attempt.unknown", "submission"), ("attempt.succeeded", "query")]
    assert encode("att", payment.attempts[0].attempt_id) == number(payment)
    assert (await world.see(payment)).payment.attempts[0].amount_captured_minor == AMOUNT


@pytest.mark.parametrize("statement", ["UPDATE payments.timeline SET what = what", "DELETE FROM payments.timeline"])
async def test_the_story_cannot_be_rewritten(world: World, statement: str) -> None:
    import asyncpg

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with world.database.transaction() as tx:
            await tx.execute(statement)


async def test_what_the_payer_still_holds_is_not_given_up_before_its_end(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    """A form that nobody has posted yet is unknown to the channel, which cannot be told to refuse it either."""
    payment = await started(world, lifecycle, "test_card", payer={"token": "tok"})
    (request,) = (order.request for order in channel.orders.values())
    assert request.placed_at == payment.attempts[0].created_at
    channel.orders.clear()
    await lifecycle.close(payment)
    for _ in range(4):
        await sweep(world, lifecycle, timedelta(minutes=7))
    assert (await world.see(payment)).payment.attempts[0].is_open
    world.clock.advance(timedelta(minutes=40))
    for _ in range(3):
        await sweep(world, lifecycle, timedelta(hours=1))
    assert not (await world.see(payment)).payment.attempts[0].is_open
