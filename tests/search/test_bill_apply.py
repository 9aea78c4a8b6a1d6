"""Bills are a function of what was told, whatever the order and however often."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hutong.db import Tx
from hutong.events import RecordedEvent
from hutong.search import RecordStatus
from support.fixtures.payment_records import Bills, found, put

LAPSED: dict[str, Any] = {"status": "requires_payment", "attempts": [], "succeeded_at": None}


async def rows(tx: Tx, bills: Bills) -> list[str]:
    """All that the store holds of this merchant."""
    return [
        row["text"]
        for row in await tx.fetch(
            "SELECT b::text AS text FROM query.bill b WHERE merchant_id = $1 UNION ALL "
            "SELECT p::text FROM query.profile p WHERE merchant_id = $1 UNION ALL "
            "SELECT r::text FROM query.refund r JOIN query.bill b USING (payment_id) WHERE b.merchant_id = $1 "
            "ORDER BY 1",
            bills.merchant_id,
        )
    ]


async def test_a_payment_and_its_refunds_are_one_bill(tx: Tx, bills: Bills) -> None:
    paid = bills.payment(customer={"id": "u1", "name": "张三", "avatar": "v1"})
    await put(tx, paid, bills.refund(paid, amount_minor=500), bills.refund(paid, amount_minor=300))
    (bill,) = await found(tx, merchant_id=bills.merchant_id)
    assert (bill.status, bill.amount_minor, bill.amount_refunded_minor) == (RecordStatus.SUCCEEDED, 1999, 800)
    assert [refund["amount_minor"] for refund in bill.refunds] == [500, 300]
    assert (bill.method, bill.channel, bill.customer_name) == ("wechat_native", "wechat", "张三")


async def test_a_refund_told_of_before_its_payment_is_added_up(tx: Tx, bills: Bills) -> None:
    paid = bills.payment()
    await put(tx, bills.refund(paid))
    assert await found(tx, merchant_id=bills.merchant_id) == []
    await put(tx, paid)
    (bill,) = await found(tx, merchant_id=bills.merchant_id)
    assert bill.amount_refunded_minor == 500


async def test_an_older_version_is_refused(tx: Tx, bills: Bills) -> None:
    first = bills.payment(told="payment.authorized", status="requires_capture", subject="old")
    second = bills.payment(first.object_id, subject="new")
    await put(tx, second)
    await put(tx, first)
    (bill,) = await found(tx, merchant_id=bills.merchant_id)
    assert (bill.subject, bill.status) == ("new", RecordStatus.SUCCEEDED)


async def test_what_is_open_again_is_no_bill_and_an_older_word_does_not_bring_it_back(tx: Tx, bills: Bills) -> None:
    reserved = bills.payment(told="payment.authorized", status="requires_capture")
    lapsed = bills.payment(reserved.object_id, told="payment.attempt_failed", **LAPSED)
    await put(tx, reserved)
    assert len(await found(tx, merchant_id=bills.merchant_id)) == 1
    await put(tx, lapsed)
    await put(tx, reserved)
    assert await found(tx, merchant_id=bills.merchant_id) == []


@pytest.mark.parametrize("state", ["failed", "unknown", "payout"])
async def test_a_refund_whose_money_is_not_back_does_not_count(tx: Tx, bills: Bills, state: str) -> None:
    paid = bills.payment()
    await put(tx, paid, bills.refund(paid, state=state), bills.refund(paid, told="refund.succeeded", amount_minor=7))
    (bill,) = await found(tx, merchant_id=bills.merchant_id)
    assert (bill.amount_refunded_minor, len(bill.refunds)) == (7, 1)


async def test_surplus_given_back_is_not_a_refund_of_the_bill(tx: Tx, bills: Bills) -> None:
    paid = bills.payment()
    await put(tx, paid, bills.refund(paid, told="refund.needs_attention", kind="surplus"))
    (bill,) = await found(tx, merchant_id=bills.merchant_id)
    assert (bill.amount_refunded_minor, bill.refunds) == (0, [])


async def test_old_bills_show_the_newest_name_and_avatar(tx: Tx, bills: Bills) -> None:
    old = bills.payment(customer={"id": "u1", "name": "旧名", "avatar": "v1"})
    new = bills.payment(customer={"id": "u1", "name": "新名", "avatar": "v2"})
    bare = bills.payment(customer={"id": "u1", "name": None, "avatar": None})
    await put(tx, bare)
    await put(tx, new)
    await put(tx, old)
    shown = await found(tx, merchant_id=bills.merchant_id)
    assert [(bill.customer_name, bill.customer_avatar) for bill in shown] == [("新名", "v2")] * 3


async def test_what_is_said_of_a_customer_last_holds_whoever_says_it(tx: Tx, bills: Bills) -> None:
    first = bills.payment(customer={"id": "u1", "name": "一", "avatar": "v1"})
    told = bills.customer("u1", "二", "v2")
    late = bills.payment(customer={"id": "u1", "name": "三", "avatar": None})

    async def shown() -> set[tuple[str | None, str | None]]:
        return {(b.customer_name, b.customer_avatar) for b in await found(tx, merchant_id=bills.merchant_id)}

    await put(tx, told)
    await put(tx, first)
    assert await shown() == {("二", "v2")}
    await put(tx, late)
    await put(tx, told)
    assert await shown() == {("三", None)}
    await put(tx, bills.customer("u1", None))
    assert await shown() == {(None, None)}


async def test_an_event_that_cannot_be_read_keeps_no_other_from_showing(tx: Tx, bills: Bills) -> None:
    broken = bills.payment(amount_minor=None, created_at="yesterday")
    await put(tx, broken, bills.payment())
    assert len(await found(tx, merchant_id=bills.merchant_id)) == 1


def life(bills: Bills, rng: random.Random) -> list[RecordedEvent]:
    """The events of some payments, in the order in which they happen."""
    told = []
    for number in range(rng.randint(1, 6)):
        customer = rng.choice(
            [None, {"id": f"u{number % 2}", "name": f"名{number}", "avatar": rng.choice(["a", None])}]
        )
        first: dict[str, Any] = {"customer": customer, "merchant_order_no": f"o-{number}", "subject": f"第{number}单"}
        reserved = bills.payment(told="payment.authorized", status="requires_capture", **first)
        told.append(reserved)
        if rng.random() < 0.5:
            told.append(bills.customer(f"u{number % 2}", f"新名{number}"))
        end = rng.choice(["succeeded", "closed", "lapsed", "none"])
        if end == "lapsed":
            told.append(bills.payment(reserved.object_id, told="payment.attempt_failed", **first | LAPSED))
        elif end != "none":
            told.append(bills.payment(reserved.object_id, told=f"payment.{end}", **first | {"status": end}))
        for _ in range(rng.randint(0, 3) if end == "succeeded" else 0):
            refund = bills.refund(reserved, told="refund.failed", state="failed")
            told.append(refund)
            if rng.random() < 0.7:
                told.append(bills.refund(reserved, refund_id=refund.object_id))
    return told


async def test_any_order_and_any_repetition_give_the_same_rows(tx: Tx, rng: random.Random, bills: Bills) -> None:
    for _ in range(12):
        bills.merchant_id = bills.ids.new()
        told = life(bills, rng)
        expected: list[str] | None = None
        for _ in range(4):
            again = list(told)
            if expected is not None:
                again += rng.choices(told, k=rng.randint(0, 6))
                rng.shuffle(again)
            savepoint = tx.transaction()
            await savepoint.start()
            while again:
                size = rng.randint(1, 5)
                await put(tx, *again[:size])
                again = again[size:]
            seen = await rows(tx, bills)
            expected = seen if expected is None else expected
            assert seen == expected
            await savepoint.rollback()
