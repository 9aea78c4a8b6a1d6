"""Thin events: what they name is fetched and read as a snapshot is, and nothing is taken without an answer."""

from __future__ import annotations

from typing import Any

import pytest

from hutong.channels import About, ChannelState, Notification, NotificationRefused, OrderReference
from support.stripe_world import World

THIN = {"named_only": True}


async def paid(world: World, receiver: Any, notify: dict[str, Any]) -> tuple[OrderReference, Notification]:
    """Return an order that is paid in 3-D Secure, and the notification of that as it is parsed."""
    order, _ = await world.pay("pm_card_threeDSecure2Required", notify_url=receiver.url)
    await world.control.post("pay", order_no=order.attempt_no, notify=notify)
    headers, body = await receiver.taken.get()
    return order, world.stripe.parse_notification(headers, body, now=world.now)


async def test_the_named_payment_is_fetched_and_read_as_a_snapshot_is(world: World, receiver: Any) -> None:
    order, named = await paid(world, receiver, THIN)
    assert (named.number, named.is_named_only) == (order.channel_order_no, True)
    whole = await world.stripe.complete_notification(named, now=world.now)
    assert whole is not None
    assert (whole.number, whole.about, whole.is_named_only) == (order.attempt_no, About.PAYMENT, False)
    assert whole.answer == await world.stripe.query(order, now=world.now)


async def test_a_named_refund_is_fetched(world: World, receiver: Any) -> None:
    order, _ = await paid(world, receiver, {})
    await world.control.post("portal", order_no=order.attempt_no, amount_minor=700, notify=THIN)
    headers, body = await receiver.taken.get()
    named = world.stripe.parse_notification(headers, body, now=world.now)
    whole = await world.stripe.complete_notification(named, now=world.now)
    assert whole is not None
    assert (whole.about, whole.channel_order_no, whole.answer.amount_minor) == (
        About.REFUND, order.channel_order_no, 700,
    )  # fmt: skip


async def test_what_stripe_does_not_know_is_set_aside(world: World) -> None:
    answer = (await world.pay())[1]
    for number in ("pi_absent", "cs_test_absent", "re_absent", "pyr_absent"):
        whole = await world.stripe.complete_notification(
            Notification(number, answer, is_named_only=True), now=world.now
        )
        assert whole is not None
        assert whole.about is About.NOTHING


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("dropped", None), ("malformed", None), ("error", None), ("unsigned", None), ("other_order", "set aside")],
)
async def test_a_named_payment_without_a_proven_answer_is_not_taken(
    world: World, receiver: Any, kind: str, outcome: str | None
) -> None:
    order, named = await paid(world, receiver, THIN)
    await world.control.post("next", interface="query", kind=kind, match=order.attempt_no, times=2)
    if outcome is None:
        assert await world.stripe.complete_notification(named, now=world.now) is None
        return
    # Another number in it: money that moved for somebody else is kept for a person, under that number.
    whole = await world.stripe.complete_notification(named, now=world.now)
    assert whole is not None
    assert (whole.number, whole.answer.state) == ("another_order_no", ChannelState.SUCCEEDED)


async def test_an_event_of_a_connected_account_is_never_ours(world: World, receiver: Any) -> None:
    for notify in ({"other_account": True}, THIN | {"other_account": True}):
        _, notice = await paid(world, receiver, notify)
        assert (notice.about, notice.number, notice.is_named_only) == (About.NOTHING, "", False)


async def test_a_forged_thin_event_is_refused(world: World, receiver: Any) -> None:
    order, _ = await world.pay("pm_card_threeDSecure2Required", notify_url=receiver.url)
    await world.control.post("pay", order_no=order.attempt_no, notify=THIN)
    headers, body = await receiver.taken.get()
    with pytest.raises(NotificationRefused):
        world.stripe.parse_notification(headers, body.replace(b"pi_", b"re_"), now=world.now)
