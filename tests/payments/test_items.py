"""Items, discounts and who bears them: no minor unit is lost, and all refunds together return exactly what was paid."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong import ledger, payments
from hutong.channels import ChannelAnswer, ChannelState
from hutong.errors import HutongError, InvalidParameter
from hutong.ledger.accounting.chart import PLATFORM_OWNERS, AccountOwner, account_id
from hutong.payments.items import (
    Discount,
    Funder,
    LineItem,
    NewLineItem,
    RefundLine,
    allocate_discounts,
    line_of,
    units_left,
)
from hutong.payments.refunds.errors import RefundExceedsAvailable, UnknownRefundItem
from hutong.payments.store import items_of
from support.fixtures.refunds import RefundWorld

FAILED = ChannelAnswer(ChannelState.FAILED)


# Shares, without a database


@pytest.mark.parametrize(("total", "refund"), [(15_000, 4_230), (16_000, 4_259), (17_600, 4_299)])
def test_an_item_of_47_with_15_off_the_whole_is_worth_what_was_computed_by_hand(total: int, refund: int) -> None:
    items = [NewLineItem("gone", "out of stock", 1, 4_700), NewLineItem("rest", "the rest", 1, total - 4_700)]
    shares = allocate_discounts(total - 1_500, items, [Discount("15 off 69", Funder.PLATFORM, 1_500)])
    assert line_of(shares[0], 1, []).payer_minor == refund
    assert sum(item.platform_minor for item in shares) == 1_500


def test_a_discount_on_the_whole_is_spread_in_proportion_to_price() -> None:
    items = [NewLineItem(name, name, 1, price) for name, price in (("a", 100_00), ("b", 50_00), ("c", 50_00))]
    shares = allocate_discounts(150_00, items, [Discount("50 off", Funder.MERCHANT, 50_00)])
    assert [item.payer_minor for item in shares] == [75_00, 37_50, 37_50]


_NAMES = "abcdefgh"


@st.composite
def baskets(draw: st.DrawFn) -> tuple[int, list[NewLineItem], list[Discount]]:
    count = draw(st.integers(1, 6))
    items = [NewLineItem(_NAMES[n], "x", draw(st.integers(1, 7)), draw(st.integers(0, 5_000))) for n in range(count)]
    left = {item.item_id: item.amount_minor for item in items}
    discounts: list[Discount] = []
    for _ in range(draw(st.integers(0, 4))):
        target = draw(st.sampled_from([None, *left]))
        # What earlier discounts have left of one item is known to the spreading only; ask for less than is sure.
        most = sum(left.values()) if target is None else left[target]
        most -= sum(d.amount_minor for d in discounts)
        if most >= 1:
            amount = draw(st.integers(1, most))
            discounts.append(Discount("off", draw(st.sampled_from(list(Funder))), amount, target))
    return sum(left.values()) - sum(d.amount_minor for d in discounts), items, discounts


@settings(max_examples=300, deadline=None)
@given(baskets())
def test_shares_add_up_to_what_each_party_bears(basket: tuple[int, list[NewLineItem], list[Discount]]) -> None:
    amount, items, discounts = basket
    shares = allocate_discounts(amount, items, discounts)
    assert sum(item.payer_minor for item in shares) == amount
    for funder in Funder:
        borne = sum(d.amount_minor for d in discounts if d.funder is funder)
        assert sum(getattr(item, f"{funder}_minor") for item in shares) == borne
    for item in shares:
        parts = (item.payer_minor, item.merchant_minor, item.platform_minor, item.channel_minor)
        assert min(parts) >= 0
        assert sum(parts) == item.amount_minor


@settings(max_examples=300, deadline=None)
@given(baskets(), st.integers(0, 2**32))
def test_giving_all_back_in_any_order_returns_exactly_what_each_party_bore(
    basket: tuple[int, list[NewLineItem], list[Discount]], seed: int
) -> None:
    chance = random.Random(seed)
    shares = allocate_discounts(*basket)
    given_back: list[RefundLine] = []
    while left := [item for item in shares if units_left(item, given_back)]:
        item = chance.choice(left)
        line = line_of(item, chance.randint(1, units_left(item, given_back)), given_back)
        assert min(line.payer_minor, line.platform_minor, line.channel_minor) >= 0
        given_back.append(line)
        if chance.random() < 0.3:  # this refund fails
            given_back.pop(chance.randrange(len(given_back)))
    for item in shares:
        for part in ("payer_minor", "platform_minor", "channel_minor"):
            back = sum(getattr(line, part) for line in given_back if line.item_id == item.item_id)
            assert back == getattr(item, part)


BAD = {
    "items_do_not_add_up": (99, [NewLineItem("a", "x", 1, 100)], []),
    "discount_exceeds_item": (
        0, [NewLineItem("a", "x", 1, 100), NewLineItem("b", "x", 1, 100)], [Discount("off", Funder.MERCHANT, 101, "a")],
    ),
    "invalid_parameter": (100, [NewLineItem("a", "x", 1, 100)], [Discount("off", Funder.MERCHANT, 1, "b")]),
}  # fmt: skip


@pytest.mark.parametrize("code", BAD)
def test_what_does_not_add_up_is_refused(code: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        allocate_discounts(*BAD[code])
    assert error.value.code == code


def test_an_item_stands_once() -> None:
    with pytest.raises(InvalidParameter, match="unique"):
        allocate_discounts(200, [NewLineItem("a", "x", 1, 100), NewLineItem("a", "x", 1, 100)], [])


# In the books


def basket(items: list[NewLineItem], discounts: list[Discount]) -> dict[str, Any]:
    amount = sum(i.amount_minor for i in items) - sum(d.amount_minor for d in discounts)
    return {
        "amount_minor": amount,
        "items": allocate_discounts(amount, items, discounts),
        "discounts": tuple(discounts),
    }


TEA = [
    NewLineItem("tea", "Jasmine tea", 3, 6_000),
    NewLineItem("pot", "Tea pot", 1, 9_000),
    NewLineItem("cup", "Cup", 7, 1_000),
]
OFF = [
    Discount("spring", Funder.PLATFORM, 1_501),
    Discount("wallet", Funder.CHANNEL, 700),
    Discount("second tea", Funder.MERCHANT, 500, "tea"),
]


async def campaign(shop: RefundWorld) -> int:
    """What marketing has cost so far, everywhere."""
    async with shop.database.transaction() as tx:
        account = account_id(5002, PLATFORM_OWNERS[AccountOwner.CAMPAIGN], "CNY")
        found = await ledger.Ledger(tx, clock=shop.clock.now_ns).lookup_accounts([account])
    return sum(a.debits_posted - a.credits_posted for a in found)


async def test_each_funder_puts_its_part_to_a_success(shop: RefundWorld) -> None:
    before = await campaign(shop)
    payment = await shop.paid(**basket(TEA, OFF))
    assert payment.amount_minor == 13_299
    balances = await shop.balances()
    assert balances[2001] == (13_299 + 1_501 + 700, 0)
    assert balances[1101] == (-13_299 - 700, 0)
    assert await campaign(shop) - before == 1_501


@pytest.mark.parametrize("seed", range(8))
async def test_all_items_in_any_order_bring_everybody_back_to_nothing(shop: RefundWorld, seed: int) -> None:
    chance = random.Random(seed)
    before = await campaign(shop)
    payment = await shop.paid(**basket(TEA, OFF), fee_ppm=6_000)
    left = {item.item_id: item.quantity for item in TEA}
    while left:
        item = chance.choice(list(left))
        quantity = chance.randint(1, left[item])
        shop.channel.verdicts = [FAILED] if chance.random() < 0.3 else []
        refund = await shop.refund(payment, items=((item, quantity),), returns_fee=True)
        if refund["state"] == "succeeded":
            left[item] -= quantity
            left = {name: count for name, count in left.items() if count}
    after = await shop.again(payment)
    assert after.amount_refunded_minor == shop.channel.returned_minor == payment.amount_minor
    balances = await shop.balances()
    assert [balances[code] for code in (1101, 2001, 2201)] == [(0, 0)] * 3
    assert await campaign(shop) == before


async def test_without_items_all_that_are_left_go_back(shop: RefundWorld) -> None:
    payment = await shop.paid(**basket(TEA, OFF))
    await shop.refund(payment, items=(("pot", 1), ("cup", 3)))
    refund = await shop.refund(payment)
    assert [(line["id"], line["quantity"]) for line in refund["items"]] == [("tea", 3), ("cup", 4)]
    assert (await shop.balances())[2001] == (0, 0)
    with pytest.raises(RefundExceedsAvailable):
        await shop.refund(payment)


async def test_units_that_round_to_nothing_are_given_back_without_calling_the_channel(shop: RefundWorld) -> None:
    payment = await shop.paid(**basket([NewLineItem("nail", "Nail", 5, 2)], []))
    amounts = [(await shop.refund(payment, items=(("nail", 1),)))["amount_minor"] for _ in range(5)]
    assert amounts == [0, 1, 0, 1, 0]
    assert len(shop.channel.refunds) == 2
    assert (await shop.again(payment)).amount_refunded_minor == 2


REFUSED = {
    "unknown_refund_item": {"items": (("coffee", 1),)},
    "refund_quantity_exceeded": {"items": (("tea", 2), ("tea", 2))},
    "refund_by_item_only": {"amount": 100},
}


@pytest.mark.parametrize("code", REFUSED)
async def test_a_refund_that_does_not_fit_the_items_is_refused(shop: RefundWorld, code: str) -> None:
    payment = await shop.paid(**basket(TEA, OFF))
    with pytest.raises(HutongError) as error:
        await shop.refund(payment, **REFUSED[code])
    assert error.value.code == code
    assert await shop.refunds(payment) == []
    assert (await shop.balances())[2001][1] == 0


async def test_a_payment_without_items_knows_none(shop: RefundWorld) -> None:
    with pytest.raises(UnknownRefundItem):
        await shop.refund(await shop.paid(), items=(("tea", 1),))


async def test_an_order_with_another_basket_is_another_order(shop: RefundWorld) -> None:
    order = shop.order(**basket(TEA, OFF))
    (payment,) = await shop.place(order)
    again = {"merchant_order_no": order.merchant_order_no}
    another = shop.order(**basket(TEA, [*OFF[:2], Discount("other", Funder.MERCHANT, 500, "tea")]) | again)
    for other, is_same in (
        (shop.order(**basket(TEA, OFF) | again), True),
        (shop.order(amount_minor=order.amount_minor, **again), False),
        (another, False),
    ):
        (placed,) = await shop.transactions.place([payments.PlaceOrder(other)])
        assert (placed.result.payment is not None, placed.result.is_new) == (is_same, False)
    async with shop.database.transaction() as tx:
        stored = (await items_of(tx, [payment.payment_id]))[payment.payment_id]
    assert stored == order.items
    assert all(isinstance(item, LineItem) for item in stored)
