"""Payments with a channel's discounts: what is credited, and what each refund returns of each sum."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.channels import About, ChannelAnswer, ChannelState, Notification
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums
from hutong.money import fee_minor
from hutong.payments import Payment, exceptions
from hutong.payments.channel_reports import RecordOutcome
from hutong.payments.documents import _refund_document
from hutong.payments.exception_store import list_exceptions
from hutong.payments.refunds.create import fee_back_minor
from hutong.payments.refunds.model import RefundKind
from hutong.payments.refunds.parts import parts_of
from support.fixtures.exceptions import approve, propose
from support.fixtures.refunds import RefundWorld

ORDERED, PAID, SETTLED = 8800, 7100, 7800
BANK = 1001
DISCOUNTS = (
    ChannelDiscount("spring", DiscountFunder.CHANNEL, 700, settles=True),
    ChannelDiscount("winter", DiscountFunder.MERCHANT, 1000, settles=False),
)
SUMS = Sums(ORDERED, PAID, SETTLED, DISCOUNTS)


async def paid(shop: RefundWorld, sums: Sums = SUMS, **changed: Any) -> Payment:
    payment = await shop.payment(amount_minor=sums.ordered_minor, **changed)
    success = {"amount_minor": sums.ordered_minor, "sums": sums}
    await shop.record(shop.report(payment.attempts[0], ChannelState.SUCCEEDED, **success))
    return await shop.again(payment)


def reported(refund_minor: int, paid_minor: int | None, settled_minor: int | None) -> ChannelAnswer:
    return ChannelAnswer(ChannelState.SUCCEEDED, returned=ReturnedSums(refund_minor, paid_minor, settled_minor))


async def open_balances(shop: RefundWorld) -> dict[int, tuple[int, int]]:
    """What is not zero, but for the bank account, which all tests of a database share."""
    return {code: sums for code, sums in (await shop.balances()).items() if sums != (0, 0) and code != BANK}


async def test_what_settles_is_credited_and_what_the_channel_owes(shop: RefundWorld) -> None:
    payment = await paid(shop, fee_ppm=10_000)
    balances = await shop.balances()
    assert (balances[1101], balances[2001]) == ((-SETTLED, 0), (SETTLED - 78, 0))  # the fee is on what settles
    document = shop.transactions.documents.payment(payment)
    sums = [document[f"amount_{name}_minor"] for name in ("captured", "paid", "settled")]
    assert sums == [ORDERED, PAID, SETTLED]
    assert document["channel_discounts"] == [
        {"name": "spring", "funder": "channel", "amount_minor": 700, "settles": True},
        {"name": "winter", "funder": "merchant", "amount_minor": 1000, "settles": False},
    ]
    assert [(amount, code) for amount, code in await booked(shop, payment)] == [(ORDERED, 1), (1000, 14), (78, 2)]


async def booked(shop: RefundWorld, payment: Payment) -> list[tuple[int, int]]:
    async with shop.database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT amount, code FROM ledger.transfer WHERE user_data_128 = $1 ORDER BY timestamp", payment.payment_id
        )
    return [(int(row["amount"]), row["code"]) for row in rows]


async def test_without_discounts_all_three_sums_are_the_captured_one(shop: RefundWorld) -> None:
    document = shop.transactions.documents.payment(await shop.paid())
    assert document["amount_paid_minor"] == document["amount_settled_minor"] == document["amount_captured_minor"]
    assert document["channel_discounts"] == []
    refund = await shop.refund(await shop.paid(), 700)
    assert (refund["amount_paid_minor"], refund["amount_settled_minor"]) == (700, 700)


async def test_refunds_return_each_sum_in_proportion_and_all_of_it_in_the_end(shop: RefundWorld) -> None:
    payment = await paid(shop, fee_ppm=10_000)
    seen = []
    for amount in (1, 3333, 5466):
        refund = await shop.refund(payment, amount, returns_fee=True)
        assert refund["state"] == "succeeded"
        seen.append((refund["amount_paid_minor"], refund["amount_settled_minor"], refund["fee_returned_minor"]))
    assert seen == [(1, 1, 0), (2689, 2954, 30), (4410, 4845, 48)]
    assert [sum(part) for part in zip(*seen, strict=True)] == [PAID, SETTLED, 78]
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2201], balances[2301]) == ((0, 0),) * 4


async def test_what_the_channel_reports_of_a_refund_is_booked(shop: RefundWorld) -> None:
    payment = await paid(shop)
    shop.channel.verdicts = [reported(4400, 3500, 3880)]
    refund = await shop.refund(payment, 4400)
    assert (refund["amount_paid_minor"], refund["amount_settled_minor"]) == (3500, 3880)  # not 3550 and 3900
    balances = await shop.balances()
    assert (balances[1101], balances[2001]) == ((-3920, 0), (3920, 0))
    shop.channel.verdicts = [reported(4400, 3600, 3920)]
    rest = await shop.refund(payment)
    assert (rest["amount_paid_minor"], rest["amount_settled_minor"]) == (3600, 3920)
    assert await open_balances(shop) == {}


async def test_what_a_refund_costs_above_its_part_waits_in_suspense_and_needs_attention(shop: RefundWorld) -> None:
    payment = await paid(shop)
    shop.channel.verdicts = [reported(4400, None, 3930)]
    refund = await shop.refund(payment, 4400)
    assert (refund["state"], refund["amount_settled_minor"]) == ("succeeded", 3930)
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2301]) == ((-3870, 0), (3900, 0), (-30, 0))
    events = [kind for _, kind in await shop.events((await shop.refunds(payment))[0].refund_id)]
    assert "refund.needs_attention" in events
    shop.channel.verdicts = [reported(4400, None, 3870)]
    assert (await shop.refund(payment))["amount_settled_minor"] == 3870
    balances = await shop.balances()
    assert (balances[1101], balances[2001], balances[2301]) == ((0, 0), (30, 0), (-30, 0))


@pytest.mark.parametrize("settled_minor", [None, 3880, 3900, 3930])
async def test_a_refund_that_fails_after_its_success_is_booked_back_with_all_its_parts(
    shop: RefundWorld, settled_minor: int | None
) -> None:
    payment = await paid(shop, fee_ppm=10_000)
    before = await open_balances(shop)
    shop.channel.verdicts = [reported(4400, None, settled_minor)] if settled_minor else []
    await shop.refund(payment, 4400, returns_fee=True)
    (refund,) = await shop.refunds(payment)
    assert (refund.state, await open_balances(shop) != before) == ("succeeded", True)
    shop.channel.outcomes[refund.number] = ChannelAnswer(ChannelState.FAILED, channel_code="returned")
    await shop.notify(shop.channel.refund_notice(refund.number))
    (refund,) = await shop.refunds(payment)
    assert refund.state == "failed"
    assert await open_balances(shop) == before
    whole = await shop.refund(payment, returns_fee=True)
    assert (whole["amount_paid_minor"], whole["amount_settled_minor"]) == (PAID, SETTLED)


async def test_a_refund_made_in_the_portal_takes_its_part_of_each_sum(shop: RefundWorld) -> None:
    payment = await paid(shop, fee_ppm=10_000)
    await shop.deliver(shop.channel.give_back_in_portal(payment, 4400))
    (refund,) = await shop.refunds(payment)
    assert (refund.state, refund.payer_minor, refund.held_minor, refund.fee_minor) == ("succeeded", 3550, 3900, 39)
    assert (await shop.balances())[1101] == (-3900, 0)
    rest = await shop.refund(payment, returns_fee=True)
    assert (rest["amount_paid_minor"], rest["amount_settled_minor"], rest["fee_returned_minor"]) == (3550, 3900, 39)
    assert await open_balances(shop) == {}


async def test_more_than_settled_in_all_does_not_fit(shop: RefundWorld) -> None:
    payment = await paid(shop)
    shop.channel.verdicts = [ChannelAnswer(ChannelState.PENDING)]
    refund = await shop.refund(payment)
    number = (await shop.refunds(payment))[0].number
    answer = replace(reported(ORDERED, None, SETTLED + 1), amount_minor=ORDERED, currency="CNY")
    assert await shop.notify(Notification(number, answer, About.REFUND)) is RecordOutcome.MISMATCH
    (stored,) = await shop.refunds(payment)
    assert (refund["state"], stored.state, stored.settled_minor) == ("submitted", "submitted", SETTLED)
    answer = replace(reported(ORDERED, None, SETTLED), amount_minor=ORDERED, currency="CNY")
    assert await shop.notify(Notification(number, answer, About.REFUND)) is RecordOutcome.APPLIED
    assert (await shop.balances())[2001] == (0, 0)


async def test_a_late_second_success_owes_what_settles_of_it(shop: RefundWorld) -> None:
    payment = await shop.payment(amount_minor=ORDERED)
    await shop.close(payment)
    await shop.record(shop.report(payment.attempts[0], ChannelState.CLOSED))
    success = shop.report(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=ORDERED, sums=SUMS)
    await shop.record(success)
    balances = await shop.balances()
    assert (balances[1101], balances[2202], balances[2001]) == ((-SETTLED, 0), (SETTLED, 0), (0, 0))
    await shop.sweep()
    (refund,) = await shop.refunds(payment)
    assert (refund.kind, refund.state, refund.amount_minor, refund.settled_minor) == (
        RefundKind.SURPLUS, "succeeded", ORDERED, SETTLED,
    )  # fmt: skip
    assert _refund_document(refund, None)["amount_paid_minor"] == PAID
    assert await open_balances(shop) == {}


async def test_a_payout_sends_what_the_payer_had_paid(shop: RefundWorld) -> None:
    payment = await paid(shop)
    shop.channel.verdicts = [ChannelAnswer(ChannelState.FAILED)]
    assert (await shop.refund(payment))["state"] == "failed"
    (refund,) = await shop.refunds(payment)
    assert await shop.convert(refund, "manual") == "switched"
    assert (await shop.balances())[2001] == (SETTLED, -SETTLED)
    before = (await shop.balances())[BANK][0]
    settled = await shop.settle(refund, "bank 77", from_bank=True)
    assert settled is not None
    balances = await shop.balances()
    assert (balances[BANK][0] - before, balances[2001]) == (PAID, (SETTLED - PAID, 0))


async def test_what_two_persons_take_settles_as_the_channel_reported(shop: RefundWorld) -> None:
    payment = await shop.payment(amount_minor=ORDERED + 5)
    report = shop.report(payment.attempts[0], ChannelState.SUCCEEDED, amount_minor=ORDERED, sums=SUMS)
    (recorded,) = await shop.record(report)
    assert recorded.outcome is RecordOutcome.MISMATCH
    async with shop.database.transaction() as tx:
        (item,) = await list_exceptions(tx, payment_id=payment.payment_id)
    assert (item.amount_minor, item.paid_minor, item.settled_minor) == (ORDERED, PAID, SETTLED)
    await approve(shop, await propose(shop, item, exceptions.ExceptionDecision.TAKE))
    stored = await shop.again(payment)
    assert (stored.status, stored.sums.paid_minor, stored.sums.settled_minor) == ("succeeded", PAID, SETTLED)
    assert (await shop.balances())[2001] == (SETTLED, 0)


# The proportion by itself.


class Undisputed(SimpleNamespace):
    """The part of a payment that the proportions are taken from."""

    @property
    def refundable_minor(self) -> int:
        return int(self.unrefunded_minor)


def payment_of(sums: Sums, fee_ppm: int) -> Any:
    attempt = SimpleNamespace(sums=sums, returnable_minor=sums.ordered_minor - sums.borne_minor)
    return Undisputed(
        amount_captured_minor=sums.ordered_minor, unrefunded_minor=sums.ordered_minor, fee_ppm=fee_ppm,
        counted_attempt=attempt, disputed_paid_minor=0, disputed_settled_minor=0,
    )  # fmt: skip


@given(
    figures=st.integers(1, 10**6).flatmap(
        lambda ordered: st.tuples(st.just(ordered), st.integers(0, ordered), st.integers(0, ordered))
    ),
    steps=st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=12),
    fee_ppm=st.sampled_from([0, 1, 6_000, 200_000]),
)
@pytest.mark.parametrize("withholds", [False, True])
def test_whatever_fails_between_no_unit_is_lost_and_no_part_is_too_large(
    withholds: bool, figures: tuple[int, int, int], steps: list[tuple[float, bool]], fee_ppm: int
) -> None:
    ordered, paid_minor, settled_minor = figures
    if not withholds:
        paid_minor, settled_minor = sorted((paid_minor, settled_minor))
    sums = Sums.unnamed(ordered, paid_minor, settled_minor)
    payment, refunds = payment_of(sums, fee_ppm), list[Any]()

    def refund(amount: int) -> Any:
        paid_part, settled_part = parts_of(payment, payment.counted_attempt, refunds, amount)
        assert paid_part is not None
        assert settled_part is not None
        assert 0 <= paid_part <= amount
        assert 0 <= settled_part <= amount
        fee = fee_back_minor(payment, refunds, amount, settled_part)
        assert 0 <= fee <= settled_part
        made = SimpleNamespace(
            kind=RefundKind.REFUND, counts=True, late_success_at=None, amount_minor=amount, payer_minor=paid_part,
            held_minor=settled_part, fee_minor=fee,
        )  # fmt: skip
        payment.unrefunded_minor -= amount
        refunds.append(made)
        return made

    for share, fails in steps:
        if payment.unrefunded_minor == 0:
            break
        made = refund(max(1, int(payment.unrefunded_minor * share)))
        victim = refunds[int(share * 7) % len(refunds)] if fails else None
        if victim is not None and victim.counts:
            victim.counts = False
            payment.unrefunded_minor += victim.amount_minor
        assert made.amount_minor > 0
    if payment.unrefunded_minor:
        refund(payment.unrefunded_minor)
    counted = [made for made in refunds if made.counts]
    assert sum(made.amount_minor for made in counted) == ordered
    assert sum(made.payer_minor for made in counted) == paid_minor
    assert sum(made.held_minor for made in counted) == payment.counted_attempt.returnable_minor
    assert sum(made.fee_minor for made in counted) <= fee_minor(settled_minor, fee_ppm)
