"""Who pays for a refund: the merchant, our fee by contract, and below zero only as far as agreed."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from hutong import ledger
from hutong.channels import ChannelAnswer, ChannelState
from hutong.ledger.accounting.chart import account_id
from hutong.ledger.model import AccountFilter, AccountFilterFlags
from hutong.money import fee_minor
from hutong.payments.refunds.errors import InsufficientMerchantFunds, RefundExceedsAvailable
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import RefundWorld

FAILED = ChannelAnswer(ChannelState.FAILED)
FEE_PPM = 6_000


async def lowest(shop: RefundWorld) -> int:
    """The lowest that the merchant's balance ever was, holds counted."""
    account = account_id(2001, shop.merchant_id, "CNY")
    both = AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS
    async with shop.database.transaction() as tx:
        book = ledger.Ledger(tx, clock=shop.clock.now_ns)
        rows = await book.get_account_balances(AccountFilter(account, 0, 0, 0, 0, 0, 0, 8190, both))
    return min(row.credits_posted - row.debits_posted - row.debits_pending for row in rows)


async def test_our_fee_pays_its_share_of_the_refund(shop: RefundWorld) -> None:
    payment = await shop.paid(fee_ppm=FEE_PPM)
    assert (await shop.balances())[2001] == (AMOUNT - 12, 0)
    refund = await shop.refund(payment, returns_fee=True)
    assert (refund["state"], refund["amount_minor"], refund["fee_returned_minor"]) == ("succeeded", AMOUNT, 12)
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2201]) == ((0, 0), (0, 0), (0, 0))


async def test_a_contract_may_return_no_fee(shop: RefundWorld) -> None:
    await shop.paid()
    payment = await shop.paid(fee_ppm=FEE_PPM)
    assert (await shop.refund(payment))["fee_returned_minor"] == 0
    assert (await shop.balances())[2001] == (AMOUNT - 12, 0)


async def test_what_fails_returns_no_fee(shop: RefundWorld) -> None:
    payment = await shop.paid(fee_ppm=FEE_PPM)
    shop.channel.verdicts = [FAILED]
    await shop.refund(payment, returns_fee=True)
    assert (await shop.balances())[2001] == (AMOUNT - 12, 0)


@pytest.mark.parametrize("seed", range(12))
async def test_the_fee_comes_back_exactly_in_whatever_parts_and_order(shop: RefundWorld, seed: int) -> None:
    chance = random.Random(seed)
    amount, fee_ppm = chance.randint(1, 3000), chance.choice([1, 3_800, 6_000, 33_333, 200_000])
    payment = await shop.paid(amount_minor=amount, fee_ppm=fee_ppm)
    returned = 0
    while (left := (await shop.again(payment)).refundable_minor) > 0:
        fails = chance.random() < 0.3
        shop.channel.verdicts = [FAILED] if fails else []
        part = chance.randint(1, max(1, min(left, left // 3 + 1)))
        refund = await shop.refund(payment, part, returns_fee=True)
        assert 0 <= refund["fee_returned_minor"] <= part
        returned += 0 if fails else refund["fee_returned_minor"]
    assert returned == fee_minor(amount, fee_ppm)
    assert (await shop.balances())[2001] == (0, 0)


async def test_an_agreed_overdraft_lets_refunds_take_the_balance_below_zero_and_no_further(shop: RefundWorld) -> None:
    payment, other = await shop.paid(fee_ppm=200_000), await shop.paid(fee_ppm=200_000)
    await shop.agree(799)
    assert (await shop.refund(payment))["state"] == "succeeded"
    with pytest.raises(InsufficientMerchantFunds):
        await shop.refund(other)
    assert (await shop.refund(other, AMOUNT - 1))["state"] == "succeeded"
    assert (await shop.balances())[2001] == (-799, 0)
    await shop.agree(0)  # the end of the agreement takes nothing back and gives nothing more
    with pytest.raises(InsufficientMerchantFunds):
        await shop.refund(other, 1)
    await shop.paid()
    assert (await shop.refund(other, 1))["state"] == "succeeded"


@pytest.mark.parametrize("seed", range(6))
async def test_no_sequence_of_refunds_passes_the_overdraft(shop: RefundWorld, seed: int) -> None:
    chance = random.Random(seed)
    limit = 0
    deepest = 0
    paid = [await shop.paid(fee_ppm=200_000)]
    for _ in range(25):
        shop.clock.advance(timedelta(seconds=1))
        match chance.choice(["pay", "refund", "refund", "refund", "agree"]):
            case "pay":
                paid.append(await shop.paid(fee_ppm=200_000))
            case "agree":
                limit = chance.choice([0, 300, 900])
                deepest = max(deepest, limit)
                await shop.agree(limit)
            case _:
                shop.channel.verdicts = [chance.choice([FAILED, ChannelAnswer(ChannelState.PENDING)])]
                shop.channel.verdicts *= chance.choice([0, 1])
                before = (await shop.balances())[2001]
                amount = chance.randint(1, AMOUNT)
                try:
                    await shop.refund(chance.choice(paid), amount)
                except InsufficientMerchantFunds:
                    assert sum(before) + limit < amount
                except RefundExceedsAvailable:
                    pass
                else:
                    assert sum(before) + limit >= amount
        assert await lowest(shop) >= -deepest
