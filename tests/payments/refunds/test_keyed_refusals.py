"""What a refusal of a refund does to its idempotency key: definite ones stay, those that time cures free it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from hutong.channels import ChannelAnswer, ChannelState, RefundRule
from hutong.errors import HutongError
from hutong.idempotency import KEY_EFFECTS, Claim, KeyEffect
from hutong.payments import Payment
from hutong.payments.items import NewLineItem, allocate_discounts
from hutong.payments.refunds.create import RefundRefusal
from hutong.payments.refunds.lifecycle import RefundOrder
from support.fixtures.payments import AMOUNT
from support.fixtures.refunds import REFUNDS, RefundWorld

PENDING = ChannelAnswer(ChannelState.PENDING)
DAY = timedelta(days=1)
Cure = Callable[[], Awaitable[object]]
Situation = tuple[Payment, RefundOrder, Cure]


def order(name: str, amount_minor: int | None = AMOUNT, **fields: object) -> RefundOrder:
    return RefundOrder(name, amount_minor, "damaged", **fields)  # type: ignore[arg-type]


async def nothing() -> None:
    """Nothing cures it."""


async def basket(shop: RefundWorld) -> Payment:
    items = allocate_discounts(AMOUNT, [NewLineItem("tea", "Tea", 1, AMOUNT)], [])
    return await shop.paid(items=items)


async def pending(shop: RefundWorld, payment: Payment, name: str, amount_minor: int | None) -> Cure:
    """Ask for a refund that the channel has not decided; its failure is the cure."""
    shop.channel.verdicts = [PENDING]
    await shop.answered(payment, order(name, amount_minor))
    (refund,) = await shop.refunds(payment)

    async def fail() -> None:
        shop.channel.outcomes[refund.number] = ChannelAnswer(ChannelState.FAILED)
        await shop.notify(shop.channel.refund_notice(refund.number))

    return fail


async def insufficient(shop: RefundWorld, name: str) -> Situation:
    return await shop.paid(fee_ppm=6_000), order(name), shop.paid


async def same_day(shop: RefundWorld, name: str) -> Situation:
    shop.channel.capabilities = replace(REFUNDS, refund=RefundRule(timedelta(days=90), same_day=False))

    async def wait() -> None:
        shop.clock.advance(DAY)

    return await shop.paid(), order(name), wait


async def not_succeeded(shop: RefundWorld, name: str) -> Situation:
    payment = await shop.payment()
    report = shop.report(payment.attempts[0], ChannelState.SUCCEEDED)
    return payment, order(name), lambda: shop.record(report)


async def exceeds(shop: RefundWorld, name: str) -> Situation:
    payment = await shop.paid()
    return payment, order(name), await pending(shop, payment, f"{name}-before", 1)


async def units_taken(shop: RefundWorld, name: str) -> Situation:
    payment = await basket(shop)
    return payment, order(name, None, items=(("tea", 1),)), await pending(shop, payment, f"{name}-before", None)


async def counted_out(shop: RefundWorld, name: str) -> Situation:
    shop.channel.capabilities = replace(REFUNDS, refund=RefundRule(timedelta(days=90), count_max=1))
    payment = await shop.paid()
    return payment, order(name, AMOUNT - 1), await pending(shop, payment, f"{name}-before", 1)


async def number_reused(shop: RefundWorld, name: str) -> Situation:
    payment = await shop.paid()
    await shop.answered(payment, order(name, 1))
    return payment, order(name, 2), nothing


async def offered_later(shop: RefundWorld, rule: RefundRule | None, amount_minor: int, name: str) -> Situation:
    """What the channel does not offer; that a later release offers it is no cure of this request."""
    shop.channel.capabilities = replace(REFUNDS, refund=rule)
    payment = await shop.paid()
    shop.clock.advance(timedelta(days=2))

    async def release() -> None:
        shop.channel.capabilities = REFUNDS

    return payment, order(name, amount_minor), release


SITUATIONS: dict[RefundRefusal, Callable[[RefundWorld, str], Awaitable[Situation]]] = {
    RefundRefusal.INSUFFICIENT_FUNDS: insufficient,
    RefundRefusal.SAME_DAY_NOT_OFFERED: same_day,
    RefundRefusal.NOT_REFUNDABLE: not_succeeded,
    RefundRefusal.EXCEEDS_AVAILABLE: exceeds,
    RefundRefusal.QUANTITY_EXCEEDED: units_taken,
    RefundRefusal.COUNT_EXCEEDED: counted_out,
    RefundRefusal.NUMBER_REUSED: number_reused,
    RefundRefusal.NOT_OFFERED: lambda shop, name: offered_later(shop, None, AMOUNT, name),
    RefundRefusal.WINDOW_CLOSED: lambda shop, name: offered_later(shop, RefundRule(DAY), AMOUNT, name),
    RefundRefusal.PARTIAL_NOT_OFFERED: lambda shop, name: offered_later(
        shop, RefundRule(9 * DAY, partial=False), 1, name
    ),
    RefundRefusal.UNKNOWN_ITEM: lambda shop, name: with_items(shop, name, "coffee"),
    RefundRefusal.BY_ITEM_ONLY: lambda shop, name: with_items(shop, name, None),
}


async def with_items(shop: RefundWorld, name: str, item: str | None) -> Situation:
    payment = await basket(shop)
    return payment, order(name, None, items=((item, 1),)) if item else order(name, 1), nothing


def test_every_refusal_of_a_refund_is_definite_or_cured_by_time() -> None:
    assert set(SITUATIONS) == set(RefundRefusal)
    assert {KEY_EFFECTS[refusal] for refusal in RefundRefusal} == {KeyEffect.KEPT, KeyEffect.FREED}


@pytest.mark.parametrize("refusal", RefundRefusal)
async def test_a_definite_refusal_stays_under_its_key_and_one_that_time_cures_does_not(
    shop: RefundWorld, refusal: RefundRefusal
) -> None:
    name = str(shop.ids.new())
    payment, request, cure = await SITUATIONS[refusal](shop, name)
    claim = Claim(shop.merchant_id, name, b"1" * 32)

    async def code(claim: Claim) -> str:
        try:
            status, _ = await shop.answered(await shop.again(payment), request, claim=claim)
        except HutongError as error:
            return error.code
        return str(status)

    assert [await code(claim) for _ in range(2)] == [refusal] * 2
    if KEY_EFFECTS[refusal] is KeyEffect.KEPT:
        await cure()
        assert await code(claim) == refusal
        assert await code(replace(claim, fingerprint=b"2" * 32)) == "idempotency_key_reused"
        return
    async with shop.database.transaction() as tx:
        assert await tx.fetchval("SELECT count(*) FROM idempotency.key WHERE key = $1", name) == 0, "it is free at once"
    await cure()
    assert [await code(claim) for _ in range(2)] == ["201", "201"], "and then the first success is its answer"
    assert len([refund for refund in await shop.refunds(payment) if refund.merchant_refund_no == name]) == 1


async def test_an_error_that_nobody_expected_frees_the_key_and_nothing_is_sent_twice(
    shop: RefundWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await shop.paid()
    name = str(shop.ids.new())
    claim = Claim(shop.merchant_id, name, b"1" * 32)
    refund = shop.channel.refund

    async def refund_and_stumble(*arguments: object, **options: object) -> ChannelAnswer:
        await refund(*arguments, **options)  # type: ignore[arg-type]
        raise RuntimeError("an error of the adapter")

    monkeypatch.setattr(shop.channel, "refund", refund_and_stumble)
    with pytest.raises(RuntimeError):
        await shop.answered(payment, order(name), claim=claim)
    monkeypatch.undo()
    status, body = await shop.answered(payment, order(name), claim=claim)
    assert status == 200
    await shop.sweep()
    assert [each.state for each in await shop.refunds(payment)] == ["succeeded"]
    assert len(shop.channel.refunds) == 1
    assert await shop.answered(payment, order(name), claim=claim) == (200, body)
