"""A report that does not fit a refund is kept once, asked about as any doubt, and brought to an end by two persons."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.idempotency import Claim
from hutong.ids import decode
from hutong.payments import Payment, exceptions
from hutong.payments.exception_items import ExceptionNotDecidable
from hutong.payments.refunds.errors import RefundNoReused
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.refunds.model import Refund
from hutong.payments.refunds.payee import seal_payee
from hutong.payments.store import read_timeline
from support.fixtures.exceptions import approve, propose
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import RefundWorld
from support.platform import VAULT

TAKE, REFUND, IGNORE = exceptions.ExceptionDecision
PENDING, FAILED = ChannelAnswer(ChannelState.PENDING), ChannelAnswer(ChannelState.FAILED)
ORDERED = 1000


async def listed(shop: RefundWorld, payment: Payment) -> list[exceptions.PaymentException]:
    async with shop.database.transaction() as tx:
        return await exceptions.list_exceptions(tx, payment_id=payment.payment_id)


async def misreported(
    shop: RefundWorld,
    payment: Payment,
    amount_minor: int,
    currency: str = "CNY",
    *,
    ordered: int = ORDERED,
    **fields: Any,
) -> Refund:
    """A refund of which the channel reports that it has given back something else."""
    shop.channel.verdicts = [PENDING]
    document = await shop.refund(payment, ordered, **fields)
    refund_id = decode("ref", document["id"])
    (refund,) = [each for each in await shop.refunds(payment) if each.refund_id == refund_id]
    shop.channel.outcomes[refund.number] = ChannelAnswer(ChannelState.SUCCEEDED, channel_order_no="5000001")
    shop.channel.misreports[refund.number] = amount_minor, currency
    await shop.notify(shop.channel.refund_notice(refund.number))
    return refund


async def decided(shop: RefundWorld, payment: Payment, decision: exceptions.ExceptionDecision) -> None:
    (item,) = await listed(shop, payment)
    await approve(shop, await propose(shop, item, decision))


async def now_is(shop: RefundWorld, refund: Refund) -> Refund:
    (current,) = [each for each in await shop.refunds(await shop_payment(shop, refund)) if each.number == refund.number]
    return current


async def shop_payment(shop: RefundWorld, refund: Refund) -> Payment:
    found = await shop.lifecycle.find(refund.payment_id)
    assert found is not None
    return found


async def test_two_hundred_copies_are_one_exception_and_one_decision(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    notice = shop.channel.refund_notice(refund.number)
    assert set(await asyncio.gather(*(shop.notify(notice) for _ in range(199)))) == {"mismatch"}
    (item,) = await listed(shop, payment)
    assert (item.kind, item.about, item.refund_id, item.seen) == (
        "amount_mismatch", About.REFUND, refund.refund_id, 200,
    )  # fmt: skip
    assert (item.amount_minor, item.expected_minor) == (ORDERED - 1, ORDERED)
    await decided(shop, payment, TAKE)
    await asyncio.gather(*(shop.notify(notice) for _ in range(200)))
    assert (await shop.balances())[1101] == (ORDERED - 1 - AMOUNT, 0)
    assert [name for _, name in await shop.events(refund.refund_id)] == ["refund.succeeded"]
    assert [name for _, name in await shop.events(payment.payment_id)][-2:] == [
        "payment.exception_opened", "payment.exception_decided",
    ]  # fmt: skip
    async with shop.database.transaction() as tx:
        lines = [entry.what for _, entry in await read_timeline(tx, [payment.payment_id])]
    assert lines[-2:] == ["exception.amount_mismatch", "operator.exception_taken"]
    (item,) = await listed(shop, payment)
    assert (item.status, item.seen) == ("taken", 200), "what fits the refund by now is no exception any more"


@pytest.mark.parametrize("returned", [1, ORDERED - 1, ORDERED + 1, AMOUNT])
async def test_what_is_taken_is_refunded_with_the_channels_amount(shop: RefundWorld, returned: int) -> None:
    payment = await shop.paid(fee_ppm=6_000)
    await shop.paid()  # the merchant has more money than this payment's
    refund = await misreported(shop, payment, returned, returns_fee=True)
    await decided(shop, payment, TAKE)
    after, payment = await now_is(shop, refund), await shop.again(payment)
    assert (after.state, after.amount_minor, after.ordered_minor) == ("succeeded", returned, ORDERED)
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (returned, 0)
    assert (await shop.balances())[1101] == (returned - 2 * AMOUNT, 0)
    if returned < AMOUNT:
        await shop.refund(payment, returns_fee=True)
    assert (await shop.again(payment)).refundable_minor == 0
    assert sum(each.fee_minor for each in await shop.refunds(payment)) == 12, "and all of our fee has gone back"
    assert (await shop.balances())[2001] == (AMOUNT, 0)


async def test_what_was_ordered_can_be_decided_as_given_back_in_another_currency_too(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, 140, "USD")
    (item,) = await listed(shop, payment)
    with pytest.raises(ExceptionNotDecidable, match="another currency"):
        await propose(shop, item, TAKE)
    await decided(shop, payment, REFUND)
    after = await now_is(shop, refund)
    assert (after.state, after.amount_minor, after.ordered_minor) == ("succeeded", ORDERED, None)
    assert (await shop.again(payment)).amount_refunded_minor == ORDERED


async def test_what_is_ignored_is_asked_about_again_until_the_channel_reports_what_fits(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    await decided(shop, payment, IGNORE)
    after = await now_is(shop, refund)
    assert (after.state, after.next_query_at) == ("submitted", shop.clock.now())
    assert (await shop.balances())[2001] == (AMOUNT, -ORDERED), "its money stays reserved"
    asked = len(shop.channel.calls)
    for _ in range(60):
        await shop.sweep(timedelta(minutes=1))
    assert 4 <= len(shop.channel.calls) - asked <= 12, "with the pauses of any doubt"
    del shop.channel.misreports[refund.number]
    await shop.sweep(timedelta(hours=1))
    assert (await now_is(shop, refund)).state == "succeeded"
    assert (await shop.again(payment)).amount_refunded_minor == ORDERED


async def test_what_is_ignored_fails_once_the_channel_proves_that(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    await decided(shop, payment, IGNORE)
    shop.channel.outcomes[refund.number] = FAILED
    del shop.channel.misreports[refund.number]
    await shop.sweep()
    assert (await now_is(shop, refund)).state == "failed"
    assert (await shop.again(payment)).refundable_minor == AMOUNT


async def test_what_was_ignored_can_still_be_taken_while_the_refund_is_open(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    await decided(shop, payment, IGNORE)
    with pytest.raises(ExceptionNotDecidable, match="ignored already"):
        await decided(shop, payment, IGNORE)
    await shop.sweep()
    await decided(shop, payment, TAKE)
    assert (await now_is(shop, refund)).state == "succeeded"
    with pytest.raises(ExceptionNotDecidable, match="taken already"):
        await decided(shop, payment, REFUND)


async def test_a_failure_of_another_amount_can_be_taken(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    await shop.refund(payment, ORDERED)
    (refund,) = await shop.refunds(payment)
    wrong = ChannelAnswer(ChannelState.FAILED, 5, "CNY")
    await shop.notify(Notification(refund.number, wrong, About.REFUND))
    with pytest.raises(ExceptionNotDecidable, match="has not reported"):
        await decided(shop, payment, REFUND)
    await decided(shop, payment, TAKE)
    assert (await now_is(shop, refund)).state == "failed"
    assert (await shop.balances())[2001] == (AMOUNT, 0)


async def test_more_than_is_left_cannot_be_taken(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await shop.paid()
    await shop.refund(payment, AMOUNT - ORDERED)
    refund = await misreported(shop, payment, ORDERED + 1)
    with pytest.raises(ExceptionNotDecidable, match="more than is left"):
        await decided(shop, payment, TAKE)
    assert (await now_is(shop, refund)).state == "submitted", "the proposal has done nothing"
    await decided(shop, payment, REFUND)
    payment = await shop.again(payment)
    assert (payment.amount_refunded_minor, payment.refundable_minor) == (AMOUNT, 0)


async def test_more_than_the_merchant_has_is_taken_once_an_overdraft_is_agreed(shop: RefundWorld) -> None:
    payment, other = await shop.paid(), await shop.paid()
    await shop.refund(other, AMOUNT - 1)
    await shop.refund(payment, AMOUNT - ORDERED)
    third = await shop.paid()
    refund = await misreported(shop, third, ORDERED + 5)
    for each in (payment, other):
        left = (await shop.again(each)).refundable_minor
        if left:
            await shop.refund(each, left)
    fourth = await shop.paid(fee_ppm=500_000)
    await shop.refund(fourth, (await shop.balances())[2001][0] - ORDERED)
    assert sum((await shop.balances())[2001]) == 0
    with pytest.raises(ExceptionNotDecidable, match="agree an overdraft"):
        await decided(shop, third, TAKE)
    assert sum((await shop.balances())[2001]) == 0, "and nothing was released"
    await shop.agree(5)
    await decided(shop, third, TAKE)
    assert (await now_is(shop, refund)).amount_minor == ORDERED + 5
    assert sum((await shop.balances())[2001]) == -5


async def test_a_repeated_order_is_compared_with_what_was_ordered(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1, merchant_refund_no=f"m-{payment.payment_id}")
    await decided(shop, payment, TAKE)
    assert refund.merchant_refund_no is not None
    again = RefundOrder(refund.merchant_refund_no, ORDERED, "damaged")
    claim = Claim(shop.merchant_id, refund.merchant_refund_no, b"1" * 32)
    assert (await shop.answered(payment, again, claim=claim))[0] == 200
    with pytest.raises(RefundNoReused):
        await shop.answered(payment, RefundOrder(refund.merchant_refund_no, ORDERED - 1, "damaged"))


async def test_a_late_success_of_another_amount_is_booked_as_unexplained(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED]
    await shop.refund(payment, ORDERED)
    (refund,) = await shop.refunds(payment)
    wrong = ChannelAnswer(ChannelState.SUCCEEDED, ORDERED - 1, "CNY")
    await shop.notify(Notification(refund.number, wrong, About.REFUND))
    await decided(shop, payment, TAKE)
    assert (await shop.balances())[2301] == (1 - ORDERED, 0)
    assert (await shop.again(payment)).refundable_minor == AMOUNT - ORDERED + 1
    assert (await now_is(shop, refund)).state == "failed"


async def test_a_payout_of_another_amount_is_taken_and_booked_out_of_the_account_that_sent_it(
    shop: RefundWorld,
) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED, PENDING]
    await shop.refund(payment, ORDERED)
    (refund,) = await shop.refunds(payment)
    sealed = seal_payee(VAULT, refund.refund_id, {"account": "13800138000"})
    assert await shop.convert(refund, "payout", payout_account_id=shop.account_id, payee_sealed=sealed) == "switched"
    await shop.sweep()
    (refund,) = await shop.refunds(payment)
    wrong = ChannelAnswer(ChannelState.SUCCEEDED, ORDERED - 1, "CNY")
    assert await shop.notify(Notification(refund.number, wrong, About.PAYOUT)) == "mismatch"
    (item,) = await listed(shop, payment)
    assert (item.about, item.number) == (About.PAYOUT, refund.number)
    await decided(shop, payment, TAKE)
    after = await now_is(shop, refund)
    assert (after.state, after.route, after.amount_minor, after.payee_sealed) == (
        "succeeded",
        "payout",
        ORDERED - 1,
        None,
    )
    assert (await shop.balances())[1101] == (ORDERED - 1 - AMOUNT, 0)


async def test_surplus_of_which_less_went_back_is_shown_to_operators_and_the_rest_stays_owed(shop: RefundWorld) -> None:
    payment = await shop.payment()
    await shop.close(payment)
    await shop.record(shop.report(payment.attempts[0], ChannelState.CLOSED))
    await shop.record(shop.report(payment.attempts[0], ChannelState.SUCCEEDED))
    (refund,) = await shop.refunds(payment)
    for amount_minor in (AMOUNT + 1, AMOUNT - 1):
        wrong = ChannelAnswer(ChannelState.SUCCEEDED, amount_minor, "CNY")
        await shop.notify(Notification(refund.number, wrong, About.REFUND))
    more, less = sorted(await listed(shop, payment), key=lambda item: -(item.amount_minor or 0))
    with pytest.raises(ExceptionNotDecidable, match="more than is left"):
        await approve(shop, await propose(shop, more, TAKE))
    await approve(shop, await propose(shop, less, TAKE))
    assert (await now_is(shop, refund)).state == "succeeded"
    assert (await shop.balances())[2202] == (1, 0)
    assert "refund.needs_attention" in [name for _, name in await shop.events(refund.refund_id)]


async def test_a_refund_with_items_is_taken_and_its_units_count_as_returned(shop: RefundWorld) -> None:
    from hutong.payments.items import Discount, Funder, NewLineItem, allocate_discounts

    paid = AMOUNT
    items = allocate_discounts(
        paid, [NewLineItem("tea", "Tea", 2, paid + 100)], [Discount("off", Funder.PLATFORM, 100)]
    )
    payment = await shop.paid(items=items)
    shop.channel.verdicts = [PENDING]
    await shop.refund(payment, None, items=(("tea", 1),))
    (refund,) = await shop.refunds(payment)
    wrong = ChannelAnswer(ChannelState.SUCCEEDED, refund.amount_minor - 1, "CNY")
    await shop.notify(Notification(refund.number, wrong, About.REFUND))
    await decided(shop, payment, TAKE)
    after = await now_is(shop, refund)
    assert (after.amount_minor, after.platform_minor) == (refund.amount_minor - 1, refund.platform_minor)
    await shop.refund(payment)
    assert [each.state for each in await shop.refunds(payment)] == ["succeeded"] * 2
    assert (await shop.again(payment)).refundable_minor == 1


async def test_another_accounts_refund_is_left_as_it_is(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    await shop.refund(payment, ORDERED)
    (refund,) = await shop.refunds(payment)
    other = RefundWorld(shop.database, shop.clock)
    other.channel.refunds, other.channel.outcomes = shop.channel.refunds, shop.channel.outcomes
    answer = other.channel.refund_notice(refund.number)
    assert await other.notify(answer) == "not_found"
    await other.lifecycle.stop()
    assert (await now_is(shop, refund)).state == "submitted"


async def test_one_of_many_decisions_at_once_moves_money(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    (item,) = await listed(shop, payment)
    ids = [await propose(shop, item, decision) for decision in (TAKE, REFUND, IGNORE) * 3]
    results = await asyncio.gather(*(approve(shop, each) for each in ids), return_exceptions=True)
    assert all(result is None or isinstance(result, ExceptionNotDecidable) for result in results)
    moving = [
        result is None
        for result, decision in zip(results, (TAKE, REFUND, IGNORE) * 3, strict=True)
        if decision is not IGNORE
    ]
    assert sum(moving) == 1
    after = await now_is(shop, refund)
    assert after.state == "succeeded"
    assert (await shop.again(payment)).amount_refunded_minor == after.amount_minor
    assert [name for _, name in await shop.events(refund.refund_id)] == ["refund.succeeded"]


@pytest.mark.parametrize("decision", [TAKE, REFUND])
async def test_a_decision_and_the_true_report_at_once_are_one_refund(
    shop: RefundWorld, decision: exceptions.ExceptionDecision
) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    (item,) = await listed(shop, payment)
    del shop.channel.misreports[refund.number]
    notice = shop.channel.refund_notice(refund.number)
    chosen = await propose(shop, item, decision)
    results = await asyncio.gather(
        *(shop.notify(notice) for _ in range(10)), approve(shop, chosen), return_exceptions=True
    )
    faults = [result for result in results if isinstance(result, Exception)]
    assert all(isinstance(fault, ExceptionNotDecidable) for fault in faults)
    after, payment = await now_is(shop, refund), await shop.again(payment)
    assert after.amount_minor in ({ORDERED - 1, ORDERED} if decision is TAKE else {ORDERED})
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (after.amount_minor, 0)
    assert (await shop.balances())[1101] == (after.amount_minor - AMOUNT, 0)
    assert [name for _, name in await shop.events(refund.refund_id)] == ["refund.succeeded"]


async def test_the_database_keeps_the_amount_of_a_refund_that_has_ended(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await misreported(shop, payment, ORDERED - 1)
    change = "UPDATE payments.refund SET amount_minor = $2, ordered_minor = $3 WHERE id = $1"

    async def attempt(*figures: int | None) -> None:
        with pytest.raises(asyncpg.CheckViolationError, match="does not change"):
            await shop.database.run(lambda tx: tx.execute(change, refund.refund_id, *figures))

    await attempt(1, None)  # the ordered amount would be lost
    await decided(shop, payment, TAKE)
    await attempt(1, ORDERED - 1)


steps = st.lists(
    st.tuples(
        st.integers(1, AMOUNT),  # what the merchant asks for
        st.integers(-300, 300),  # what the channel gives back besides
        st.sampled_from([TAKE, TAKE, REFUND, IGNORE]),
        st.booleans(),  # whether the channel fails it in the end, if it was ignored
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_whatever_is_reported_and_decided_never_more_than_was_captured_is_given_back(
    shop: RefundWorld, steps: Sequence[tuple[int, int, exceptions.ExceptionDecision, bool]]
) -> None:
    shop.channel.verdicts = []
    payment = await shop.paid(fee_ppm=6_000)
    sent: list[str] = []
    excess = 0
    for most, besides, decision, fails in steps:
        wanted = min(most, (await shop.again(payment)).refundable_minor)
        if not wanted:
            break
        # A channel holds to its own limit: never more than is left of what it has taken.
        returned = max(1, min(wanted + besides, AMOUNT - sum(taken(shop, no) for no in sent)))
        refund = await misreported(shop, payment, returned, ordered=wanted, returns_fee=True)
        sent.append(refund.number)
        items = [item for item in await listed(shop, payment) if item.refund_id == refund.refund_id]
        assert len(items) == (returned != wanted)
        for item in items:
            try:
                await approve(shop, await propose(shop, item, decision))
            except ExceptionNotDecidable:
                await approve(shop, await propose(shop, item, REFUND))
                excess += returned - wanted
            else:
                excess += max(returned - wanted, 0) if decision is REFUND else 0
            if decision is IGNORE:
                del shop.channel.misreports[refund.number]
                shop.channel.outcomes[refund.number] = FAILED if fails else ChannelAnswer(ChannelState.SUCCEEDED)
                await shop.notify(shop.channel.refund_notice(refund.number))
        payment = await shop.again(payment)
        refunds = await shop.refunds(payment)
        assert all(each.finished_at is not None for each in refunds), "every refund reaches its end"
        booked = sum(each.amount_minor for each in refunds if each.state == "succeeded")
        assert payment.amount_refunded_minor == booked <= payment.amount_captured_minor
        assert payment.amount_refunding_minor == 0
        assert sum(taken(shop, no) for no in sent) <= AMOUNT + excess
        await shop.books_have_no_holds()
    await shop.books_balance()


def taken(shop: RefundWorld, number: str) -> int:
    """What the channel has given back under a number."""
    if shop.channel.outcomes[number].state is not ChannelState.SUCCEEDED:
        return 0
    return shop.channel.misreports.get(number, (shop.channel.refunds[number].amount_minor, ""))[0]
