"""Numbers at channels follow from the merchant's own: what is forgotten is asked for under the same number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from hutong import payments
from hutong.channels import ChannelAnswer, ChannelState, PayRequest, RefundRequest
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.ids import Ids, encode
from hutong.payments import Payment, PlaceOrder
from hutong.payments.refunds.errors import InsufficientMerchantFunds
from support import create_database
from support.fixtures.payments import AMOUNT, METHOD
from support.fixtures.refunds import REFUNDS, RefundingChannel, RefundWorld


@dataclass
class Remembering(RefundingChannel):
    """A channel that answers a number with other content by the state of what stands under it, as adapters do."""

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        known = self.orders.get(request.attempt_no)
        if known is not None and known.request != request:
            self.calls.append(("pay", request.attempt_no))
            return self._answer(known)
        return await super().pay(request, now=now)

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        known = self.refunds.get(refund.refund_no)
        if known is not None:
            self.calls.append(("refund", refund.refund_no))
            return self._outcome(refund.refund_no)
        return await super().refund(refund, now=now)


async def order_of(world: RefundWorld, number: str, **changed: Any) -> PlaceOrder:
    new = world.order(attempt=False, merchant_order_no=number, **changed)
    route = payments.RouteRequest(METHOD, AMOUNT, "CNY", merchant_id=world.merchant_id, merchant_order_no=number)
    return PlaceOrder(replace(new, first_attempt=await world.lifecycle.route_selector.choose(route)))


async def placed(world: RefundWorld, number: str, **changed: Any) -> Payment:
    payment = (await world.lifecycle.place(await order_of(world, number, **changed))).payment
    assert payment is not None
    return payment


async def test_what_a_forgotten_request_asks_for_again_the_channel_does_once(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    async with Database.open(create_database(server_url, template_url)) as first:
        world = RefundWorld(first, clock)
        world.channel = Remembering(capabilities=REFUNDS)
        world.restart()
        payment = await placed(world, "order-7")
        (number,) = world.channel.orders
        assert number == encode("att", payment.attempts[0].attempt_id)
        world.channel.payer_pays(number)
        await world.lifecycle.expire()
        await world.lifecycle.sweep()
        clock.advance(payment.attempts[0].next_query_at - clock.now())  # type: ignore[operator]
        await world.lifecycle.expire()
        await world.lifecycle.sweep()
        paid = await world.again(payment)
        before = await world.refund(paid, 500, merchant_refund_no="back-1")
        assert before["state"] == "succeeded"
    # The same merchant, channel and key; the database is that of the time before the order.
    async with Database.open(create_database(server_url, template_url)) as second:
        restored = RefundWorld(second, clock)
        restored.merchant_id, restored.account_id = world.merchant_id, world.account_id
        restored.channel = world.channel
        restored.restart()
        again = await placed(restored, "order-7")
        assert again.status == "succeeded", "the channel told what it has under this number"
        assert again.payment_id != payment.payment_id
        after = await restored.refund(again, 500, merchant_refund_no="back-1")
        assert after["state"] == "succeeded"
        assert after["id"] == before["id"]
    assert list(world.channel.orders) == [number]
    assert list(world.channel.refunds) == [before["id"]]
    assert world.channel.returned_minor == 500


async def test_numbers_differ_by_merchant_number_account_ordinal_key_and_zone(clock: ManualClock) -> None:
    merchants, accounts = [Ids(clock).new() for _ in range(2)], [Ids(clock).new() for _ in range(2)]
    numbers = {
        source.derive(kind, merchant, number, account, ordinal)
        for source in (Ids(clock, key=b"a"), Ids(clock, key=b"b"), Ids(clock, zone=7, key=b"a"))
        for kind in ("attempt", "refund")
        for merchant in merchants
        for number in ("1", "11", "1\0")
        for account in accounts
        for ordinal in (1, 11)
    }
    assert len(numbers) == 3 * 2 * 2 * 3 * 2 * 2
    assert {(number.version, number.int >> 68 & 0xFF) for number in numbers} == {(8, 0), (8, 7)}
    assert Ids(clock, key=b"a").derive("x", "ab", "c") != Ids(clock, key=b"a").derive("x", "a", "bc")


async def test_each_attempt_of_a_payment_at_one_account_has_a_number_of_its_own(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    url = create_database(server_url, template_url)
    async with Database.open(url) as database:
        world = RefundWorld(database, clock)
        payment = await placed(world, "order-8")
        for _ in range(2):
            clock.advance(timedelta(milliseconds=1))
            await world.record(world.report(payment.attempts[-1], ChannelState.FAILED))
            payment = await world.lifecycle.start(await world.again(payment), METHOD)
        expected = [
            encode("att", world.ids.derive("attempt", world.merchant_id, "order-8", world.account_id, ordinal))
            for ordinal in (1, 2, 3)
        ]
        assert list(world.channel.orders) == expected


async def test_starts_from_an_old_view_of_the_payment_get_the_next_number(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    url = create_database(server_url, template_url)
    async with Database.open(url) as database:
        world = RefundWorld(database, clock)
        seen = await placed(world, "order-9")
        await world.record(world.report(seen.attempts[0], ChannelState.FAILED))
        old: Any = replace(seen, attempts=[])
        payment = await world.lifecycle.start(old, METHOD)
        assert len({attempt.attempt_id for attempt in payment.attempts}) == 2
        started = await asyncio.gather(*(world.lifecycle.start(old, METHOD) for _ in range(5)))
        assert {p.attempts[-1].attempt_id for p in started} == {payment.attempts[-1].attempt_id}


async def test_a_refund_refused_for_want_of_money_may_be_asked_for_again_under_its_number(
    server_url: str, template_url: str, clock: ManualClock
) -> None:
    url = create_database(server_url, template_url)
    async with Database.open(url) as database:
        world = RefundWorld(database, clock)
        first = await world.paid()
        await world.refund(first, merchant_refund_no="all")
        second = await world.paid(fee_ppm=100_000)
        with pytest.raises(InsufficientMerchantFunds):
            await world.refund(second, AMOUNT, merchant_refund_no="again")
        await world.paid()
        assert (await world.refund(second, AMOUNT, merchant_refund_no="again"))["state"] == "succeeded"
