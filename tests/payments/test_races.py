"""Many at once on one payment, each in a transaction of its own: one effect."""

from __future__ import annotations

import asyncio

import pytest

from hutong.channels import ChannelState
from hutong.payments import PlaceOrder, Source
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.close import CloseOutcome
from support.fixtures.payments import METHOD, World


async def test_fifty_notifications_queries_and_closes_at_once_have_one_effect(world: World) -> None:
    payment = await world.payment(fee_ppm=6_000)
    (attempt,) = payment.attempts
    notices = [world.report(attempt, ChannelState.SUCCEEDED, Source.NOTIFICATION, key=b"%d" % n) for n in range(50)]
    queries = [world.report(attempt, ChannelState.SUCCEEDED) for _ in range(25)]
    closing = [world.close(payment) for _ in range(10)]
    recordings = [world.record(report) for pair in zip(notices, queries * 2, strict=True) for report in pair]
    results = await asyncio.gather(
        *(work for pair in zip(closing, recordings[:10], strict=True) for work in pair), *recordings[10:]
    )
    recorded = [answer[0] for answer in results if hasattr(answer[0], "contradicts")]
    assert [one.outcome for one in recorded].count(RecordOutcome.APPLIED) == 1
    assert {one.outcome for one in recorded} == {RecordOutcome.APPLIED, RecordOutcome.UNCHANGED}
    stored = await world.see(payment)
    assert stored.payment.status == "succeeded"
    assert stored.events == [(1, "payment.succeeded")]
    assert sorted(amount for _, amount, _, _ in stored.transfers) == [12, 1999]
    await world.books_balance()


async def test_the_very_same_notification_is_taken_once(world: World) -> None:
    payment = await world.payment()
    report = world.report(payment.attempts[0], ChannelState.PENDING, Source.NOTIFICATION, key=b"one message")
    effects = [result[0].outcome for result in await asyncio.gather(*(world.record(report) for _ in range(20)))]
    assert sorted(effects) == [RecordOutcome.APPLIED, *[RecordOutcome.REPLAYED] * 19]
    # Twice in one list as well.
    other = world.report(payment.attempts[0], ChannelState.PENDING, Source.NOTIFICATION, key=b"another message")
    assert [r.outcome for r in await world.record(other, other)] == [RecordOutcome.UNCHANGED, RecordOutcome.REPLAYED]


async def test_starts_at_once_make_one_attempt(world: World) -> None:
    payment = await world.payment(attempt=False)
    results = await asyncio.gather(
        *(world.start(payment) for _ in range(20)), *(world.start(payment, "m2") for _ in range(5))
    )
    outcomes = [result.outcome for result in results]
    assert outcomes.count("started") == 1
    assert set(outcomes) <= {"started", "running", "other_running"}
    assert len((await world.see(payment)).payment.attempts) == 1


async def test_a_start_and_a_close_at_once_never_leave_a_closed_payment_with_an_open_attempt(world: World) -> None:
    placed = await world.place(*(world.order(attempt=False) for _ in range(20)))
    await asyncio.gather(*(work for payment in placed for work in (world.start(payment), world.close(payment))))
    for stored in await world.stored(placed):
        assert (stored.payment.status == "closed") == (not stored.payment.attempts)
        assert stored.payment.close_requested_at is not None


async def test_orders_under_one_number_at_once_make_one_payment(world: World) -> None:
    orders = [world.order(merchant_order_no="race-1") for _ in range(20)]
    results = await asyncio.gather(*(world.transactions.place([PlaceOrder(order)]) for order in orders))
    assert sorted(answer.result.is_new for (answer,) in results) == [*[False] * 19, True]
    assert len({answer.result.payment.payment_id for (answer,) in results}) == 1


async def test_an_order_number_twice_in_one_list_makes_one_payment(world: World) -> None:
    first = world.order(merchant_order_no="twice-1")
    second = world.order(merchant_order_no="twice-1")
    other = world.order(merchant_order_no="twice-1", amount_minor=1)
    placed = await world.transactions.place([PlaceOrder(order) for order in (first, second, other)])
    results = [each.result for each in placed]
    assert [(result.is_new, result.payment is None) for result in results] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert len(results[1].payment.attempts) == 1
    assert results[1].payment.payment_id == first.payment_id


OTHER_CONTENT = [
    {"amount_minor": 1},
    {"currency": "JPY"},
    {"subject": "x"},
    {"return_url": "https://x"},
    {"cancel_url": "https://x"},
    {"metadata": {"a": "b"}},
]


@pytest.mark.parametrize("changed", OTHER_CONTENT, ids=str)
async def test_an_order_number_with_other_content_is_refused(world: World, changed: dict) -> None:
    first = world.order()
    await world.place(first)
    again = world.order(merchant_order_no=first.merchant_order_no, **changed)
    (placed,) = await world.transactions.place([PlaceOrder(again)])
    assert (placed.result.payment, placed.result.is_new) == (None, False)
    assert (await world.see(first)).payment.amount_minor == first.amount_minor


async def test_another_merchants_order_number_is_another_payment(world: World) -> None:
    first, second = world.order(), world.order(merchant_id=world.ids.new())
    await world.place(first, world.order(merchant_id=second.merchant_id, merchant_order_no=first.merchant_order_no))


async def test_another_accounts_report_does_not_reach_an_attempt(world: World) -> None:
    payment = await world.payment()
    attempt = payment.attempts[0]
    attempt.account_id = world.ids.new()
    (recorded,) = await world.record(world.report(attempt, ChannelState.SUCCEEDED))
    assert recorded.outcome is RecordOutcome.NOT_FOUND
    assert recorded.payment is None
    stored = await world.see(payment)
    assert (stored.payment.attempts[0].state, stored.events, stored.transfers) == ("created", [], [])


async def test_an_open_attempt_by_another_method_stands_in_the_way(world: World) -> None:
    payment = await world.payment(attempt=False)
    assert (await world.start(payment)).outcome == "started"
    assert (await world.start(payment, METHOD)).outcome == "running"
    assert (await world.start(payment, "another")).outcome == "other_running"


async def test_closing_waits_for_what_could_still_take_money(world: World) -> None:
    payment = await world.payment()
    assert [r.outcome for r in await world.close(payment)] == [CloseOutcome.CLOSING]
    assert (await world.see(payment)).payment.attempts[0].next_query_at == world.clock.now()
    await world.record(world.report(payment.attempts[0], ChannelState.CLOSED))
    assert [r.outcome for r in await world.close(payment, payment)] == [CloseOutcome.ALREADY_CLOSED] * 2
    assert (await world.see(payment)).events == [(1, "payment.closed")]
