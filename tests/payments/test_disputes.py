"""Disputes: the latest statement holds, what the channel has taken is held once, and nothing is given back twice."""

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

from hutong.channels import BillRow, BillRowKind, ChannelAnswer, ChannelState, NotOffered
from hutong.channels.disputes import DisputeState
from hutong.channels.sums import ChannelDiscount, DiscountFunder, Sums
from hutong.errors import Unavailable
from hutong.ids import decode
from hutong.payments import Payment, errors, exceptions
from hutong.payments.disputes import take_billed_disputes
from hutong.payments.refunds.errors import RefundExceedsAvailable
from hutong.payments.refunds.model import RefundMethod, number_of
from support.fixtures.disputes import DisputeWorld
from support.fixtures.payments import AMOUNT

NEEDS, REVIEW, WON, LOST, ACCEPTED = DisputeState
SUCCEEDED = ChannelAnswer(ChannelState.SUCCEEDED)
GIVEN_BACK = ChannelAnswer(ChannelState.FAILED, channel_code="INVALID_REQUEST", code="refund_exceeds")


async def kinds(court: DisputeWorld, dispute: Any) -> list[str]:
    return [kind for _, kind in await court.events(dispute.dispute_id)]


async def listed(court: DisputeWorld) -> list[exceptions.PaymentException]:
    async with court.database.transaction() as tx:
        found = await exceptions.list_exceptions(tx, limit=200)
    return [item for item in found if item.account_id == court.account_id]


async def test_what_the_channel_takes_and_charges_is_held_and_comes_back_when_the_dispute_is_won(
    court: DisputeWorld,
) -> None:
    payment = await court.paid()
    dispute = await court.disputed(payment, taken_minor=1000, fee_minor=150, statement="没有收到货")
    assert (dispute.state, dispute.held_minor, dispute.payer_statement) == (NEEDS, 1150, "没有收到货")
    assert await court.booked() == (1150 - AMOUNT, AMOUNT - 1150, 1150, 1150)
    assert (await court.again(payment)).refundable_minor == AMOUNT - 1000
    dispute = await court.changes(dispute, state=WON, taken_minor=0, fee_minor=50)
    assert await court.booked() == (50 - AMOUNT, AMOUNT - 50, 0, 0)  # the fee that is kept is booked for good
    assert (await court.again(payment)).amount_disputed_minor == 0
    assert await kinds(court, dispute) == ["dispute.opened", "dispute.won"]


@pytest.mark.parametrize("end", [LOST, ACCEPTED])
async def test_what_is_lost_stays_with_the_payer_and_cannot_be_refunded(court: DisputeWorld, end: DisputeState) -> None:
    payment = await court.paid()
    dispute = await court.disputed(payment, taken_minor=1000, fee_minor=150)
    dispute = await court.changes(dispute, state=end)
    assert dispute.finished_at is not None
    assert await court.booked() == (1150 - AMOUNT, AMOUNT - 1150, 0, 0)
    await court.paid()  # the merchant could pay for more
    assert await kinds(court, dispute) == ["dispute.opened", f"dispute.{end}"]
    with pytest.raises(RefundExceedsAvailable):
        await court.refund(payment, 1000)
    assert (await court.refund(payment))["amount_minor"] == AMOUNT - 1000


async def test_a_complaint_for_which_nothing_is_taken_books_nothing(court: DisputeWorld) -> None:
    payment = await court.paid()
    dispute = await court.disputed(payment, taken_minor=0)
    assert await court.booked() == (-AMOUNT, AMOUNT, 0, 0)
    assert (await court.refund(payment))["amount_minor"] == AMOUNT
    dispute = await court.changes(dispute, state=ACCEPTED)
    assert await kinds(court, dispute) == ["dispute.opened", "dispute.accepted"]
    assert await court.booked() == (0, 0, 0, 0)


async def test_two_hundred_copies_of_all_messages_are_one_dispute(court: DisputeWorld) -> None:
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now(), fee_minor=150)
    bodies = [court.channel.dispute_message(number)]
    for fields in ({"state": REVIEW}, {"state": WON, "taken_minor": 0}):
        court.clock.advance(timedelta(seconds=1))
        court.channel.goes_on(number, court.clock.now(), **fields)
        bodies.append(court.channel.dispute_message(number))
    await asyncio.gather(*(court.deliver(body) for body in bodies * 67))
    (dispute,) = await court.disputes(payment)
    assert dispute.state is WON
    assert await court.booked() == (150 - AMOUNT, AMOUNT - 150, 0, 0)
    assert (await kinds(court, dispute)).count("dispute.won") == 1


async def test_of_two_statements_of_one_instant_the_one_that_is_further_on_holds(court: DisputeWorld) -> None:
    for order in (1, -1):
        payment = await court.paid()
        number = court.channel.dispute(payment, court.clock.now(), taken_minor=0)
        bodies = [court.channel.dispute_message(number)]
        court.channel.goes_on(number, court.clock.now(), taken_minor=1000, fee_minor=150)
        bodies.append(court.channel.dispute_message(number))
        for body in bodies[::order]:
            await court.deliver(body)
        (dispute,) = await court.disputes(payment)
        assert (dispute.taken_minor, dispute.fee_minor, dispute.held_minor) == (1000, 150, 1150)


async def test_an_end_is_overturned_only_by_what_the_channel_answers_now(court: DisputeWorld) -> None:
    payment = await court.paid()
    dispute = await court.disputed(payment)
    dispute = await court.changes(dispute, state=LOST)
    court.clock.advance(timedelta(days=9))
    court.channel.goes_on(dispute.dispute_no, court.clock.now(), state=WON, taken_minor=0)
    body = court.channel.dispute_message(dispute.dispute_no)
    court.channel.replies = False
    with pytest.raises(Unavailable):
        await court.deliver(body)
    court.channel.replies = True
    await court.deliver(body)
    assert (await court.dispute(dispute.dispute_id)).state is WON
    assert await court.booked() == (-AMOUNT, AMOUNT, 0, 0)
    # It is open again: what was booked for good is held again.
    court.clock.advance(timedelta(days=9))
    court.channel.goes_on(dispute.dispute_no, court.clock.now(), state=LOST, taken_minor=1000)
    await court.deliver(court.channel.dispute_message(dispute.dispute_no))
    court.clock.advance(timedelta(days=9))
    court.channel.goes_on(dispute.dispute_no, court.clock.now(), state=NEEDS)
    await court.deliver(court.channel.dispute_message(dispute.dispute_no))
    assert await court.booked() == (1000 - AMOUNT, AMOUNT - 1000, 1000, 1000)
    after = await court.dispute(dispute.dispute_id)
    assert (after.state, after.finished_at) == (NEEDS, None)
    assert after.next_query_at is not None
    assert await kinds(court, dispute) == [
        "dispute.opened", "dispute.lost", "dispute.won", "dispute.lost", "dispute.updated",
    ]  # fmt: skip


async def test_a_message_that_only_names_a_dispute_is_asked_about(court: DisputeWorld) -> None:
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now())
    body = court.channel.dispute_message(number, named_only=True)
    court.channel.replies = False
    with pytest.raises(Unavailable):
        await court.deliver(body)
    assert await court.disputes(payment) == []
    court.channel.replies = True
    await court.deliver(body)
    assert [dispute.dispute_no for dispute in await court.disputes(payment)] == [number]


async def test_a_message_is_taken_once_where_the_channel_signs_each(court: DisputeWorld) -> None:
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now())
    body = court.channel.dispute_message(number, replay_key=b"nonce-" + number.encode())
    await court.deliver(body)
    with pytest.raises(errors.NotificationReplayed):
        await court.deliver(body)


async def test_disputes_of_unknown_orders_are_kept_and_recorded_once_the_order_is_known(court: DisputeWorld) -> None:
    late = await court.payment()
    await court.record(court.report(late.attempts[0], ChannelState.CLOSED))
    number = court.channel.dispute(late, court.clock.now())
    await court.deliver(court.channel.dispute_message(number))
    other = court.channel.dispute(late, court.clock.now(), order_no="someone-elses", channel_order_no="4711")
    for _ in range(3):
        await court.deliver(court.channel.dispute_message(other))
    foreign = court.channel.dispute(await court.paid(), court.clock.now(), currency="USD")
    await court.deliver(court.channel.dispute_message(foreign))
    assert sorted((item.reason, item.about.value, item.seen) for item in await listed(court)) == [
        ("currency_mismatch", "dispute", 1), ("order_not_counted", "dispute", 1), ("unknown_order", "dispute", 3),
    ]  # fmt: skip
    payment = await court.paid()
    async with court.database.transaction() as tx:
        await tx.execute(
            "UPDATE payments.attempt SET channel_order_no = '4711' WHERE payment_id = $1", payment.payment_id
        )
    await court.lifecycle.match_exceptions()
    assert [dispute.dispute_no for dispute in await court.disputes(payment)] == [other]
    assert sorted(item.status for item in await listed(court)) == ["matched", "open", "open"]


async def test_without_an_interface_a_named_dispute_is_kept(court: DisputeWorld, monkeypatch: Any) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise NotOffered("none")

    monkeypatch.setattr(court.channel, "query_dispute", refuse)
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now())
    await court.deliver(court.channel.dispute_message(number, named_only=True))
    assert [item.reason for item in await listed(court)] == ["not_stated"]


async def test_several_disputes_of_one_payment_each_take_their_part(court: DisputeWorld) -> None:
    payment = await court.paid()
    first = await court.disputed(payment, taken_minor=700)
    second = await court.disputed(payment, taken_minor=800, fee_minor=1)
    assert (await court.again(payment)).refundable_minor == AMOUNT - 1500
    await court.changes(first, state=WON, taken_minor=0)
    await court.changes(second, state=LOST)
    assert (await court.again(payment)).refundable_minor == AMOUNT - 800
    assert await court.booked() == (801 - AMOUNT, AMOUNT - 801, 0, 0)


async def test_a_dispute_of_a_merchant_without_the_money_is_covered_later(court: DisputeWorld) -> None:
    payment = await court.paid()
    await court.refund(payment, 1500)
    dispute = await court.disputed(payment, taken_minor=1000)
    assert (dispute.state, dispute.held_minor) == (NEEDS, 0)
    assert await court.booked() == (1500 + 1000 - AMOUNT, AMOUNT - 1500, 1000, 0)
    assert await court.lifecycle.disputes.cover() == 0
    lost = await court.changes(dispute, state=LOST)
    assert (lost.held_minor, await court.booked()) == (0, (1500 + 1000 - AMOUNT, AMOUNT - 1500, 1000, 0))
    await court.agree(5000)
    assert await court.lifecycle.disputes.cover() == 1
    assert (await court.dispute(dispute.dispute_id)).held_minor == 1000
    assert await court.booked() == (2500 - AMOUNT, AMOUNT - 2500, 0, 0)


async def test_refunds_and_a_dispute_at_the_same_time_never_give_back_twice(court: DisputeWorld) -> None:
    payment = await court.paid()
    await court.paid()  # the merchant could pay for both
    number = court.channel.dispute(payment, court.clock.now(), taken_minor=1500)
    body = court.channel.dispute_message(number)

    async def ask(amount: int) -> int:
        try:
            return int((await court.refund(payment, amount))["amount_minor"])
        except RefundExceedsAvailable:
            return 0

    results = await asyncio.gather(court.deliver(body), *(ask(400) for _ in range(10)), court.deliver(body))
    given = sum(result for result in results if result)
    after = await court.again(payment)
    assert after.amount_refunded_minor == given
    assert after.refundable_minor == max(AMOUNT - given - 1500, 0)
    # Refunds that came before the dispute were right; none came after it took the rest.
    assert await ask(AMOUNT - 1500 + 1) == 0
    assert (await court.booked())[0] == given + 1500 - 2 * AMOUNT


async def test_a_dispute_takes_its_part_of_each_of_three_sums(court: DisputeWorld) -> None:
    """2,000 ordered: 500 off, of which the merchant bears 300; so 1,500 are paid and 1,700 settle."""
    coupons = (
        ChannelDiscount("shop", DiscountFunder.MERCHANT, 300, settles=False),
        ChannelDiscount("wallet", DiscountFunder.CHANNEL, 200, settles=True),
    )
    sums = Sums(2000, 1500, 1700, coupons)
    payment = await court.payment(amount_minor=2000)
    await court.record(court.report(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=2000, sums=sums))
    payment = await court.again(payment)
    await court.paid()
    dispute = await court.disputed(payment, amount_minor=750, taken_minor=850)
    after = await court.again(payment)
    assert (after.amount_disputed_minor, after.disputed_paid_minor, after.disputed_settled_minor) == (1000, 750, 850)
    await court.refund(payment)
    (refund,) = await court.refunds(payment)
    assert (refund.amount_minor, refund.payer_minor, refund.held_minor) == (1000, 750, 850)
    await court.changes(dispute, state=WON, taken_minor=0)
    await court.refund(payment)
    assert sum(refund.held_minor for refund in await court.refunds(payment)) == 1700
    assert (await court.booked())[0] == -AMOUNT


async def test_a_bill_finds_the_disputes_whose_messages_were_lost(court: DisputeWorld) -> None:
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now(), fee_minor=150)

    def row(kind: BillRowKind, channel_no: str | None) -> BillRow:
        return BillRow(kind, None, channel_no, None, 1000, "CNY", 150, "dispute", court.clock.now())

    rows = [row(BillRowKind.DISPUTE, number), row(BillRowKind.DISPUTE, number), row(BillRowKind.DISPUTE, None)]
    rows.append(row(BillRowKind.PAYMENT, "4200001"))
    court.channel.replies = False
    assert await take_billed_disputes(court.lifecycle, court.account_id, rows) == {"in_doubt": 1}
    court.channel.replies = True
    assert await take_billed_disputes(court.lifecycle, court.account_id, rows) == {"opened": 1}
    assert await take_billed_disputes(court.lifecycle, court.account_id, rows) == {"unchanged": 1}
    assert await court.booked() == (1150 - AMOUNT, AMOUNT - 1150, 1150, 1150)


RICH = 900_000
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ours", "portal", "return", "repeat", "dispute", "take", "review", "win", "lose", "reopen"]),
        st.integers(1, AMOUNT),
        st.integers(0, 9),
    ),
    min_size=2,
    max_size=10,
)
ENDS: dict[str, dict[str, Any]] = {
    "review": {"state": REVIEW}, "win": {"state": WON, "taken_minor": 0}, "lose": {"state": LOST},
    "reopen": {"state": NEEDS},
}  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 2**32))
async def test_in_any_order_of_messages_the_books_end_as_the_channels_log_with_disputes(
    court: DisputeWorld, steps: Sequence[tuple[str, int, int]], seed: int
) -> None:
    channel = court.channel
    before, gone, cost = await court.booked(), channel.returned_minor, channel.cost_minor
    payment = await court.paid(fee_ppm=6_000)
    await court.paid(amount_minor=RICH)  # the merchant can pay for all
    refunds: list[str] = []
    disputes: list[str] = []
    messages: list[bytes] = []
    for step, amount, place in steps:
        court.clock.advance(timedelta(seconds=1))
        now, left = court.clock.now(), AMOUNT - (channel.returned_minor - gone)
        if step == "ours":
            channel.verdicts = [SUCCEEDED if amount <= left else GIVEN_BACK]
            with contextlib.suppress(RefundExceedsAvailable):
                document = await court.refund(payment, amount)
                refunds += [number_of(decode("ref", document["id"]), RefundMethod.ORIGINAL)]
        elif step == "portal" and left:
            messages.append(channel.give_back_in_portal(payment, min(amount, left)))
            refunds.append(list(channel.portal)[-1])
        elif step == "return" and refunds:
            returned(court, refunds[place % len(refunds)])
        elif step == "repeat" and messages:
            with contextlib.suppress(Unavailable):
                await court.deliver(messages[place % len(messages)])
        elif step == "dispute":
            disputes.append(channel.dispute(payment, now, taken_minor=amount if place % 2 else 0, fee_minor=place))
        elif step == "take" and disputes:
            channel.goes_on(disputes[place % len(disputes)], now, taken_minor=amount)
        elif step in ENDS and disputes:
            channel.goes_on(disputes[place % len(disputes)], now, **ENDS[step])
        messages += [channel.any_message(payment, number) for number in refunds[-1:]]
        messages += [
            channel.dispute_message(number) for number in {*disputes[-1:], *disputes[place % 3 : place % 3 + 1]}
        ]
    last = [channel.any_message(payment, number) for number in refunds]
    last += [channel.dispute_message(number) for number in disputes]
    messages += last
    random.Random(seed).shuffle(messages)
    for body in messages + last:
        court.clock.advance(timedelta(seconds=1))
        await court.deliver(body)
    await court.lifecycle.match_exceptions()
    await as_the_channels_log(court, payment, disputes, gone=gone, cost=cost, before=before)


async def as_the_channels_log(
    court: DisputeWorld,
    payment: Payment,
    disputes: Sequence[str],
    *,
    gone: int,
    cost: int,
    before: tuple[int, int, int, int],
) -> None:
    channel, after = court.channel, await court.again(payment)
    taken = sum(min(channel.disputes[number].taken_minor, AMOUNT) for number in disputes)
    assert (after.amount_refunded_minor, after.amount_refunding_minor) == (channel.returned_minor - gone, 0)
    assert after.amount_disputed_minor == taken
    at_channel, _, contested, held = (now - then for now, then in zip(await court.booked(), before, strict=True))
    assert at_channel == -AMOUNT - RICH + channel.returned_minor - gone + channel.cost_minor - cost
    recorded = {dispute.dispute_no: dispute for dispute in await court.disputes(payment)}
    assert {no: (d.state, d.taken_minor, d.fee_minor) for no, d in recorded.items()} == {
        no: (r.state, r.taken_minor, r.fee_minor) for no, r in channel.disputes.items() if no in disputes
    }
    assert all(dispute.held_minor == dispute.cost_minor for dispute in recorded.values())
    still_open = [r for r in map(channel.disputes.__getitem__, disputes) if r.state in (NEEDS, REVIEW)]
    assert contested == held == sum(report.taken_minor + report.fee_minor for report in still_open)


def returned(court: DisputeWorld, number: str) -> None:
    """The payer's bank returns a refund that has succeeded."""
    channel = court.channel
    outcomes = channel.portal if number in channel.portal else channel.outcomes
    if outcomes[number].state is ChannelState.SUCCEEDED:
        outcomes[number] = replace(outcomes[number], state=ChannelState.FAILED)
