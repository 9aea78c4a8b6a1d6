"""A refund's life is its channel's: it may fail after its success, or the money may be back already."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hutong.channels import ChannelAnswer, ChannelState
from hutong.errors import Unavailable
from hutong.ids import decode
from hutong.payments import Payment
from hutong.payments.refunds.model import Refund
from hutong.payments.refunds.payee import seal_payee
from hutong.payments.store import read_timeline
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import REFUNDS, RefundWorld
from support.platform import VAULT

SUCCEEDED, FAILED = ChannelAnswer(ChannelState.SUCCEEDED), ChannelAnswer(ChannelState.FAILED, channel_code="returned")
GIVEN_BACK = ChannelAnswer(ChannelState.FAILED, channel_code="INVALID_REQUEST", code="refund_exceeds")


async def refunded(shop: RefundWorld, payment: Payment, amount: int | None = None, **fields: Any) -> Refund:
    document = await shop.refund(payment, amount, **fields)
    assert document["state"] == "succeeded"
    return await now_is(shop, payment, document["id"])


async def now_is(shop: RefundWorld, payment: Payment, refund_id: str) -> Refund:
    (found,) = [r for r in await shop.refunds(payment) if r.refund_id == decode("ref", refund_id)]
    return found


async def again(shop: RefundWorld, payment: Payment, refund: Refund) -> Refund:
    (found,) = [r for r in await shop.refunds(payment) if r.refund_id == refund.refund_id]
    return found


async def types(shop: RefundWorld, refund: Refund) -> list[str]:
    return [kind for _, kind in await shop.events(refund.refund_id)]


# A success that fails.


async def test_a_refund_that_fails_after_its_success_is_booked_back_exactly_and_its_amount_is_free(
    shop: RefundWorld,
) -> None:
    payment = await shop.paid(fee_ppm=6_000)
    before = {code: balance for code, balance in (await shop.balances()).items() if balance != (0, 0)}
    refund = await refunded(shop, payment, 1000, returns_fee=True)
    assert refund.fee_minor > 0
    success = shop.channel.refund_notice(refund.number)
    shop.channel.outcomes[refund.number] = FAILED
    late = shop.channel.refund_notice(refund.number)
    outcomes = await asyncio.gather(*(shop.notify(each) for each in [late, success] * 100))
    assert sorted(set(outcomes)) == ["applied", "unchanged"]
    assert [str(outcome) for outcome in outcomes].count("applied") == 1
    after, payment = await again(shop, payment, refund), await shop.again(payment)
    assert (after.state, after.channel_code, after.late_success_at) == ("failed", "returned", None)
    assert after.late_failure_at == after.finished_at
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (0, 0)
    assert {code: balance for code, balance in (await shop.balances()).items() if balance != (0, 0)} == before
    assert await types(shop, refund) == ["refund.succeeded", "refund.failed_after_success", "refund.needs_attention"]
    async with shop.database.transaction() as tx:
        lines = [entry.what for _, entry in await read_timeline(tx, [payment.payment_id])]
    assert lines[-1] == "refund.failed_after_success"
    again_refunded = await refunded(shop, payment, returns_fee=True)
    assert again_refunded.amount_minor == AMOUNT, "all of it can be refunded again"


async def test_a_message_that_is_older_than_the_end_changes_nothing(shop: RefundWorld) -> None:
    """A channel that refused first, and has given the money back since, may tell both in any order."""
    payment = await shop.paid()
    refund = await refunded(shop, payment, 1000)
    shop.channel.outcomes[refund.number] = FAILED
    outdated = shop.channel.refund_notice(refund.number)
    shop.channel.outcomes[refund.number] = SUCCEEDED
    assert await shop.notify(outdated) == "unchanged"
    assert (await again(shop, payment, refund)).state == "succeeded"
    assert await types(shop, refund) == ["refund.succeeded"]


async def test_a_message_about_a_success_that_comes_after_its_failure_moves_no_money(shop: RefundWorld) -> None:
    """A bank returns a refund before the message about its success has arrived, and both messages arrive at once."""
    payment = await shop.paid()
    shop.channel.verdicts = [ChannelAnswer(ChannelState.PENDING)]
    document = await shop.refund(payment, 1000)
    (refund,) = await shop.refunds(payment)
    shop.channel.outcomes[refund.number] = SUCCEEDED
    success = shop.channel.refund_notice(refund.number)
    shop.channel.outcomes[refund.number] = FAILED
    failure = shop.channel.refund_notice(refund.number)
    await asyncio.gather(*(shop.notify(each) for each in [failure, success] * 50))
    await shop.notify(success)
    after, payment = await again(shop, payment, refund), await shop.again(payment)
    assert (document["state"], after.state, after.late_success_at) == ("submitted", "failed", None)
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (0, 0)
    assert (await shop.balances())[2301] == (0, 0)


async def test_a_failure_that_the_channel_does_not_confirm_is_not_accepted_so_that_it_comes_again(
    shop: RefundWorld,
) -> None:
    payment = await shop.paid()
    refund = await refunded(shop, payment, 1000)
    shop.channel.outcomes[refund.number] = FAILED
    late = shop.channel.refund_notice(refund.number)
    shop.channel.replies = False
    with pytest.raises(Unavailable):
        await shop.notify(late)
    assert (await again(shop, payment, refund)).state == "succeeded"
    shop.channel.replies = True
    assert await shop.notify(late) == "applied"


@pytest.mark.parametrize("route", ["payout", "manual"])
async def test_after_a_late_failure_another_way_is_open_as_after_any_failure(shop: RefundWorld, route: str) -> None:
    payment = await shop.paid()
    refund = await refunded(shop, payment, 1000)
    success = shop.channel.refund_notice(refund.number)
    shop.channel.outcomes[refund.number] = FAILED
    late = shop.channel.refund_notice(refund.number)
    await shop.notify(late)
    payee = seal_payee(VAULT, refund.refund_id, {"identity": "p@example.com"})
    options = {"payout_account_id": shop.account_id, "payee_sealed": payee} if route == "payout" else {}
    assert await shop.convert(await again(shop, payment, refund), route, **options) == "switched"
    await shop.notify(success)  # a copy from before
    if route == "payout":
        await shop.sweep(timedelta(seconds=1))
    else:
        await shop.settle(refund, "bank 1")
    await shop.notify(late)
    after, payment = await again(shop, payment, refund), await shop.again(payment)
    assert (after.state, after.route, after.late_success_at) == ("succeeded", route, None)
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (1000, 0)
    assert (await shop.balances())[1101] == (1000 - AMOUNT, 0)
    assert (await shop.balances())[2301] == (0, 0)


async def test_a_success_after_a_late_failure_is_booked_as_unexplained_once(shop: RefundWorld) -> None:
    payment = await shop.paid()
    refund = await refunded(shop, payment, 1000)
    for outcome in (FAILED, SUCCEEDED):
        shop.clock.advance(timedelta(seconds=1))
        shop.channel.outcomes[refund.number] = outcome
        notice = shop.channel.refund_notice(refund.number)
        await asyncio.gather(*(shop.notify(notice) for _ in range(20)))
    after, payment = await again(shop, payment, refund), await shop.again(payment)
    assert after.state == "failed"
    assert after.late_success_at is not None
    assert (payment.amount_refunded_minor, (await shop.balances())[2301]) == (1000, (-1000, 0))
    assert await shop.convert(after, "manual") == "refund_went_out"


async def test_a_surplus_that_fails_after_its_success_is_owed_again(shop: RefundWorld) -> None:
    payment = await shop.payment()
    await shop.close(payment)
    attempt = payment.attempts[0]
    await shop.record(shop.report(attempt, ChannelState.CLOSED), shop.report(attempt, ChannelState.SUCCEEDED))
    await shop.sweep()
    (refund,) = await shop.refunds(payment)
    assert (refund.kind, refund.state) == ("surplus", "succeeded")
    shop.channel.outcomes[refund.number] = FAILED
    await shop.notify(shop.channel.refund_notice(refund.number))
    (after,) = await shop.refunds(payment)
    assert (after.state, (await shop.balances())[2202]) == ("failed", (AMOUNT, 0))
    assert (await types(shop, refund))[-1] == "refund.needs_attention"


# A refund that is not needed any more.


@pytest.mark.parametrize("voids", [False, True])
async def test_a_refund_of_money_that_is_back_already_is_superseded_and_goes_no_other_way(
    shop: RefundWorld, voids: bool
) -> None:
    shop.channel.capabilities = replace(REFUNDS, same_day_void=voids)
    payment = await shop.paid()
    shop.channel.verdicts = [GIVEN_BACK, GIVEN_BACK] if voids else [GIVEN_BACK]
    document = await shop.refund(payment)
    if voids:
        await shop.sweep()
    refund = await now_is(shop, payment, document["id"])
    assert (refund.state, refund.payee_sealed, refund.next_query_at) == ("superseded", None, None)
    assert refund.finished_at is not None
    payment = await shop.again(payment)
    assert (payment.amount_refunded_minor, payment.amount_refunding_minor) == (0, 0)
    assert (await shop.balances())[2001] == (AMOUNT, 0)
    assert await types(shop, refund) == ["refund.superseded"]
    payee = seal_payee(VAULT, refund.refund_id, {"identity": "p@example.com"})
    assert await shop.convert(refund, "payout", payout_account_id=shop.account_id, payee_sealed=payee) == (
        "refund_superseded"
    )
    assert await shop.convert(refund, "manual") == "refund_superseded"
    assert await shop.settle(refund, "bank 1") is None


async def test_a_refusal_that_may_pass_supersedes_nothing(shop: RefundWorld) -> None:
    payment = await shop.paid()
    shop.channel.verdicts = [replace(GIVEN_BACK, retryable=True)]
    assert (await shop.refund(payment))["state"] == "held"
    await shop.sweep(timedelta(minutes=2))
    assert [refund.state for refund in await shop.refunds(payment)] == ["succeeded"]
