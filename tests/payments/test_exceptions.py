"""Reports that do not fit are kept once and published, asked about with the cadence of doubt, and decided by two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import decode, encode
from hutong.payments import Payment, Payments, exceptions
from hutong.payments.exceptions.decisions import ExceptionNotDecidable
from hutong.payments.store import find_refunds, read_timeline, refunds_of
from support.fakes.channel import HonestChannel
from support.fixtures.exceptions import approve, propose
from support.fixtures.payments import AMOUNT, World, number, placed, sweep
from support.platform import VAULT

PROOF = {"x-proof": "genuine"}
TAKE, REFUND, IGNORE = exceptions.ExceptionDecision


@pytest.fixture
async def world(fresh_database_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world without neighbours, since all exceptions are listed and counted."""
    async with Database.open(fresh_database_url, size=8) as database:
        yield World(database, clock)


async def listed(world: World, **wanted: Any) -> list[exceptions.PaymentException]:
    async with world.database.transaction() as tx:
        return await exceptions.list_exceptions(tx, **wanted)


async def mismatched(
    world: World, lifecycle: Payments, channel: HonestChannel, amount_minor: int = AMOUNT - 1, currency: str = "CNY"
) -> Payment:
    """A payment of which the channel says that it has taken something else."""
    payment = await placed(world, lifecycle, validity=timedelta(days=1))
    order = channel.orders[number(payment)]
    order.state, order.captured_minor, order.currency = ChannelState.SUCCEEDED, amount_minor, currency
    return payment


async def decided(world: World, decision: exceptions.ExceptionDecision) -> None:
    (item,) = await listed(world)
    await approve(world, await propose(world, item, decision))


async def timeline_of(world: World, payment: Payment) -> list[str]:
    async with world.database.transaction() as tx:
        return [entry.what for _, entry in await read_timeline(tx, [payment.payment_id])]


async def test_two_hundred_copies_of_a_wrong_amount_are_one_exception_with_one_event_and_one_alarm(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    with capture_logs() as logs:
        answers = await asyncio.gather(
            *(lifecycle.notify(world.account_id, PROOF, number(payment).encode()) for _ in range(200))
        )
    assert {answer.status for answer in answers} == {204}, "it is kept, so the channel need not repeat it"
    (item,) = await listed(world)
    assert (item.kind, item.status, item.seen) == ("amount_mismatch", "open", 200)
    assert (item.amount_minor, item.expected_minor, item.currency) == (AMOUNT - 1, AMOUNT, "CNY")
    assert (item.payment_id, item.attempt_id) == (payment.payment_id, payment.attempts[0].attempt_id)
    stored = await world.see(payment)
    assert (stored.payment.status, stored.events) == ("processing", [(1, "payment.exception_opened")])
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["exception_opened"]
    assert await timeline_of(world, payment) == ["attempt.submitted", "exception.amount_mismatch"]
    await lifecycle.report_in_doubt()
    assert REGISTRY.get_sample_value("hutong_exceptions_open", {"kind": "amount_mismatch"}) == 1


async def test_the_message_is_kept_sealed_as_it_came(world: World, lifecycle: Payments, channel: HonestChannel) -> None:
    payment = await mismatched(world, lifecycle, channel)
    await lifecycle.notify(world.account_id, PROOF, number(payment).encode())
    (item,) = await listed(world)
    async with world.database.transaction() as tx:
        sealed = await exceptions.sealed_message(tx, item.exception_id)
    assert sealed is not None
    assert number(payment).encode() not in sealed
    assert exceptions.open_message(VAULT, item.account_id, item.number, sealed) == (PROOF, number(payment).encode())


async def test_a_payment_in_exception_is_asked_about_ever_less_often_and_is_on_the_list_of_doubts(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    for _ in range(60):
        await sweep(world, lifecycle, timedelta(minutes=1))
    asked = [call for call, about in channel.calls if call == "query" and about == number(payment)]
    assert 5 <= len(asked) <= 12, "5, 10, 30, 60 s … after each other, as about any doubt"
    assert (await lifecycle.report_in_doubt())["5 min to 1 h"] == 1
    (item,) = await listed(world)
    assert (item.source, item.seen) == ("query", len(asked))


async def test_what_is_taken_is_credited_with_the_amount_of_the_channel(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    await sweep(world, lifecycle)
    await decided(world, TAKE)
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.amount_captured_minor) == ("succeeded", AMOUNT - 1)
    assert [amount for _, amount, _, _ in stored.transfers] == [AMOUNT - 1]
    assert [name for _, name in stored.events] == [
        "payment.exception_opened", "payment.succeeded", "payment.exception_decided",
    ]  # fmt: skip
    assert (await timeline_of(world, payment))[-1] == "operator.exception_taken"
    (item,) = await listed(world)
    assert (item.status, item.decision_reason) == ("taken", "seen in the portal")


@pytest.mark.parametrize("amount_minor", [AMOUNT - 1, AMOUNT + 500])
async def test_what_is_refunded_goes_back_whole_and_the_payer_may_pay_again(
    world: World, lifecycle: Payments, channel: HonestChannel, amount_minor: int
) -> None:
    payment = await mismatched(world, lifecycle, channel, amount_minor)
    await sweep(world, lifecycle)
    await decided(world, REFUND)
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.amount_captured_minor) == ("requires_payment", 0)
    assert [credit for _, _, _, credit in stored.transfers] == [world.ledger_account(2202)]
    async with world.database.transaction() as tx:
        (refund,) = (await refunds_of(tx, [payment.payment_id]))[payment.payment_id]
    assert (refund.kind, refund.amount_minor) == ("surplus", amount_minor)


async def test_what_is_ignored_books_nothing_and_the_payment_ends(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel, currency="USD")
    await sweep(world, lifecycle)
    (item,) = await listed(world)
    assert (item.kind, item.currency, item.expected_currency) == ("currency_mismatch", "USD", "CNY")
    await decided(world, IGNORE)
    await sweep(world, lifecycle, timedelta(days=1))
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.attempts[0].state, stored.transfers) == ("closed", "closed", [])
    await lifecycle.notify(world.account_id, PROOF, number(payment).encode())
    (item,) = await listed(world)
    # Seen by the query before the decision, by the one that verifies the end a day later, and by the notification.
    assert (item.status, item.seen) == ("ignored", 3), "reported again, it stays decided"


async def test_what_was_ignored_before_any_payment_is_verified_a_day_later(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    order = channel.orders[number(payment)]
    order.captured_minor = AMOUNT - 1  # it does not fit, and nothing is paid
    await sweep(world, lifecycle)
    await decided(world, IGNORE)
    order.state, order.captured_minor = ChannelState.SUCCEEDED, AMOUNT  # paid after all, and no notification comes
    await sweep(world, lifecycle, timedelta(days=1, seconds=1))
    stored = await world.see(payment)
    assert [credit for _, _, _, credit in stored.transfers] == [world.ledger_account(2202)], "it goes back"


async def test_money_taken_after_the_end_is_found_though_the_message_about_it_does_not_fit(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    """The channel is asked at once: it took the money after the close, and told another amount."""
    payment = await placed(world, lifecycle)
    assert (await lifecycle.close(payment)).status == "closed"
    order = channel.orders[number(payment)]
    order.state, order.captured_minor = ChannelState.SUCCEEDED, AMOUNT - 1
    await lifecycle.notify(world.account_id, PROOF, number(payment).encode())
    order.captured_minor = AMOUNT
    assert (await world.see(payment)).transfers == []
    await sweep(world, lifecycle, timedelta(minutes=1))
    stored = await world.see(payment)
    assert [credit for _, _, _, credit in stored.transfers] == [world.ledger_account(2202)], "it goes back"
    (item,) = await listed(world)
    assert (item.status, item.seen) == ("open", 1), "the message waits for people"


@pytest.mark.parametrize("decision", [TAKE, REFUND])
async def test_another_currency_can_only_be_ignored(
    world: World, lifecycle: Payments, channel: HonestChannel, decision: exceptions.ExceptionDecision
) -> None:
    await mismatched(world, lifecycle, channel, currency="USD")
    await sweep(world, lifecycle)
    (item,) = await listed(world)
    with pytest.raises(ExceptionNotDecidable, match="another currency"):
        await propose(world, item, decision)


async def test_more_than_the_order_cannot_be_taken(world: World, lifecycle: Payments, channel: HonestChannel) -> None:
    payment = await mismatched(world, lifecycle, channel, AMOUNT + 1)
    await sweep(world, lifecycle)
    with pytest.raises(ExceptionNotDecidable, match="more than the order"):
        await decided(world, TAKE)
    assert (await world.see(payment)).payment.status == "processing", "the proposal has done nothing"
    (item,) = await listed(world)
    assert item.status == "open"


async def test_one_of_many_decisions_at_once_takes_effect(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    await sweep(world, lifecycle)
    (item,) = await listed(world)
    ids = [await propose(world, item, decision) for decision in (TAKE, REFUND, IGNORE, TAKE, REFUND, IGNORE)]
    results = await asyncio.gather(*(approve(world, each) for each in ids), return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert all(result is None or isinstance(result, ExceptionNotDecidable) for result in results)
    stored = await world.see(payment)
    assert len(stored.transfers) == (0 if stored.payment.attempts[0].state == "closed" else 1)


async def test_a_true_success_after_the_exception_counts_and_leaves_only_to_ignore(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    await sweep(world, lifecycle)
    channel.orders[number(payment)].captured_minor = AMOUNT
    await sweep(world, lifecycle)
    assert (await world.see(payment)).payment.status == "succeeded"
    with pytest.raises(ExceptionNotDecidable, match="succeeded by now"):
        await decided(world, TAKE)
    await decided(world, IGNORE)
    stored = await world.see(payment)
    assert (stored.payment.status, len(stored.transfers)) == ("succeeded", 1)


async def test_a_number_that_nobody_knows_is_kept_and_accepted(world: World, lifecycle: Payments) -> None:
    strange = encode("att", world.ids.new())
    for body in (strange, strange, "P20261129-17"):
        assert (await lifecycle.notify(world.account_id, PROOF, body.encode())).status == 204
    items = {item.number: item for item in await listed(world)}
    assert {name: (item.kind, item.seen) for name, item in items.items()} == {
        strange: ("unknown_number", 2), "P20261129-17": ("unknown_number", 1),
    }  # fmt: skip
    with pytest.raises(ExceptionNotDecidable, match="for an order"):
        await propose(world, items[strange], TAKE)


async def test_a_number_that_becomes_known_is_matched_and_its_report_recorded(
    world: World, lifecycle: Payments
) -> None:
    order = world.order()
    assert order.first_attempt is not None
    body = encode("att", order.first_attempt.attempt_id).encode()
    # A server that took over lacks the last commits: the channel is first, the merchant repeats the order later.
    object.__setattr__(order, "amount_minor", 1)
    await lifecycle.notify(world.account_id, PROOF, body)
    assert await lifecycle.match_exceptions() == 0
    (payment,) = await world.place(order)
    assert await lifecycle.match_exceptions() == 1
    assert (await world.see(payment)).payment.status == "succeeded"
    (item,) = await listed(world)
    assert (item.status, item.decided_by) == ("matched", "hutong")
    assert await lifecycle.match_exceptions() == 0


async def test_another_accounts_order_is_shown_to_operators_and_left_as_it_is(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await placed(world, lifecycle)
    other = World(world.database, world.clock, channel)
    await other.lifecycle.notify(other.account_id, PROOF, number(payment).encode())
    (item,) = await listed(world)
    assert (item.kind, item.about, item.payment_id) == ("other_account", About.PAYMENT, payment.payment_id)
    for decision in (TAKE, REFUND):
        with pytest.raises(ExceptionNotDecidable, match="for an order or a refund here"):
            await propose(world, item, decision)
    await decided(world, IGNORE)
    assert (await world.see(payment)).payment.status == "processing", "it is another account's, and goes on"
    await other.lifecycle.stop()


async def test_what_is_proven_and_cannot_be_read_is_kept_and_what_is_not_proven_is_not(
    world: World, lifecycle: Payments
) -> None:
    for _ in range(3):
        assert (await lifecycle.notify(world.account_id, {"x-proof": "unreadable"}, b"\xff\x00")).status == 204
    with pytest.raises(Exception, match="refused"):
        await lifecycle.notify(world.account_id, {}, b"forged")
    (item,) = await listed(world)
    assert (item.kind, item.reason, item.seen, item.number) == ("unreadable", "not proven", 3, "")


async def test_a_refund_of_another_amount_is_kept_and_asked_about_with_the_cadence(
    world: World, lifecycle: Payments, channel: HonestChannel
) -> None:
    payment = await mismatched(world, lifecycle, channel)
    await sweep(world, lifecycle)
    await decided(world, REFUND)
    async with world.database.transaction() as tx:
        (refund,) = (await refunds_of(tx, [payment.payment_id]))[payment.payment_id]
    wrong = Notification(
        refund.number, ChannelAnswer(ChannelState.SUCCEEDED, refund.amount_minor - 1, "CNY"), About.REFUND
    )
    assert await lifecycle.record_notification("test", world.account_id, wrong) == "mismatch"
    (item,) = [item for item in await listed(world) if item.about is About.REFUND]
    assert (item.kind, item.refund_id) == ("amount_mismatch", refund.refund_id)
    async with world.database.transaction() as tx:
        after = (await find_refunds(tx, [refund.refund_id]))[refund.refund_id]
    assert after.doubt_since == world.clock.now()
    assert after.next_query_at is not None
    assert after.next_query_at > world.clock.now()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reported=st.lists(st.tuples(st.integers(1, 2 * AMOUNT), st.sampled_from(["CNY", "USD"])), min_size=1, max_size=6),
    decision=st.sampled_from([TAKE, REFUND, IGNORE]),
)
async def test_whatever_is_reported_and_decided_no_more_is_credited_than_was_taken(
    world: World, reported: list[tuple[int, str]], decision: exceptions.ExceptionDecision
) -> None:
    payment = await mismatched(world, world.lifecycle, world.channel, *reported[0])
    for amount_minor, currency in reported:
        order = world.channel.orders[number(payment)]
        order.captured_minor, order.currency = amount_minor, currency
        await world.lifecycle.notify(world.account_id, PROOF, number(payment).encode())
    items = await listed(world, payment_id=payment.payment_id)
    wrong = {figures for figures in reported if figures != (AMOUNT, "CNY")}
    succeeded = (AMOUNT, "CNY") in reported
    assert len(items) == len(wrong), "one for each thing that was reported"
    assert sum(item.seen for item in items) == sum(figures in wrong for figures in reported)
    for item in items:
        try:
            await approve(world, await propose(world, item, decision))
        except ExceptionNotDecidable:
            continue
    stored = await world.see(payment)
    booked = sum(amount for _, amount, _, _ in stored.transfers)
    taken = [AMOUNT] if succeeded else [amount for amount, currency in wrong if currency == "CNY"]
    assert booked in {0, *taken}
    assert stored.payment.amount_captured_minor <= AMOUNT
    assert decode("att", number(payment)) == payment.attempts[0].attempt_id
