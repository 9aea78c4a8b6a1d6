"""Original way, payout, by hand: one after the other, each only once the one before is proven dead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from hutong import payments
from hutong.channels import ActionKind, ChannelAnswer, ChannelState, PaymentMethod
from hutong.clock import ManualClock
from hutong.db import Database
from hutong.errors import InvalidParameter
from hutong.payments.refunds.errors import RefundNotOffered
from hutong.payments.refunds.model import Refund
from hutong.payments.refunds.payee import seal_payee
from hutong.vault import Vault
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import REFUNDS, RefundWorld

FAILED = ChannelAnswer(ChannelState.FAILED, channel_code="CARD_CLOSED")
PENDING = ChannelAnswer(ChannelState.PENDING)
SUCCEEDED = ChannelAnswer(ChannelState.SUCCEEDED)
PAYEE = {"name": "李雷", "account": "6222020000000000"}
PAYS_OUT = replace(
    REFUNDS,
    methods={"test_qr": PaymentMethod(ActionKind.QR_CODE), "test_collection": PaymentMethod(None)},
    payout_methods=frozenset({"card"}),
    payee_requires=frozenset({"name", "account"}),
)


@pytest.fixture
async def shop(payments_database: Database, clock: ManualClock) -> AsyncIterator[RefundWorld]:
    made = RefundWorld(payments_database, clock)
    made.channel.capabilities = PAYS_OUT
    await made.quiet()
    yield made
    await made.lifecycle.stop()
    await made.books_have_no_holds()


async def failed(shop: RefundWorld, amount: int = 500, **order: object) -> tuple[payments.Payment, Refund]:
    payment = await shop.paid()
    shop.channel.verdicts = [FAILED]
    await shop.refund(payment, amount, **order)
    (refund,) = await shop.refunds(payment)
    assert refund.state == "failed"
    return payment, refund


def sealed(refund: Refund) -> bytes:
    return seal_payee(Vault([bytes(32)]), refund.refund_id, PAYEE)


async def deducted(shop: RefundWorld) -> payments.Payment:
    payment = await shop.payment(first_attempt=replace(shop.new_attempt(), method="test_collection"))
    await shop.record(shop.report(payment.attempts[0], ChannelState.SUCCEEDED))
    return await shop.again(payment)


async def test_a_deduction_under_an_agreement_goes_back_by_payout_by_itself(shop: RefundWorld) -> None:
    payment = await deducted(shop)
    shop.channel.verdicts = [FAILED]
    assert (await shop.refund(payment, 500, payee=PAYEE))["state"] == "payout"
    assert (await shop.balances())[2001] == (AMOUNT, -500)
    await shop.sweep()
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.route) == ("succeeded", "payout")
    assert [dict(p.payee) for p in shop.channel.payouts.values()] == [PAYEE]
    assert refund.payee_sealed is None  # not kept longer than it is needed
    assert (await shop.again(payment)).amount_refunded_minor == shop.channel.returned_minor == 500
    assert [kind for _, kind in await shop.events(refund.refund_id)] == ["refund.succeeded"]


async def test_a_channel_without_refunds_gives_a_deduction_back_by_payout(shop: RefundWorld) -> None:
    payment = await deducted(shop)
    shop.channel.capabilities = replace(PAYS_OUT, refund=None)
    shop.channel.verdicts = [FAILED]
    assert (await shop.refund(payment, 500, payee=PAYEE))["state"] == "payout"
    with pytest.raises(RefundNotOffered):
        await shop.refund(payment, 500)


async def test_a_payee_must_hold_what_payouts_of_the_channel_need(shop: RefundWorld) -> None:
    with pytest.raises(InvalidParameter) as error:
        await shop.refund(await deducted(shop), 500, payee={"name": "李雷"})
    assert error.value.param == "payee.account"


async def test_other_methods_wait_for_a_person_to_choose_the_next_way(shop: RefundWorld) -> None:
    payment, refund = await failed(shop, payee=PAYEE)
    assert await shop.convert(refund, "payout") == "refund_payee_missing"  # nobody has said through which account
    assert await shop.convert(refund, "payout", payout_account_id=shop.account_id) == "switched"
    assert await shop.convert(refund, "payout", payout_account_id=shop.account_id) == "refund_not_failed"
    await shop.sweep()
    assert [(r.state, r.route) for r in await shop.refunds(payment)] == [("succeeded", "payout")]
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2201]) == ((500 - AMOUNT, 0), (AMOUNT - 500, 0), (0, 0))


async def test_no_other_way_begins_while_one_may_still_succeed(shop: RefundWorld) -> None:
    payment = await shop.paid()
    for verdict in (PENDING, SUCCEEDED):
        shop.channel.verdicts = [verdict]
        await shop.refund(payment, 100)
    shop.channel.replies = False
    await shop.refund(payment, 100)
    for refund in await shop.refunds(payment):
        for route in ("payout", "manual"):
            payout_fields = {"payout_account_id": shop.account_id, "payee_sealed": sealed(refund)}
            assert await shop.convert(refund, route, **payout_fields) == "refund_not_failed"


async def test_a_failed_payout_goes_on_by_hand_and_never_back(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    payout_fields = {"payout_account_id": shop.account_id, "payee_sealed": sealed(refund)}
    assert await shop.convert(refund, "payout", **payout_fields) == "switched"
    shop.channel.verdicts = [FAILED]
    await shop.sweep()
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.route) == ("failed", "payout")
    assert (await shop.balances())[2001] == (AMOUNT, 0)
    assert await shop.convert(refund, "payout", **payout_fields) == "refund_route_tried"
    assert await shop.convert(refund, "manual") == "switched"
    assert (await shop.balances())[2001] == (AMOUNT, -500)
    settled = await shop.settle(refund, "icbc-20260101-7", from_bank=True)
    assert settled is not None
    assert await shop.settle(refund, "icbc-20260101-8") is None
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.route, refund.reference) == ("succeeded", "manual", "icbc-20260101-7")
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2201]) == ((-AMOUNT, 0), (AMOUNT - 500, 0), (0, 0))
    assert [kind for _, kind in await shop.events(refund.refund_id)] == [
        "refund.failed", "refund.failed", "refund.succeeded",
    ]  # fmt: skip


async def test_what_is_paid_by_hand_at_the_channels_portal_leaves_its_receivable(shop: RefundWorld) -> None:
    _, refund = await failed(shop)
    assert await shop.convert(refund, "manual") == "switched"
    assert await shop.settle(refund, "portal-1") is not None
    assert (await shop.balances())[1101] == (500 - AMOUNT, 0)


async def test_a_refund_that_a_person_gives_up_can_be_made_again(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    assert await shop.convert(refund, "manual") == "switched"
    assert await shop.settle(refund, None) is not None
    assert (await shop.refund(payment, AMOUNT))["state"] == "succeeded"


async def test_a_share_refunded_again_since_cannot_go_another_way_as_well(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    assert (await shop.refund(payment, AMOUNT))["state"] == "succeeded"
    assert await shop.convert(refund, "manual") == "refund_exceeds_available"


async def test_a_merchant_who_has_spent_the_money_gets_no_other_way(shop: RefundWorld) -> None:
    _, refund = await failed(shop, AMOUNT)
    await shop.refund(await shop.paid(fee_ppm=200_000), AMOUNT)  # a fifth of it was gone for the fee
    assert await shop.convert(refund, "manual") == "insufficient_merchant_funds"
    await shop.paid()
    assert await shop.convert(refund, "manual") == "switched"


async def test_a_payout_is_not_sent_if_the_original_way_has_succeeded_meanwhile(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    payout_fields = {"payout_account_id": shop.account_id, "payee_sealed": sealed(refund)}
    assert await shop.convert(refund, "payout", **payout_fields) == "switched"
    shop.channel.outcomes[refund.number] = SUCCEEDED
    await shop.sweep()
    assert shop.channel.payouts == {}
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.channel_code, refund.late_success_at is None) == (
        "failed",
        "original_succeeded",
        False,
    )
    assert await shop.convert(refund, "manual") == "refund_went_out"
    after = await shop.again(payment)
    assert (after.amount_refunded_minor, after.amount_refunding_minor) == (500, 0)
    balances = await shop.balances()
    assert (balances[1101], balances[2301], balances[2001]) == ((500 - AMOUNT, 0), (-500, 0), (AMOUNT, 0))


async def test_a_payout_waits_while_the_original_way_is_in_doubt_again(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    payout_fields = {"payout_account_id": shop.account_id, "payee_sealed": sealed(refund)}
    await shop.convert(refund, "payout", **payout_fields)
    shop.channel.outcomes[refund.number] = PENDING
    await shop.sweep()
    assert shop.channel.payouts == {}
    shop.channel.outcomes[refund.number] = FAILED
    await shop.sweep(timedelta(hours=1))
    assert len(shop.channel.payouts) == 1
    assert [(r.state, r.route) for r in await shop.refunds(payment)] == [("succeeded", "payout")]


async def test_an_original_success_beside_a_payout_is_a_reported_difference(shop: RefundWorld) -> None:
    payment, refund = await failed(shop)
    payout_fields = {"payout_account_id": shop.account_id, "payee_sealed": sealed(refund)}
    await shop.convert(refund, "payout", **payout_fields)
    await shop.sweep()
    shop.channel.outcomes[refund.number] = SUCCEEDED
    await shop.notify(shop.channel.refund_notice(refund.number))
    balances = await shop.balances()
    assert (balances[1101], balances[2301]) == ((1000 - AMOUNT, 0), (-500, 0))
    assert [kind for _, kind in await shop.events(refund.refund_id)] == [
        "refund.failed", "refund.succeeded", "refund.needs_attention",
    ]  # fmt: skip
    assert (await shop.again(payment)).amount_refunded_minor == 500


async def test_surplus_that_a_channel_refuses_permanently_is_paid_back_by_hand(shop: RefundWorld) -> None:
    payment = await shop.payment()
    await shop.close(payment)
    await shop.record(shop.report(payment.attempts[0], ChannelState.CLOSED))
    await shop.record(shop.report(payment.attempts[0], ChannelState.SUCCEEDED))
    shop.channel.verdicts = [FAILED] * 7
    for _ in range(8):
        await shop.sweep(timedelta(days=2))
    (refund,) = await shop.refunds(payment)
    assert await shop.convert(refund, "manual") == "switched"
    assert await shop.settle(refund, "portal-2") is not None
    balances = await shop.balances()
    assert (balances[1101], balances[2202]) == ((0, 0), (0, 0))
