"""A refund that a person makes in the channel's own portal is adopted once, so that nothing is given back twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong import ledger
from hutong.channels import BillRow, BillRowKind, ChannelAnswer, ChannelState
from hutong.errors import Unavailable
from hutong.ids import decode, encode
from hutong.ledger import CreateTransferStatus, Transfer
from hutong.ledger.accounting.chart import account_id
from hutong.payments import Payment, exceptions
from hutong.payments.refunds import take_billed_refunds
from hutong.payments.refunds.errors import RefundExceedsAvailable
from hutong.payments.refunds.model import Refund, RefundMethod, number_of
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import RefundWorld

SUCCEEDED, FAILED, PENDING = (ChannelAnswer(state) for state in (
    ChannelState.SUCCEEDED, ChannelState.FAILED, ChannelState.PENDING,
))  # fmt: skip
GIVEN_BACK = ChannelAnswer(ChannelState.FAILED, channel_code="INVALID_REQUEST", code="refund_exceeds")


async def listed(shop: RefundWorld) -> list[exceptions.PaymentException]:
    async with shop.database.transaction() as tx:
        found = await exceptions.list_exceptions(tx, limit=200)
    return [item for item in found if item.account_id == shop.account_id]


async def sums(shop: RefundWorld, payment: Payment) -> tuple[int, int, int]:
    """Refunded, being refunded, and gone from the channel by the books, of a world of one payment."""
    after = await shop.again(payment)
    return after.amount_refunded_minor, after.amount_refunding_minor, AMOUNT + (await shop.balances())[1101][0]


async def of_portal(shop: RefundWorld, payment: Payment) -> list[Refund]:
    return [refund for refund in await shop.refunds(payment) if refund.source == "channel_portal"]


async def types(shop: RefundWorld, refund: Refund) -> list[str]:
    return [kind for _, kind in await shop.events(refund.refund_id)]


async def test_two_hundred_copies_are_one_refund_and_nothing_of_it_goes_back_twice(shop: RefundWorld) -> None:
    payment = await shop.paid(fee_ppm=6_000)
    body = shop.channel.give_back_in_portal(payment, 1000)
    await asyncio.gather(*(shop.deliver(body) for _ in range(200)))
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.amount_minor, refund.source, refund.fee_minor) == (
        "succeeded",
        1000,
        "channel_portal",
        6,
    )
    assert await sums(shop, payment) == (1000, 0, 1000)
    assert (await shop.balances())[2001] == (AMOUNT - 12 - (1000 - 6), 0)
    assert await types(shop, refund) == ["refund.succeeded"]
    assert await listed(shop) == []
    with pytest.raises(RefundExceedsAvailable):
        await shop.refund(payment, AMOUNT - 999)
    rest = await shop.refund(payment, returns_fee=True)
    assert rest["amount_minor"] == AMOUNT - 1000


async def test_the_order_is_found_by_the_channels_number_of_it_too(shop: RefundWorld) -> None:
    payment = await shop.paid()
    number = f"pi_{payment.payment_id.hex}"
    async with shop.database.transaction() as tx:
        await tx.execute(
            "UPDATE payments.attempt SET channel_order_no = $1 WHERE payment_id = $2", number, payment.payment_id
        )
    await shop.deliver(shop.channel.give_back_in_portal(payment, 700, order_no=None, channel_order_no=number))
    assert await sums(shop, payment) == (700, 0, 700)


async def test_it_may_fail_after_its_success_and_old_messages_of_it_change_nothing(shop: RefundWorld) -> None:
    payment = await shop.paid()
    success = shop.channel.give_back_in_portal(payment, 1000)
    (number,) = shop.channel.portal
    await shop.deliver(success)
    shop.channel.portal[number] = ChannelAnswer(ChannelState.FAILED, 1000, "CNY")
    failure = shop.channel.portal_message(payment, number)
    await asyncio.gather(*(shop.deliver(body) for body in [failure, success] * 20))
    (refund,) = await shop.refunds(payment)
    assert refund.state == "failed"
    assert await types(shop, refund) == ["refund.succeeded", "refund.failed_after_success", "refund.needs_attention"]
    assert await sums(shop, payment) == (0, 0, 0)


async def test_one_that_had_failed_before_the_message_of_its_success_came_is_not_adopted(shop: RefundWorld) -> None:
    payment = await shop.paid()
    success = shop.channel.give_back_in_portal(payment, 1000)
    (number,) = shop.channel.portal
    shop.channel.portal[number] = ChannelAnswer(ChannelState.FAILED, 1000, "CNY")
    await shop.deliver(shop.channel.portal_message(payment, number))
    await shop.deliver(success)
    assert (await shop.refunds(payment), await listed(shop)) == ([], [])


async def test_a_channel_that_does_not_confirm_it_repeats_its_message(shop: RefundWorld) -> None:
    payment = await shop.paid()
    body = shop.channel.give_back_in_portal(payment, 1000)
    shop.channel.replies = False
    with pytest.raises(Unavailable):
        await shop.deliver(body)
    assert await shop.refunds(payment) == []
    shop.channel.replies = True
    await shop.deliver(body)
    assert await sums(shop, payment) == (1000, 0, 1000)


async def test_more_than_is_left_is_kept_and_adopted_once_our_own_refund_is_superseded(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    document = await shop.refund(payment, 1500)
    body = shop.channel.give_back_in_portal(payment, 1200)
    await asyncio.gather(*(shop.deliver(body) for _ in range(5)))
    (item,) = await listed(shop)
    assert (item.kind, item.reason, item.payment_id, item.seen) == (
        "unknown_number", "refund_exceeds_available", payment.payment_id, 5,
    )  # fmt: skip
    assert await sums(shop, payment) == (0, 1500, 0)
    # The channel refuses ours, without a code that says why: what its portal has given back is reason enough.
    (ours,) = await shop.refunds(payment)
    shop.channel.outcomes[ours.number] = FAILED
    await shop.sweep()
    assert [refund.state for refund in await shop.refunds(payment)] == ["superseded"]
    assert document["id"]
    assert await shop.lifecycle.match_exceptions() == 1
    assert await sums(shop, payment) == (1200, 0, 1200)
    assert [item.status for item in await listed(shop)] == ["matched"]


async def test_while_it_is_not_booked_a_failed_refund_goes_no_other_way(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING, FAILED]
    await shop.refund(payment, 1000)
    await shop.refund(payment, 500)
    (failed,) = [refund for refund in await shop.refunds(payment) if refund.state == "failed"]
    await shop.deliver(shop.channel.give_back_in_portal(payment, 1000))
    assert [item.reason for item in await listed(shop)] == ["refund_exceeds_available"]
    assert await shop.convert(failed, "manual") == "refund_exceeds_available"


async def test_a_merchant_without_the_money_is_asked_again_every_minute(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await spend(shop, AMOUNT)
    await shop.deliver(shop.channel.give_back_in_portal(payment, 1000))
    assert [item.reason for item in await listed(shop)] == ["insufficient_merchant_funds"]
    assert await shop.lifecycle.match_exceptions() == 0
    await shop.agree(5000)
    assert await shop.lifecycle.match_exceptions() == 1
    assert (await shop.again(payment)).amount_refunded_minor == 1000


async def spend(shop: RefundWorld, amount: int) -> None:
    """The merchant has less than before."""
    transfer = Transfer(
        id=shop.ids.new().int, debit_account_id=account_id(2001, shop.merchant_id, "CNY"),
        credit_account_id=account_id(1101, shop.account_id, "CNY"), amount=amount, ledger=156, code=99,
    )  # fmt: skip
    async with shop.database.transaction() as tx:
        (made,) = await ledger.Ledger(tx, clock=shop.clock.now_ns).create_transfers([transfer])
    assert made.status is CreateTransferStatus.CREATED


async def test_money_of_an_order_that_is_none_of_ours_or_that_nothing_counts_is_kept(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await shop.deliver(shop.channel.give_back_in_portal(payment, 1000, order_no="someone-elses"))
    late = await shop.payment()
    await shop.record(shop.report(late.attempts[0], ChannelState.CLOSED))
    await shop.deliver(shop.channel.give_back_in_portal(late, 1000))
    assert sorted(item.reason for item in await listed(shop)) == ["order_not_counted", "unknown_number"]
    assert await shop.refunds(payment) == []


async def test_the_sum_of_an_orders_refunds_tells_what_the_portal_has_given_back(shop: RefundWorld) -> None:
    """Alipay's message may name neither number nor amount."""
    payment = await shop.paid()
    await shop.refund(payment, 300)
    first, second = shop.channel.sum_message(payment, 300), shop.channel.sum_message(payment, 800)
    await asyncio.gather(*(shop.deliver(body) for body in [second, first] * 20))
    assert [refund.amount_minor for refund in await of_portal(shop, payment)] == [500]
    assert await sums(shop, payment) == (800, 0, 800)
    shop.channel.verdicts = [PENDING]
    await shop.refund(payment, 100)
    with pytest.raises(Unavailable):
        await shop.deliver(shop.channel.sum_message(payment, 900))  # it may be ours
    (ours,) = [refund for refund in await shop.refunds(payment) if refund.state == "submitted"]
    shop.channel.outcomes[ours.number] = SUCCEEDED
    await shop.deliver(shop.channel.sum_message(payment, 900))
    assert await sums(shop, payment) == (900, 0, 900)
    assert len(await shop.refunds(payment)) == 3


@pytest.mark.parametrize("first", ["portal", "ours"])
async def test_with_a_refund_of_ours_at_the_same_time_each_counts_once(shop: RefundWorld, first: str) -> None:
    payment = await shop.paid()
    body = shop.channel.give_back_in_portal(payment, 1200)

    async def ask() -> Any:
        try:
            return await shop.refund(payment, 700)
        except RefundExceedsAvailable:
            return None

    work = [shop.deliver(body) for _ in range(10)] + [ask()]
    await asyncio.gather(*(work if first == "portal" else reversed(work)))
    assert await sums(shop, payment) == (1900, 0, 1900)
    await shop.sweep(timedelta(hours=1))
    assert sorted(refund.amount_minor for refund in await shop.refunds(payment)) == [700, 1200]


async def test_a_bill_repairs_what_lost_messages_would_have_reported(shop: RefundWorld) -> None:
    payment = await shop.paid()
    order_no = encode("att", payment.attempts[0].attempt_id)
    await shop.refund(payment, 300)
    (ours,) = await shop.refunds(payment)
    shop.channel.give_back_in_portal(payment, 500)
    (number,) = shop.channel.portal
    shop.channel.outcomes[ours.number] = FAILED

    def row(kind: BillRowKind, our_no: str | None, amount: int, **fields: Any) -> BillRow:
        return BillRow(kind, our_no, "5030", order_no, amount, "CNY", 0, "", shop.clock.now(), **fields)

    rows = [
        row(BillRowKind.PAYMENT, order_no, AMOUNT),
        row(BillRowKind.REFUND, ours.number, 300),
        row(BillRowKind.REFUND, number, 500),
        row(BillRowKind.REFUND, None, 400),  # it names neither number: a person has to look
        row(BillRowKind.REFUND_FAILURE, ours.number, 300),
    ]
    first = await take_billed_refunds(shop.lifecycle, "test", shop.account_id, rows)
    assert first == {"known": 1, "adopted": 1, "failed_after_success": 1}
    assert await sums(shop, payment) == (500, 0, 500)
    again = await take_billed_refunds(shop.lifecycle, "test", shop.account_id, rows)
    assert again == {"known": 3}
    assert await sums(shop, payment) == (500, 0, 500)
    assert await listed(shop) == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["ours", "portal", "return", "repeat"]), st.integers(1, AMOUNT), st.integers(0, 9)),
    min_size=2,
    max_size=9,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, order=st.randoms(use_true_random=False))
async def test_in_any_order_of_messages_the_books_end_as_the_channels_log(
    shop: RefundWorld, steps: Sequence[tuple[str, int, int]], order: random.Random
) -> None:
    before, earlier = (await shop.balances())[1101][0], shop.channel.returned_minor
    payment = await shop.paid(fee_ppm=6_000)
    await shop.paid()  # the merchant can pay for all
    numbers: list[str] = []
    messages: list[bytes] = []
    for step, amount, place in steps:
        left = AMOUNT - (shop.channel.returned_minor - earlier)
        if step == "ours":
            shop.channel.verdicts = [SUCCEEDED if amount <= left else GIVEN_BACK]
            with contextlib.suppress(RefundExceedsAvailable):
                document = await shop.refund(payment, amount)
                numbers += [number_of(decode("ref", document["id"]), RefundMethod.ORIGINAL)]
        elif step == "portal" and left:
            messages.append(shop.channel.give_back_in_portal(payment, min(amount, left)))
            numbers.append(list(shop.channel.portal)[-1])
        elif step == "return" and numbers:
            returned(shop, numbers[place % len(numbers)])
        elif step == "repeat" and messages:
            await shop.deliver(messages[place % len(messages)])
        messages += [shop.channel.any_message(payment, number) for number in numbers[-1:]]
    last = [shop.channel.any_message(payment, number) for number in numbers]
    messages += last
    order.shuffle(messages)
    for body in messages + last:
        shop.clock.advance(timedelta(seconds=1))
        await shop.deliver(body)
    await shop.lifecycle.match_exceptions()
    after, gone = await shop.again(payment), shop.channel.returned_minor - earlier
    assert (after.amount_refunded_minor, after.amount_refunding_minor) == (gone, 0)
    assert (await shop.balances())[1101][0] == before - 2 * AMOUNT + gone
    assert (await shop.balances())[2301] == (0, 0)


def returned(shop: RefundWorld, number: str) -> None:
    """The payer's bank returns a refund that has succeeded."""
    outcomes = shop.channel.portal if number in shop.channel.portal else shop.channel.outcomes
    if outcomes[number].state is ChannelState.SUCCEEDED:
        outcomes[number] = replace(outcomes[number], state=ChannelState.FAILED)
