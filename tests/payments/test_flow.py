"""Intent, commit, call, outcome: whatever dies or is lost in between, the truth of the channel is found again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from hutong import idempotency, payments
from hutong.channels import ChannelState, NotificationRefused
from hutong.errors import NotFound, Unavailable
from hutong.idempotency.keys import claim as claim_keys
from hutong.ids import encode
from hutong.payments import Payments, PlaceOrder
from hutong.payments.errors import (
    MethodUnknown,
    NoRoute,
    NotificationReplayed,
    PaymentAlreadySucceeded,
    PaymentNotPayable,
)
from support.fakes.channel import CAPABILITIES, HonestChannel
from support.fixtures.payments import METHOD, World, number, placed, repeated, sweep


async def test_a_crash_between_intent_and_call_is_healed_by_sending_the_same_number(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await world.payment()  # written down and committed; the process dies here
    assert channel.calls == []
    await sweep(world, lifecycle)
    assert [call for call, _ in channel.calls] == ["query", "pay"]
    attempt = (await world.see(payment)).payment.attempts[0]
    assert (attempt.state, attempt.action_content) == ("submitted", f"qr:{number(payment)}")
    assert channel.orders[number(payment)].request.notify_url.startswith("https://pay.example/channels/acc_")


async def test_a_crash_between_call_and_outcome_is_healed_by_asking(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.replies = False
    payment = await placed(world, lifecycle)
    assert payment.attempts[0].state == "unknown"
    channel.payer_pays(number(payment))
    channel.replies = True
    await sweep(world, lifecycle)
    stored = await world.see(payment)
    assert stored.payment.status == "succeeded"
    assert stored.events == [(1, "payment.succeeded")]
    assert [call for call, _ in channel.calls] == ["pay", "query"]


async def test_a_lost_reply_to_an_unpaid_order_gets_its_code_by_sending_the_same_number_again(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.replies = False
    payment = await placed(world, lifecycle)
    channel.replies = True
    await sweep(world, lifecycle)
    assert (await world.see(payment)).payment.attempts[0].action_content == f"qr:{number(payment)}"
    assert list(channel.orders) == [number(payment)]


async def test_an_unreachable_channel_leaves_the_attempt_in_doubt_and_on_the_list(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.reachable = False
    payment = await placed(world, lifecycle, validity=timedelta(days=1))
    for _ in range(4):
        await sweep(world, lifecycle, timedelta(hours=1))
        attempt = (await world.see(payment)).payment.attempts[0]
        assert attempt.state == "unknown"
        assert attempt.next_query_at is not None
    # No other number and no other method as long as this one may have taken the money.
    assert (await world.start(payment, "another")).outcome == "other_running"


async def test_not_found_proves_nothing_right_after_submission(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.capabilities = replace(CAPABILITIES, resubmits=False)
    payment = await world.payment()
    await world.close(payment)
    await sweep(world, lifecycle, timedelta(minutes=4))
    assert (await world.see(payment)).payment.status == "processing"
    await sweep(world, lifecycle, timedelta(minutes=2))
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.attempts[0].state) == ("closed", "closed")


async def test_an_attempt_that_never_reached_a_channel_does_not_block_the_payer_for_days(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.capabilities = replace(CAPABILITIES, resubmits=False)
    payment = await world.payment()
    await sweep(world, lifecycle, timedelta(minutes=4))
    assert (await world.see(payment)).payment.status == "processing"
    await sweep(world, lifecycle, timedelta(minutes=2))
    assert (await world.see(payment)).payment.status == "requires_payment"
    assert (await world.start(payment)).outcome == "started"


async def test_what_a_channel_had_taken_is_not_given_up_when_it_forgets_it(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    channel.capabilities = replace(CAPABILITIES, resubmits=False)
    payment = await placed(world, lifecycle, validity=timedelta(days=1))
    assert payment.attempts[0].state == "submitted"
    channel.orders.clear()
    await sweep(world, lifecycle, timedelta(hours=1))
    assert (await world.see(payment)).payment.attempts[0].state == "submitted"


async def test_a_close_that_the_channel_confirms(world: World, lifecycle: Payments, channel: HonestChannel) -> None:
    payment = await placed(world, lifecycle)
    closed = await lifecycle.close(payment)
    assert closed.status == "closed"
    assert [call for call, _ in channel.calls] == ["pay", "query", "close"]


async def test_a_close_finds_the_payment_paid_meanwhile(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    channel.payer_pays(number(payment))
    with pytest.raises(PaymentAlreadySucceeded):
        await lifecycle.close(payment)
    assert (await world.see(payment)).events == [(1, "payment.succeeded")]


async def test_a_payer_who_pays_between_the_question_and_the_close_has_paid(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    channel.before_close = lambda: channel.payer_pays(number(payment))
    with pytest.raises(PaymentAlreadySucceeded):
        await lifecycle.close(payment)
    stored = await world.see(payment)
    assert (stored.payment.status, len(stored.transfers)) == ("succeeded", 1)


async def test_a_close_at_an_unreachable_channel_is_done_by_the_sweep(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    channel.reachable = False
    closing = await lifecycle.close(payment)
    assert (closing.status, closing.close_reason) == ("processing", "merchant")
    with pytest.raises(PaymentNotPayable):
        await lifecycle.start(payment, METHOD)
    channel.reachable = True
    await sweep(world, lifecycle)
    assert (await world.see(payment)).payment.status == "closed"


async def test_a_close_does_not_fail_although_asking_the_channel_does(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)

    async def broken(attempt_no: str, *, now: object) -> Any:
        raise RuntimeError("a bug in an adapter")

    query, channel.query = channel.query, broken  # type: ignore[method-assign]
    assert (await lifecycle.close(payment)).status == "processing"
    await sweep(world, lifecycle)
    channel.query = query  # type: ignore[method-assign]
    await sweep(world, lifecycle)
    assert (await world.see(payment)).payment.status == "closed"


async def test_the_sweep_ends_what_is_past_its_end(world: World, lifecycle: Payments, channel: HonestChannel) -> None:
    unpaid = await placed(world, lifecycle, validity=timedelta(minutes=5))
    paid = await placed(world, lifecycle, validity=timedelta(minutes=5))
    never = await world.payment(attempt=False, validity=timedelta(minutes=5))
    channel.payer_pays(number(paid))
    await sweep(world, lifecycle, timedelta(minutes=6))
    await sweep(world, lifecycle)
    states = [(s.payment.status, s.payment.close_reason) for s in await world.stored([unpaid, paid, never])]
    assert states[0] == states[2] == ("closed", "expired")
    assert states[1][0] == "succeeded"


async def test_one_attempts_trouble_does_not_stop_the_others(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    bad, good = await placed(world, lifecycle), await placed(world, lifecycle)
    channel.payer_pays(number(good))
    del channel.orders[number(bad)]
    query = channel.query

    async def broken(order: Any, *, now: Any) -> Any:
        if order.attempt_no == number(bad):
            raise RuntimeError("a bug in an adapter")
        return await query(order, now=now)

    channel.query = broken  # type: ignore[method-assign]
    await sweep(world, lifecycle)
    assert (await world.see(good)).payment.status == "succeeded"
    assert (await world.see(bad)).payment.attempts[0].next_query_at is not None


async def test_two_workers_do_not_ask_about_the_same_attempt_at_once(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    world.clock.advance(timedelta(seconds=6))
    await lifecycle.expire()
    await lifecycle.sweep()
    await lifecycle.expire()
    await lifecycle.sweep()
    assert channel.calls.count(("query", number(payment))) == 1


async def test_a_payer_who_asks_twice_gets_one_attempt(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await world.payment(attempt=False)
    first = await lifecycle.start(payment, METHOD)
    second = await lifecycle.start(payment, METHOD)
    assert [a.attempt_id for a in first.attempts] == [a.attempt_id for a in second.attempts]
    assert len(channel.orders) == 1


async def test_a_method_that_nobody_offers_is_refused_before_anything_is_written(
    world: World, lifecycle: Payments
) -> None:
    payment = await world.payment(attempt=False)
    with pytest.raises(MethodUnknown) as refusal:
        await lifecycle.start(payment, "another")
    assert refusal.value.extensions == {"methods": ("test_barcode", "test_card", "test_qr")}
    with pytest.raises(NoRoute, match="no account for it"):  # an installed channel has it, and no account does
        await lifecycle.start(payment, "wechat_native")
    assert (await world.see(payment)).payment.attempts == []


async def test_a_notification_books_once_and_only_for_its_account(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    channel.payer_pays(number(payment))
    body, proof = number(payment).encode(), {"x-proof": "genuine"}
    with pytest.raises(NotificationRefused):
        await lifecycle.notify(world.account_id, {}, body)
    with pytest.raises(NotFound):
        await lifecycle.notify(world.ids.new(), proof, body)
    await lifecycle.notify(world.account_id, proof, encode("att", world.ids.new()).encode())  # kept as an exception
    assert (await world.see(payment)).events == []
    assert (await lifecycle.notify(world.account_id, proof | {"x-key": "1"}, body)).status == 204
    assert (await lifecycle.notify(world.account_id, proof | {"x-key": "2"}, body)).status == 204
    with pytest.raises(NotificationReplayed):
        await lifecycle.notify(world.account_id, proof | {"x-key": "2"}, body)
    stored = await world.see(payment)
    assert (stored.events, len(stored.transfers)) == ([(1, "payment.succeeded")], 1)


async def test_a_late_notification_after_the_end_is_surplus(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    await lifecycle.close(payment)
    channel.payer_pays(number(payment))
    await lifecycle.notify(world.account_id, {"x-proof": "genuine"}, number(payment).encode())
    stored = await world.see(payment)
    assert stored.events == [(1, "payment.closed"), (2, "payment.surplus_received")]
    assert [credit for _, _, _, credit in stored.transfers] == [world.ledger_account(2202)]


async def test_tidying_keeps_what_may_still_be_replayed(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    message = ({"x-proof": "genuine", "x-key": "k"}, number(payment).encode())
    await lifecycle.notify(world.account_id, *message)
    world.clock.advance(timedelta(minutes=11))  # twice the window in which a signature is taken
    await lifecycle.tidy()
    with pytest.raises(NotificationReplayed):
        await lifecycle.notify(world.account_id, *message)
    world.clock.advance(timedelta(minutes=30))
    await lifecycle.tidy()
    async with world.database.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM payments.notice WHERE account_id = $1", world.account_id) == 0


async def test_tidying_forgets_every_key_that_has_had_its_time(world: World, lifecycle: Payments) -> None:
    claims = [idempotency.Claim(world.merchant_id, str(number), bytes(32)) for number in range(1001)]
    kept = idempotency.Claim(world.merchant_id, "later", bytes(32))
    async with world.database.transaction() as tx:
        await claim_keys(tx, claims, now=world.clock.now())
    world.clock.advance(timedelta(days=7, seconds=1))
    async with world.database.transaction() as tx:
        await claim_keys(tx, [kept], now=world.clock.now())
    await lifecycle.tidy()
    async with world.database.transaction() as tx:
        left = await tx.fetch("SELECT key FROM idempotency.key WHERE owner_id = $1", world.merchant_id)
    assert [row["key"] for row in left] == ["later"]


@pytest.mark.parametrize(
    ("validity", "sent"),
    [
        (timedelta(seconds=61), timedelta(seconds=61)),
        (timedelta(seconds=30), timedelta(minutes=1)),
        (timedelta(days=15), timedelta(hours=2)),
    ],
    ids=["in between", "less than the channel takes", "more than the channel takes"],
)
async def test_the_channel_gets_the_expiry_within_its_own_limits(
    world: World, lifecycle: Payments, channel: HonestChannel, validity: timedelta, sent: timedelta
) -> None:
    payment = await placed(world, lifecycle, validity=validity)
    assert channel.orders[number(payment)].request.expires_at == payment.attempts[0].created_at + sent


async def test_a_simulated_channel_is_never_taken_for_a_real_one(world: World) -> None:
    playing = world.new_process(sandbox=True).lifecycle
    with pytest.raises(NoRoute):
        wanted_route = payments.RouteRequest(METHOD, 100, "CNY", merchant_id=world.merchant_id, merchant_order_no="1")
        await playing.route_selector.choose(wanted_route)
    assert await playing.route_selector.methods(100, "CNY") == []
    await playing.stop()


async def test_a_method_is_offered_in_its_own_currencies_only(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    selector, can = lifecycle.route_selector, channel.capabilities
    for currencies, offered in ((frozenset(), [METHOD]), (frozenset({"CNY"}), [METHOD]), (frozenset({"USD"}), [])):
        methods = {METHOD: replace(can.methods[METHOD], currencies=currencies)}
        channel.capabilities = replace(can, currencies=frozenset({"CNY", "USD"}), methods=methods)
        assert [offer.name for offer in await selector.methods(100, "CNY")] == offered
    wanted_route = payments.RouteRequest(METHOD, 100, "CNY", merchant_id=world.merchant_id, merchant_order_no="1")
    with pytest.raises(NoRoute, match="currency_not_offered"):
        await selector.choose(wanted_route)


async def test_a_message_that_only_names_its_payment_is_recorded_once_it_is_fetched(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    channel.orders[number(payment)].state = ChannelState.SUCCEEDED
    named, body = {"x-proof": "genuine", "x-named": "1"}, number(payment).encode()
    channel.reachable = False
    for _ in range(2):
        with pytest.raises(Unavailable):
            await lifecycle.notify(world.account_id, named, body)
    assert (await world.see(payment)).payment.status == "processing"
    channel.reachable = True
    for _ in range(2):
        assert (await lifecycle.notify(world.account_id, named, body)).status == channel.acceptance.status
    assert (await world.see(payment)).payment.status == "succeeded"


async def test_a_key_without_an_answer_gets_a_permanent_one_even_when_its_order_can_no_longer_be_placed(
    world: World, lifecycle: Payments
) -> None:
    claim = idempotency.Claim(world.merchant_id, "late", b"f" * 32)
    order = PlaceOrder(world.order(validity=timedelta(minutes=2)), claim)
    await world.transactions.place([order])  # the process dies before it has answered
    world.clock.advance(timedelta(minutes=3))
    first = await repeated(lifecycle, order)
    assert first is not None
    await sweep(world, lifecycle)
    await sweep(world, lifecycle)
    assert orjson.loads(first[1])["status"] == "processing"
    assert await repeated(lifecycle, order) == first
