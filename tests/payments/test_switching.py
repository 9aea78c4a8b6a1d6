"""A payer who changes their mind: an order that nobody has opened is left at once, and nobody pays twice for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hutong import payments
from hutong.channels import ActionKind, ChannelAnswer, ChannelState, OrderReference, PaymentMethod
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import encode
from hutong.merchants import Switching
from hutong.payments.errors import AttemptInProgress, PaymentAlreadySucceeded, PaymentNotPayable
from hutong.payments.switching import CASHIER_ORDER_LIFE, OPEN_ORDERS_MAX
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import REFUNDS, RefundingChannel, RefundWorld

METHODS = {
    "test_link": PaymentMethod(ActionKind.QR_CODE, action_life=timedelta(minutes=5)),  # as WeChat's H5
    "test_qr": PaymentMethod(ActionKind.QR_CODE, closes_unopened=False),  # as Alipay's
    "test_form": PaymentMethod(ActionKind.QR_CODE, closable=False, manual_capture=True),  # as UnionPay's
    "test_native": PaymentMethod(ActionKind.QR_CODE),  # as WeChat's
}
NOT_FOUND = ChannelAnswer(ChannelState.NOT_FOUND, channel_code="ORDER_NOT_EXIST")


@dataclass
class ShyChannel(RefundingChannel):
    """Orders by `test_qr` do not exist before a payer has opened them; orders by `test_form` cannot be closed."""

    opened: set[str] = field(default_factory=set)

    def open(self, attempt_no: str) -> None:
        self.opened.add(attempt_no)

    def payer_pays(self, attempt_no: str) -> None:
        self.open(attempt_no)
        super().payer_pays(attempt_no)

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        if order.method == "test_qr" and order.attempt_no not in self.opened and self.reachable:
            self.calls.append(("query", order.attempt_no))
            return NOT_FOUND
        return self._over(order, await super().query(order, now=now), now)

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        if order.method == "test_form":
            return await self.query(order, now=now)
        assert order.method != "test_qr" or order.attempt_no in self.opened, "it does not exist, so it is not closed"
        return await super().close(order, now=now)

    def _over(self, order: OrderReference, answer: ChannelAnswer, now: datetime) -> ChannelAnswer:
        """An order that has expired unpaid is closed."""
        known = self.orders.get(order.attempt_no)
        if answer.state is ChannelState.PENDING and known is not None and now >= known.request.expires_at:
            known.state = ChannelState.CLOSED
            return replace(answer, state=ChannelState.CLOSED)
        return answer

    def payable(self, attempt_no: str, now: datetime) -> bool:
        order = self.orders[attempt_no]
        return order.state is ChannelState.PENDING and now < order.request.expires_at


class SwitchingWorld(RefundWorld):
    channel: ShyChannel

    def __init__(self, database: Database, clock: ManualClock, rule: Switching = Switching.PERMISSIVE) -> None:
        super().__init__(database, clock)
        self.channel = ShyChannel(capabilities=replace(REFUNDS, methods=METHODS))
        self.restart(switching=rule.value)

    async def choose(self, payment: payments.Payment, method: str, **more: Any) -> payments.Payment:
        self.clock.advance(timedelta(milliseconds=1))
        return await self.lifecycle.start(payment, method, in_cashier=True, **more)

    async def settle_all(self) -> None:
        """Let everything end that is open: orders, and what is given back."""
        for _ in range(4):
            self.clock.advance(timedelta(minutes=20))
            await self.lifecycle.expire()
            await self.lifecycle.sweep()
            await self.lifecycle.refunds.sweep()

    async def money(self, payment: payments.Payment) -> tuple[int, int, int]:
        """What the channel took for a payment, what it gave back, and what the payment counts."""
        stored = await self.again(payment)
        numbers = {encode("att", attempt.attempt_id) for attempt in stored.attempts}
        taken = sum(AMOUNT for number in numbers if self.channel.orders[number].state is ChannelState.SUCCEEDED)
        refunds = await self.refunds(payment)
        return taken, sum(refund.amount_minor for refund in refunds), stored.amount_captured_minor


def numbers(payment: payments.Payment) -> list[str]:
    return [encode("att", attempt.attempt_id) for attempt in payment.attempts]


def states(payment: payments.Payment) -> list[tuple[str, str]]:
    return [(attempt.method, attempt.state.value) for attempt in payment.attempts]


@pytest.fixture
async def worlds(payments_database: Database, clock: ManualClock) -> AsyncIterator[Any]:
    made: list[SwitchingWorld] = []

    async def make(rule: Switching = Switching.PERMISSIVE) -> SwitchingWorld:
        made.append(SwitchingWorld(payments_database, clock, rule))
        await made[-1].quiet()
        return made[-1]

    yield make
    for world in made:
        await world.lifecycle.stop()
        await world.books_have_no_holds()


@pytest.mark.parametrize("first", ["test_qr", "test_form"])
async def test_an_order_that_nobody_has_opened_is_left_at_once(worlds: Any, first: str) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), first)
    payment = await world.choose(payment, "test_native")
    assert states(payment) == [(first, "submitted"), ("test_native", "submitted")]
    payment = await world.choose(payment, first)  # and back: a fresh code, and what could be closed is closed
    assert states(payment) == [(first, "submitted"), ("test_native", "closed"), (first, "submitted")]
    world.channel.payer_pays(numbers(payment)[2])
    await world.settle_all()
    assert [state for _, state in states(await world.again(payment))] == ["closed", "closed", "succeeded"]
    assert await world.money(payment) == (AMOUNT, 0, AMOUNT)


async def test_strict_waits_for_the_end_and_tells_how_long(worlds: Any) -> None:
    world = await worlds(Switching.STRICT)
    for first, wait in (("test_qr", timedelta(minutes=5)), ("test_form", CASHIER_ORDER_LIFE + timedelta(minutes=1))):
        payment = await world.choose(await world.payment(attempt=False), first)
        with pytest.raises(AttemptInProgress) as refusal:
            await world.choose(payment, "test_native")
        assert refusal.value.extensions == {
            "running": {"method": first, "wallet": "test", "wait_s": wait // timedelta(seconds=1)}
        }
        world.clock.advance(wait + timedelta(seconds=1))
        assert states(await world.choose(payment, "test_native")) == [(first, "closed"), ("test_native", "submitted")]


async def test_a_merchants_rule_comes_before_the_installations(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_qr")
    with pytest.raises(AttemptInProgress):
        await world.choose(payment, "test_native", switching=Switching.STRICT)
    assert (await world.choose(payment, "test_native", switching=Switching.PERMISSIVE)).attempts[-1].is_open


async def test_what_the_payer_has_opened_is_closed_first_and_what_is_paid_ends_it(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_qr")
    world.channel.open(numbers(payment)[0])
    payment = await world.choose(payment, "test_native")
    assert states(payment) == [("test_qr", "closed"), ("test_native", "submitted")]
    world.channel.payer_pays(numbers(payment)[1])
    with pytest.raises(PaymentNotPayable):
        await world.choose(payment, "test_form")


async def test_an_unreachable_channel_and_reserved_money_keep_the_payer_waiting(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_qr")
    world.channel.reachable = False
    with pytest.raises(AttemptInProgress):
        await world.choose(payment, "test_native")
    world.channel.reachable = True
    assert (await world.choose(payment, "test_native")).attempts[-1].state == "submitted"
    reserving = await world.payment(attempt=False, capture_method=payments.CaptureMethod.MANUAL)
    reserving = await world.choose(reserving, "test_form")
    world.channel.capabilities = replace(world.channel.capabilities, methods=METHODS | {"other": METHODS["test_form"]})
    with pytest.raises(AttemptInProgress):
        await world.choose(reserving, "other")


async def test_a_payment_has_a_bounded_number_of_open_orders(worlds: Any) -> None:
    world = await worlds()
    payment = await world.payment(attempt=False)
    for place in range(OPEN_ORDERS_MAX):
        payment = await world.choose(payment, ("test_qr", "test_form")[place % 2])
    with pytest.raises(AttemptInProgress):
        await world.choose(payment, "test_qr" if payment.attempts[-1].method == "test_form" else "test_form")
    assert len((await world.again(payment)).attempts) == OPEN_ORDERS_MAX


@pytest.mark.parametrize("first", ["test_qr", "test_form", "test_native"])
async def test_a_code_that_has_expired_is_replaced_by_a_fresh_one(worlds: Any, first: str) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), first)
    life = payment.attempts[0].expires_at - payment.attempts[0].created_at
    assert (life == CASHIER_ORDER_LIFE) is (first != "test_native")
    same = await world.choose(payment, first)
    assert len(same.attempts) == 1
    world.clock.advance(life + timedelta(seconds=1))
    if first == "test_native":  # it lives as long as the payment
        with pytest.raises(PaymentNotPayable):
            await world.choose(payment, first)
    else:
        renewed = await world.choose(payment, first)
        assert len(renewed.attempts) == 2
        assert renewed.attempts[1].action_content != renewed.attempts[0].action_content


async def test_a_link_that_ends_before_its_order_is_renewed(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_link")
    assert payment.attempts[0].expires_at == payment.attempts[0].created_at + timedelta(minutes=5)
    world.clock.advance(timedelta(minutes=5))
    renewed = await world.choose(payment, "test_link")
    assert states(renewed) == [("test_link", "closed"), ("test_link", "submitted")]
    world.clock.advance(timedelta(seconds=1))
    by_api = await world.lifecycle.start(await world.payment(attempt=False), "test_link")
    assert by_api.attempts[0].expires_at == by_api.expires_at  # a merchant's own page renews by itself


@pytest.mark.parametrize("first", ["test_qr", "test_form"])
async def test_an_order_that_only_has_to_expire_is_not_in_doubt(worlds: Any, first: str) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), first)
    payment = await world.choose(payment, "test_native")
    assert payment.attempts[0].close_requested_at is not None
    for _ in range(3):
        world.clock.advance(timedelta(seconds=70))
        await world.lifecycle.sweep()
        assert (await world.again(payment)).attempts[0].doubt_since is None
    world.channel.reachable = False
    world.clock.advance(timedelta(minutes=6))
    await world.lifecycle.sweep()
    left = (await world.again(payment)).attempts[0]
    assert left.is_open
    assert left.doubt_since == left.close_requested_at
    world.channel.reachable = True


@pytest.mark.parametrize("first", ["test_qr", "test_form"])
async def test_a_merchants_close_is_done_within_ten_minutes(worlds: Any, first: str) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), first)
    world.clock.advance(timedelta(seconds=10))
    closing = await world.lifecycle.close(payment)
    assert closing.is_open
    for _ in range(590):  # as the worker does, every second
        world.clock.advance(timedelta(seconds=1))
        if (await world.again(payment)).attempts[0].next_query_at <= world.clock.now():
            await world.lifecycle.sweep()
            if not (await world.again(payment)).is_open:
                break
    assert (await world.again(payment)).status == "closed"


async def test_both_orders_paid_at_once_count_once_and_the_other_goes_back_once(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_qr")
    payment = await world.choose(payment, "test_form")
    for number in numbers(payment):
        world.channel.payer_pays(number)
    reports = [
        world.report(attempt, ChannelState.SUCCEEDED, key=b"%d" % n) for attempt in payment.attempts for n in range(10)
    ]
    await asyncio.gather(*(world.record(report) for report in reports))
    await world.settle_all()
    assert sorted(a.surplus for a in (await world.again(payment)).attempts) == [False, True]
    assert await world.money(payment) == (2 * AMOUNT, AMOUNT, AMOUNT)


async def test_the_success_of_an_order_that_was_left_ends_the_other_at_once(worlds: Any) -> None:
    world = await worlds()
    payment = await world.choose(await world.payment(attempt=False), "test_qr")
    payment = await world.choose(payment, "test_native")
    world.channel.payer_pays(numbers(payment)[0])
    await world.record(world.report(payment.attempts[0], ChannelState.SUCCEEDED))
    await world.lifecycle.sweep()
    assert states(await world.again(payment)) == [("test_qr", "succeeded"), ("test_native", "closed")]


@pytest.mark.parametrize("rule", list(Switching))
async def test_a_switch_that_races_with_the_payers_success_never_credits_twice(worlds: Any, rule: Switching) -> None:
    world = await worlds(rule)
    placed = [await world.choose(await world.payment(attempt=False), "test_qr") for _ in range(8)]

    async def pay(payment: payments.Payment) -> None:
        world.channel.payer_pays(numbers(payment)[0])
        await world.record(world.report(payment.attempts[0], ChannelState.SUCCEEDED, key=payment.payment_id.bytes))

    async def switch(payment: payments.Payment, method: str) -> None:
        try:
            switched = await world.lifecycle.start(payment, method, in_cashier=True)
        except (AttemptInProgress, PaymentNotPayable):
            return
        last = switched.attempts[-1]
        if last.method == method and last.is_open:
            world.channel.payer_pays(encode("att", last.attempt_id))

    await asyncio.gather(
        *(
            work
            for payment in placed
            for work in (switch(payment, "test_native"), pay(payment), switch(payment, "test_form"))
        )
    )
    await world.settle_all()
    for payment in placed:
        taken, returned, counted = await world.money(payment)
        assert counted == AMOUNT
        assert taken - returned == counted


CHOICES = st.tuples(st.just("choose"), st.sampled_from(sorted(METHODS)))
STEPS = st.builds(
    lambda first, then: [*first, *then],
    st.lists(CHOICES, min_size=1, max_size=3),
    st.lists(
        st.one_of(
            CHOICES,
            st.tuples(st.sampled_from(["open", "pay", "pay", "pay", "notify"]), st.integers(0, 3)),
            st.tuples(st.sampled_from(["sweep", "close", "wait"]), st.integers(1, 6)),
        ),
        max_size=10,
    ),
)


DOUBLE = [("choose", "test_qr"), ("choose", "test_form"), ("pay", 0), ("pay", 1)]


@example(rule=Switching.PERMISSIVE, steps=[*DOUBLE, ("sweep", 1)])
@example(rule=Switching.PERMISSIVE, steps=[*DOUBLE, ("notify", 1), ("close", 1), ("notify", 0)])
@example(rule=Switching.PERMISSIVE, steps=[*DOUBLE[:2], ("choose", "test_link"), ("pay", 0), ("pay", 1), ("pay", 2)])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule=st.sampled_from(Switching), steps=STEPS)
async def test_whatever_payers_choose_open_and_pay_one_success_counts_and_every_other_goes_back_once(
    worlds: Any, rule: Switching, steps: list[tuple[str, Any]]
) -> None:
    world = await worlds(rule)
    payment = await world.payment(attempt=False)
    for step, value in steps:
        payment = await world.again(payment)
        sent = [number for number in numbers(payment) if number in world.channel.orders]
        chosen = sent[value % len(sent)] if sent and isinstance(value, int) else None
        if step == "choose":
            with suppress(AttemptInProgress, PaymentNotPayable):
                await world.choose(payment, value)
        elif step == "open" and chosen:
            world.channel.open(chosen)
        elif step == "pay" and chosen and world.channel.payable(chosen, world.clock.now()):
            world.channel.payer_pays(chosen)
        elif step == "notify" and chosen and world.channel.orders[chosen].state is ChannelState.SUCCEEDED:
            attempt = payment.attempts[numbers(payment).index(chosen)]
            await world.record(world.report(attempt, ChannelState.SUCCEEDED))
        elif step == "wait":
            world.clock.advance(timedelta(minutes=value))
        elif step == "sweep":
            await world.lifecycle.sweep()
        elif step == "close" and payment.is_open:
            with suppress(PaymentAlreadySucceeded):
                await world.lifecycle.close(payment)
    await world.settle_all()
    taken, returned, counted = await world.money(payment)
    stored = await world.again(payment)
    assert not stored.open_attempts
    # An order that the platform had given up and that was paid afterwards is found a day later.
    world.clock.advance(timedelta(days=1, hours=1))
    await world.settle_all()
    taken, returned, counted = await world.money(payment)
    assert counted == (AMOUNT if stored.status == "succeeded" else 0)
    assert taken - returned == counted
    assert (await world.balances())[2001][0] == counted
