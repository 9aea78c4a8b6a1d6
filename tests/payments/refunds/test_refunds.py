"""Money back: reserved first, never more than was taken, and never lost on the way."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from hutong import idempotency, payments
from hutong.channels import ChannelAnswer, ChannelState, RefundRule
from hutong.errors import HutongError
from hutong.idempotency.errors import KeyReused
from hutong.ids import decode, encode
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.refunds.errors import RefundNoReused
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.refunds.model import Refund
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import REFUNDS, RefundWorld

FAILED = ChannelAnswer(ChannelState.FAILED, channel_code="USER_ACCOUNT_ABNORMAL")
PENDING = ChannelAnswer(ChannelState.PENDING)
LATER = ChannelAnswer(ChannelState.FAILED, channel_code="NOT_ENOUGH", retryable=True)


async def test_a_refund_gives_back_what_was_asked_and_books_it(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await shop.refund(payment, 500)
    assert (refund["state"], refund["route"], refund["amount_minor"]) == ("succeeded", "original", 500)
    after = await shop.again(payment)
    assert (after.status, after.amount_refunded_minor, after.amount_refunding_minor) == ("succeeded", 500, 0)
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2201]) == ((-1499, 0), (1499, 0), (0, 0))
    assert await shop.events(decode("ref", refund["id"])) == [(1, "refund.succeeded")]


async def test_money_is_reserved_while_the_channel_has_not_decided(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    refund = await shop.refund(payment, 500)
    assert refund["state"] == "submitted"
    assert (await shop.balances())[2001] == (AMOUNT, -500)
    assert (await shop.again(payment)).amount_refunding_minor == 500
    shop.channel.outcomes[refund["id"]] = ChannelAnswer(ChannelState.SUCCEEDED)
    await shop.sweep()
    assert (await shop.balances())[2001] == (AMOUNT - 500, 0)
    assert [r.state for r in await shop.refunds(payment)] == ["succeeded"]


async def test_a_refused_refund_releases_its_money(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED]
    refund = await shop.refund(payment, AMOUNT)
    assert (refund["state"], refund["channel_code"]) == ("failed", "USER_ACCOUNT_ABNORMAL")
    assert (await shop.balances())[2001] == (AMOUNT, 0)
    assert (await shop.again(payment)).amount_refunding_minor == 0
    assert await shop.events(decode("ref", refund["id"])) == [(1, "refund.failed")]
    assert (await shop.refund(payment, AMOUNT))["state"] == "succeeded"


async def test_a_lost_reply_is_asked_about_and_never_sent_under_another_number(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.replies = False
    refund = await shop.refund(payment, 500)
    assert refund["state"] == "unknown"
    shop.channel.replies = True
    await shop.sweep()
    assert [call for call, _ in shop.channel.calls] == ["refund", "query_refund"]
    assert (await shop.refunds(payment))[0].state == "succeeded"
    assert shop.channel.returned_minor == 500


async def test_refunds_end_within_a_minute_of_the_return_of_a_channel_that_was_silent(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.replies = False
    for _ in range(5):
        await shop.refund(payment, 100)
    for _ in range(60):  # ten minutes, in which the pauses between queries grow
        await shop.sweep(timedelta(seconds=10))
    shop.channel.replies = True
    for _ in range(12):
        await shop.sweep(timedelta(seconds=5))
    assert [refund.state for refund in await shop.refunds(payment)] == ["succeeded"] * 5


async def test_a_refund_that_stays_in_doubt_is_reported_twice_and_never_given_up(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.reachable = False
    await shop.refund(payment, 500)
    with capture_logs() as logs:
        for _ in range(40):
            await shop.sweep(timedelta(hours=1))
            await shop.lifecycle.report_in_doubt()
    (refund,) = await shop.refunds(payment)
    mine = [line["event"] for line in logs if line.get("refund") == refund.number]
    assert mine == ["refund_in_doubt"] * 2
    assert (refund.state, refund.next_query_at is None) == ("unknown", False)
    assert (await shop.balances())[2001] == (AMOUNT, -500)


async def test_a_crash_between_reserve_and_call_is_healed_by_sending_the_number(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await shop.intend(payment, 500)
    assert shop.channel.calls == []
    assert (await shop.balances())[2001] == (AMOUNT, -500)
    await shop.sweep()
    assert (await shop.refunds(payment))[0].state == "succeeded"
    assert shop.channel.returned_minor == 500


async def test_a_refund_that_never_arrived_is_sent_again_under_the_same_number(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.reachable = False
    refund = await shop.refund(payment, 500)
    assert refund["state"] == "unknown"
    shop.channel.reachable = True
    await shop.sweep()
    calls = [("refund", refund["id"]), ("query_refund", refund["id"]), ("refund", refund["id"])]
    assert shop.channel.calls == calls
    assert (await shop.refunds(payment))[0].state == "succeeded"


async def test_a_refusal_that_may_pass_is_tried_again_under_the_same_number_and_keeps_its_reserve(
    shop: RefundWorld,
) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [LATER]
    refund = await shop.refund(payment, 500)
    assert refund["state"] == "held"
    assert (await shop.balances())[2001] == (AMOUNT, -500)
    await shop.sweep(timedelta(seconds=30))
    assert len(shop.channel.calls) == 1
    await shop.sweep(timedelta(seconds=31))
    assert (await shop.refunds(payment))[0].state == "succeeded"
    assert list(shop.channel.refunds) == [refund["id"]]


async def test_a_permanently_refused_refund_fails_after_the_last_attempt(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [LATER] * 7
    refund = await shop.refund(payment, 500)
    for _ in range(6):
        await shop.sweep(timedelta(days=2))
    assert (await shop.refunds(payment))[0].state == "failed"
    assert await shop.events(decode("ref", refund["id"])) == [(1, "refund.failed")]


async def test_a_notification_decides_and_its_repetition_changes_nothing(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    refund = await shop.refund(payment, 500)
    shop.channel.outcomes[refund["id"]] = ChannelAnswer(ChannelState.SUCCEEDED, channel_order_no="5030")
    for _ in range(3):
        await shop.notify(shop.channel.refund_notice(refund["id"]))
    (after,) = await shop.refunds(payment)
    assert (after.state, after.channel_refund_no) == ("succeeded", "5030")
    assert await shop.events(after.refund_id) == [(1, "refund.succeeded")]
    assert (await shop.balances())[1101] == (500 - AMOUNT, 0)


async def test_a_notification_about_another_amount_is_kept_and_books_nothing(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    refund = await shop.refund(payment, 500)
    notice = shop.channel.refund_notice(refund["id"])
    wrong = replace(notice, answer=ChannelAnswer(ChannelState.SUCCEEDED, 501, "CNY"))
    assert await shop.notify(wrong) is RecordOutcome.MISMATCH
    assert (await shop.refunds(payment))[0].state == "submitted"


async def test_another_account_cannot_speak_of_a_refund(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [PENDING]
    refund = await shop.refund(payment, 500)
    notice = shop.channel.refund_notice(refund["id"])
    assert await shop.notify(notice, account_id=shop.ids.new()) is RecordOutcome.NOT_FOUND


# What is refused


async def refused(shop: RefundWorld, payment: payments.Payment, amount: int | None, **changed: str) -> str:
    before = await shop.refunds(payment)
    with pytest.raises(HutongError) as error:
        await shop.refund(payment, amount, **changed)
    assert await shop.refunds(payment) == before
    assert 400 <= error.value.http_status < 500
    return error.value.code


async def test_more_than_is_left_is_refused(shop: RefundWorld) -> None:
    payment = await shop.paid()
    await shop.refund(payment, 1000)
    assert await refused(shop, payment, 1000) == "refund_exceeds_available"
    assert (await shop.refund(payment))["amount_minor"] == 999
    assert await refused(shop, payment, 1) == "refund_exceeds_available"
    assert await refused(shop, payment, None) == "refund_exceeds_available"


async def test_an_unpaid_payment_has_nothing_to_give_back(shop: RefundWorld) -> None:
    assert await refused(shop, await shop.payment(), 1) == "payment_not_refundable"


async def test_a_merchant_without_money_is_refused(shop: RefundWorld) -> None:
    payment = await shop.paid(fee_ppm=6_000)  # 12 of 1999 are gone for the fee, and the contract returns none
    assert await refused(shop, payment, AMOUNT) == "insufficient_merchant_funds"
    assert (await shop.refund(payment, AMOUNT - 12))["state"] == "succeeded"


async def test_one_that_falls_away_for_want_of_money_does_not_stand_in_the_way_of_the_next(shop: RefundWorld) -> None:
    payment = await shop.paid(fee_ppm=6_000)
    asked = await shop.intend(payment, AMOUNT, 900, 1000)
    assert asked[0].refusal == "insufficient_merchant_funds"
    assert [a.refund.amount_minor for a in asked[1:]] == [900, 1000]
    assert (await shop.balances())[2001] == (AMOUNT - 12, -1900)


RULES = {
    "refund_not_offered": (None, timedelta(days=1), 1),
    "refund_window_closed": (RefundRule(timedelta(days=90)), timedelta(days=91), 1),
    "partial_refund_not_offered": (RefundRule(timedelta(days=90), partial=False), timedelta(days=1), 1),
    "same_day_refund_not_offered": (RefundRule(timedelta(days=90), same_day=False), timedelta(hours=1), AMOUNT),
}


@pytest.mark.parametrize("code", RULES)
async def test_a_rule_of_the_channel_is_checked_before_money_is_reserved(shop: RefundWorld, code: str) -> None:
    rule, age, amount = RULES[code]
    shop.channel.capabilities = replace(REFUNDS, refund=rule)
    payment = await shop.paid()
    shop.clock.advance(age)
    assert await refused(shop, payment, amount) == code
    assert (await shop.balances())[2001] == (AMOUNT, 0)


async def test_no_more_refunds_than_the_channel_takes(shop: RefundWorld) -> None:
    shop.channel.capabilities = replace(REFUNDS, refund=RefundRule(timedelta(days=90), count_max=2))
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED]
    for _ in range(3):  # the one that failed does not count
        await shop.refund(payment, 1)
    assert await refused(shop, payment, 1) == "refund_count_exceeded"


async def test_a_whole_payment_is_voided_on_its_day_and_refunded_if_that_does_not_work(shop: RefundWorld) -> None:
    shop.channel.capabilities = replace(REFUNDS, same_day_void=True)
    first, second, third = [await shop.paid() for _ in range(3)]
    assert (await shop.refund(first))["route"] == "void"
    shop.channel.verdicts = [FAILED]
    refund = await shop.refund(second)
    assert (refund["state"], refund["route"]) == ("held", "original")
    await shop.sweep()
    assert [(r.state, r.route) for r in await shop.refunds(second)] == [("succeeded", "original")]
    numbers = [number for call, number in shop.channel.calls]
    assert len(set(numbers)) == len(numbers) == 3  # a void and a refund are two orders of the channel
    shop.clock.advance(timedelta(days=1))
    assert (await shop.refund(third))["route"] == "original"


async def test_a_void_that_is_refused_for_now_is_tried_again_before_another_way_begins(shop: RefundWorld) -> None:
    shop.channel.capabilities = replace(REFUNDS, same_day_void=True)
    payment = await shop.paid()
    shop.channel.verdicts = [LATER]
    assert (await shop.refund(payment))["route"] == "void"
    await shop.sweep()
    assert [(r.state, r.route) for r in await shop.refunds(payment)] == [("succeeded", "void")]
    assert len(shop.channel.refunds) == 1


# Repetition


async def test_a_refund_number_permanently_stands_for_one_refund(shop: RefundWorld) -> None:
    payment = await shop.paid()
    order = RefundOrder("one-1", 500, "damaged")
    status, first = await shop.answered(payment, order)
    assert status == 201
    assert await shop.answered(payment, order) == (200, first)
    assert await refused(shop, payment, 501, merchant_refund_no="one-1") == "refund_no_reused"
    other = await shop.paid()
    assert await refused(shop, other, 500, merchant_refund_no="one-1") == "refund_no_reused"
    assert shop.channel.returned_minor == 500


async def test_a_key_gets_its_first_answer_again_also_a_refusal(shop: RefundWorld) -> None:
    payment = await shop.paid()
    claim = idempotency.Claim(shop.merchant_id, "key-1", b"1" * 32)
    order = RefundOrder("keyed-1", 500, "damaged")
    first = await shop.answered(payment, order, claim=claim)
    assert await shop.answered(payment, order, claim=claim) == first
    refusal = idempotency.Claim(shop.merchant_id, "key-2", b"2" * 32)
    for _ in range(2):
        with pytest.raises(RefundNoReused):
            await shop.answered(payment, RefundOrder("keyed-1", 501, "damaged"), claim=refusal)
    with pytest.raises(KeyReused):
        await shop.answered(payment, order, claim=replace(refusal, fingerprint=b"3" * 32))


async def test_one_number_asked_for_many_times_at_once_is_one_refund(shop: RefundWorld) -> None:
    first, second = await shop.paid(), await shop.paid()
    orders = [shop.answered(p, RefundOrder("race-1", 5, "x")) for p in (first, second) for _ in range(20)]
    answers = await asyncio.gather(*orders, return_exceptions=True)
    created = [a for a in answers if isinstance(a, tuple) and a[0] == 201]
    assert len(created) == 1
    assert {a.code for a in answers if isinstance(a, HutongError)} == {"refund_no_reused"}
    assert len(shop.channel.refunds) == 1


@pytest.mark.parametrize("flows", [1, 3])
async def test_two_hundred_at_once_never_give_back_more_than_was_taken(
    shop: RefundWorld, rng: random.Random, flows: int
) -> None:
    payment, other = await shop.paid(), await shop.paid()
    processes = [shop.lifecycle, *(shop.new_process().lifecycle for _ in range(flows - 1))]
    shop.channel.capabilities = replace(REFUNDS, refund=RefundRule(timedelta(days=90), count_max=1000))
    amounts = [rng.randint(10, 90) for _ in range(200)]
    shop.channel.verdicts = [FAILED] * 10
    answers = await asyncio.gather(
        *(
            shop.answered(payment, RefundOrder(f"r{flows}-{n}", amount, "race"), lifecycle=processes[n % flows])
            for n, amount in enumerate(amounts)
        ),
        return_exceptions=True,
    )
    for process in processes[1:]:
        await process.stop()
    assert {a.code for a in answers if isinstance(a, HutongError)} == {"refund_exceeds_available"}
    after = await shop.again(payment)
    given = [r for r in await shop.refunds(payment) if r.state == "succeeded"]
    assert sum(r.amount_minor for r in given) == after.amount_refunded_minor == shop.channel.returned_minor <= AMOUNT
    assert after.amount_refunding_minor == 0
    assert (await shop.balances())[1101] == (after.amount_refunded_minor - 2 * AMOUNT, 0)
    assert (await shop.again(other)).amount_refunded_minor == 0


# Surplus


async def surplus(shop: RefundWorld) -> tuple[payments.Payment, Refund]:
    payment = await shop.payment()
    await shop.close(payment)
    await shop.record(shop.report(payment.attempts[0], ChannelState.CLOSED))
    await shop.record(*[shop.report(payment.attempts[0], ChannelState.SUCCEEDED) for _ in range(3)])
    (refund,) = await shop.refunds(payment)
    return payment, refund


async def test_money_taken_after_the_end_is_given_back_once_and_by_itself(shop: RefundWorld) -> None:
    payment, refund = await surplus(shop)
    assert (refund.kind, refund.state, refund.amount_minor) == ("surplus", "held", AMOUNT)
    assert (await shop.balances())[2202] == (AMOUNT, 0)
    for _ in range(3):
        await shop.sweep()
    balances = await shop.balances()
    assert (balances[1101], balances[2202]) == ((0, 0), (0, 0))
    assert list(shop.channel.refunds) == [encode("ref", refund.refund_id)]
    assert [kind for _, kind in await shop.events(payment.payment_id)] == [
        "payment.closed", "payment.surplus_received", "payment.surplus_refunded",
    ]  # fmt: skip
    assert (await shop.again(payment)).amount_refunded_minor == 0


async def test_a_refused_surplus_refund_is_tried_again_and_reported(shop: RefundWorld) -> None:
    payment, refund = await surplus(shop)
    shop.channel.verdicts = [FAILED, FAILED]
    with capture_logs() as logs:
        for _ in range(3):
            await shop.sweep(timedelta(hours=1))
    (after,) = await shop.refunds(payment)
    assert (after.state, after.tries) == ("succeeded", 2)
    assert [kind for _, kind in await shop.events(refund.refund_id)] == ["refund.needs_attention"] * 2
    assert list(shop.channel.refunds) == [encode("ref", refund.refund_id)]
    assert [(line["event"], line["log_level"]) for line in logs] == [("surplus_refund_refused", "error")] * 2


async def test_surplus_that_no_attempt_returns_stays_owed_in_the_books(shop: RefundWorld) -> None:
    payment, refund = await surplus(shop)
    shop.channel.verdicts = [FAILED] * 7
    for _ in range(9):
        await shop.sweep(timedelta(days=2))
    assert [r.state for r in await shop.refunds(payment)] == ["failed"]
    assert (await shop.balances())[2202] == (AMOUNT, 0)
    assert [kind for _, kind in await shop.events(refund.refund_id)] == ["refund.needs_attention"] * 7


async def test_a_second_success_is_surplus_and_does_not_count_as_a_refund_of_the_first(shop: RefundWorld) -> None:
    payment = await shop.payment()
    await shop.record(shop.report(payment.attempts[0], ChannelState.FAILED))
    second = (await shop.start(payment)).attempt
    await shop.record(
        shop.report(second, ChannelState.SUCCEEDED), shop.report(payment.attempts[0], ChannelState.SUCCEEDED)
    )
    await shop.sweep()
    assert [(r.kind, r.state) for r in await shop.refunds(payment)] == [("surplus", "succeeded")]
    assert (await shop.refund(await shop.again(payment)))["amount_minor"] == AMOUNT
    assert shop.channel.returned_minor == 2 * AMOUNT


# Late success


async def test_a_refund_that_succeeds_after_it_was_proven_failed_is_booked_as_unexplained(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED]
    refund = await shop.refund(payment, 500)
    shop.channel.outcomes[refund["id"]] = ChannelAnswer(ChannelState.SUCCEEDED)
    with capture_logs() as logs:
        for _ in range(2):
            await shop.notify(shop.channel.refund_notice(refund["id"]))
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2301]) == ((500 - AMOUNT, 0), (AMOUNT, 0), (-500, 0))
    (after,) = await shop.refunds(payment)
    assert (after.state, after.late_success_at is None) == ("failed", False)
    assert [kind for _, kind in await shop.events(after.refund_id)] == ["refund.failed", "refund.needs_attention"]
    assert [line["event"] for line in logs] == ["refund_succeeded_late"]
    # It is gone, so it cannot be given back a second time.
    assert (await shop.refund(await shop.again(payment)))["amount_minor"] == AMOUNT - 500
