"""A merchant who repeats what was adopted after a restore gets what was adopted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_catch_up import RestoredWorld
from test_numbers import order_of

from hutong import idempotency, payments
from hutong.channels import OrderReference, PayRequest, RefundRequest
from hutong.clock import ManualClock
from hutong.customers import Customer
from hutong.db import Database
from hutong.errors import HutongError
from hutong.ids import encode
from hutong.payments import CaptureMethod, Payment
from hutong.payments.errors import OrderNoReused
from hutong.payments.items import LineItem
from hutong.payments.refunds.errors import RefundNoReused
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.restored import LostOrder
from support import create_database
from support.fixtures.payments import AMOUNT, METHOD, answered

UNKNOWN_TO_ADOPTION: dict[str, st.SearchStrategy[Any]] = {
    "subject": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=127),
    "return_url": st.none() | st.just("https://shop.example/back"),
    "cancel_url": st.none() | st.just("https://shop.example/cart"),
    "metadata": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1"])),
    "capture_method": st.sampled_from(CaptureMethod),
    "customer": st.none() | st.just(Customer("c-1", "A payer", None)),
    "items": st.sampled_from([(), (LineItem("tea", "Tea", 1, AMOUNT, AMOUNT),)]),
}


class AdoptingWorld(RestoredWorld):
    """A restored world whose channel knows orders and refunds that the database has lost."""

    async def adopted(self, number: str, *, amount_minor: int = AMOUNT, capture: bool = True) -> Payment:
        """Lose an order that was paid, and adopt it."""
        at_channel = encode("att", self.ids.derive("attempt", self.merchant_id, number, self.account_id, 1))
        now = self.clock.now()
        request = PayRequest(at_channel, METHOD, amount_minor, "CNY", "Tea", now + timedelta(hours=1), "")
        await self.channel.pay(replace(request, capture=capture), now=now)
        self.channel.payer_pays(at_channel)
        self.channel.calls.clear()
        await self.reported_by_channel(at_channel)
        return await self.adoption().adopt_order(at_channel, LostOrder(self.merchant_id, number, METHOD, 6_000))

    async def adopted_refund(self, payment: Payment, refund_no: str, amount_minor: int) -> str:
        """Lose a refund that was made, and adopt it; returns its number."""
        number = encode("ref", self.ids.derive("refund", self.merchant_id, refund_no))
        now = self.clock.now()
        (attempt,) = payment.attempts
        order = OrderReference(encode("att", attempt.attempt_id), METHOD, payment.amount_minor, "CNY", now, None, None)
        await self.channel.refund(RefundRequest(number, order, amount_minor, "damaged", "", now), now=now)
        notice = self.channel.refund_notice(number)
        parse, self.channel.parse_notification = self.channel.parse_notification, lambda *_a, **_n: notice  # type: ignore[method-assign]
        await self.reported_by_channel(number)
        self.channel.parse_notification = parse  # type: ignore[method-assign]
        self.channel.calls.clear()
        await self.adoption().adopt_refund(number, payment, refund_no, returns_fee=True)
        return number

    async def written(self) -> tuple[Any, ...]:
        """What no repetition may change."""
        async with self.database.transaction() as tx:
            tables = ("payments.payment", "payments.attempt", "payments.refund", "ledger.transfer", "events.outbox")
            return tuple([[dict(row) for row in await tx.fetch(f"SELECT * FROM {t} ORDER BY 1, 2")] for t in tables])


@pytest.fixture
async def world(server_url: str, template_url: str, clock: ManualClock) -> AsyncIterator[AdoptingWorld]:
    async with Database.open(create_database(server_url, template_url), size=16) as database:
        world = AdoptingWorld(database, clock)
        await world.restore(database)
        yield world
        assert world.sent() == [], "the channel knows it, so nothing is sent"
        await world.books_balance()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    details=st.fixed_dictionaries(UNKNOWN_TO_ADOPTION),
    other=st.sampled_from([{}, {"amount_minor": AMOUNT - 1}, {"amount_minor": AMOUNT + 1}, {"currency": "JPY"}]),
    keyed=st.booleans(),
)
async def test_a_repeated_order_gets_the_adopted_payment_whatever_adoption_cannot_know(
    world: AdoptingWorld, details: dict[str, Any], other: dict[str, Any], keyed: bool
) -> None:
    if not (page := await _page(world)):
        page = [await world.adopted("order-1")]
    (adopted,) = page
    before = await world.written()
    claim = idempotency.Claim(world.merchant_id, str(world.ids.new()), b"1" * 32) if keyed else None
    order = replace(await order_of(world, "order-1", **details | other), claim=claim)
    for _ in range(2):
        if other:
            with pytest.raises(OrderNoReused):
                await answered(world.lifecycle, order)
        else:
            status, body = await answered(world.lifecycle, order)
            assert (status, orjson.loads(body)["id"]) == (200, encode("pay", adopted.payment_id))
    assert await world.written() == before


async def _page(world: AdoptingWorld) -> list[Payment]:
    async with world.database.transaction() as tx:
        return await payments.list_payments(tx, world.merchant_id, merchant_order_no="order-1", limit=1)


async def test_what_was_not_adopted_is_still_compared_in_whole(world: AdoptingWorld) -> None:
    payment = await world.payment()
    order = await order_of(world, payment.merchant_order_no, subject="another")
    with pytest.raises(OrderNoReused):
        await answered(world.lifecycle, order)
    refunded = await world.paid()
    await world.refund(refunded, 500, merchant_refund_no="back")
    with pytest.raises(RefundNoReused):
        await world.answered(refunded, RefundOrder("back", 500, "another reason"))
    world.channel.calls.clear()


async def test_two_hundred_repetitions_at_once_in_several_processes_get_the_one_payment(world: AdoptingWorld) -> None:
    adopted = await world.adopted("order-race")
    before = await world.written()
    processes = [world.new_process().lifecycle for _ in range(4)]
    orders = [await order_of(world, "order-race", subject=f"copy {n % 7}") for n in range(200)]
    bodies = await asyncio.gather(*(answered(processes[n % 4], order) for n, order in enumerate(orders)))
    assert {(status, orjson.loads(body)["id"]) for status, body in bodies} == {(200, encode("pay", adopted.payment_id))}
    assert await world.written() == before


async def test_repetitions_during_the_adoption_make_one_payment_that_is_paid_once(world: AdoptingWorld) -> None:
    processes = [world.new_process().lifecycle for _ in range(4)]
    orders = [await order_of(world, "order-now", subject="the merchant's") for _ in range(200)]
    adoption = asyncio.create_task(world.adopted("order-now"))
    await asyncio.sleep(0)
    bodies = await asyncio.gather(*(answered(processes[n % 4], order) for n, order in enumerate(orders)),
                                  return_exceptions=True)  # fmt: skip
    payment = await adoption
    world.channel.calls.clear()  # a repetition that came first asks the channel under the number that it knows
    assert [body for body in bodies if isinstance(body, BaseException)] == []
    assert {orjson.loads(body[1])["id"] for body in bodies if isinstance(body, tuple)} == {
        encode("pay", payment.payment_id)
    }
    stored = await world.see(payment)
    assert (stored.payment.status, stored.payment.amount_captured_minor) == ("succeeded", AMOUNT)
    assert [kind for _, kind in stored.events] == ["payment.succeeded"]


async def test_an_adopted_authorization_is_captured_by_the_merchant(world: AdoptingWorld) -> None:
    adopted = await world.adopted("order-held", capture=False)
    assert (adopted.status, adopted.capture_method) == ("requires_capture", CaptureMethod.MANUAL)
    order = await order_of(world, "order-held", subject="Tea", capture_method=CaptureMethod.MANUAL)
    assert (await answered(world.lifecycle, order))[0] == 200
    await world.finish()
    captured = await world.lifecycle.capture(adopted, 700)
    assert (captured.status, captured.amount_captured_minor) == ("succeeded", 700)
    assert world.sent() == ["capture"]
    world.channel.calls.clear()


@pytest.mark.parametrize("items", [(), (("tea", 1),)], ids=["amount", "items"])
async def test_a_repeated_refund_gets_the_adopted_one_and_another_amount_is_refused(
    world: AdoptingWorld, items: tuple[tuple[str, int], ...]
) -> None:
    payment = await world.adopted("order-back")
    number = await world.adopted_refund(payment, "back-1", 700)
    payment = await world.again(payment)
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (700, 0)
    before = await world.written()
    order = RefundOrder("back-1", None if items else 700, "the merchant's reason", returns_fee=True, items=items)
    for claim in (None, *[idempotency.Claim(world.merchant_id, "key", b"1" * 32)] * 2):
        status, body = await world.answered(payment, order, claim=claim)
        assert (status, orjson.loads(body)["id"], orjson.loads(body)["state"]) == (200, number, "succeeded")
    for amount_minor in (699, 701, AMOUNT):
        with pytest.raises(RefundNoReused):
            await world.answered(payment, replace(order, amount_minor=amount_minor))
    assert await world.written() == before


async def test_a_refund_number_of_an_adopted_refund_is_not_taken_for_another_payment(world: AdoptingWorld) -> None:
    first, second = await world.adopted("order-1"), await world.adopted("order-2")
    await world.adopted_refund(first, "back-1", 700)
    with pytest.raises(RefundNoReused):
        await world.answered(second, RefundOrder("back-1", 700, "refund"))


async def test_two_hundred_repetitions_of_a_refund_at_once_return_the_money_once(world: AdoptingWorld) -> None:
    payment = await world.adopted("order-race")
    number = await world.adopted_refund(payment, "back-1", 700)
    processes = [world.new_process().lifecycle for _ in range(4)]
    answers = await asyncio.gather(
        *(
            world.answered(payment, RefundOrder("back-1", 700 + n % 2, f"copy {n}"), lifecycle=processes[n % 4])
            for n in range(200)
        ),
        return_exceptions=True,
    )
    assert {orjson.loads(answer[1])["id"] for answer in answers if isinstance(answer, tuple)} == {number}
    refused = [answer for answer in answers if isinstance(answer, HutongError)]
    assert ({error.code for error in refused}, len(refused)) == ({"refund_no_reused"}, 100)
    assert (await world.again(payment)).amount_refunded_minor == 700
    assert world.channel.returned_minor == 700


async def test_an_adopted_refund_returns_the_fee_by_the_merchants_contract(world: AdoptingWorld) -> None:
    payment = await world.adopted("order-fee")
    await world.adopted_refund(payment, "back-all", AMOUNT)
    (refund,) = await world.refunds(payment)
    assert (refund.adopted, refund.fee_minor, payment.adopted) == (True, 12, True)
