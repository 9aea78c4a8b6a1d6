"""Payment records are a function of what was events, whatever the order and however often."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hutong.db import Tx
from hutong.events import RecordedEvent
from hutong.search import RecordStatus
from support.fixtures.payment_records import PaymentEvents, apply, find_records

LAPSED: dict[str, Any] = {"status": "requires_payment", "attempts": [], "succeeded_at": None}


async def rows(tx: Tx, payment_events: PaymentEvents) -> list[str]:
    """Return every row that the store holds of this merchant."""
    return [
        row["text"]
        for row in await tx.fetch(
            "SELECT b::text AS text FROM search.payment_record b WHERE merchant_id = $1 UNION ALL "
            "SELECT p::text FROM search.profile p WHERE merchant_id = $1 UNION ALL "
            "SELECT r::text FROM search.refund r JOIN search.payment_record b USING (payment_id) "
            "WHERE b.merchant_id = $1 "
            "ORDER BY 1",
            payment_events.merchant_id,
        )
    ]


async def test_a_payment_and_its_refunds_are_one_record(tx: Tx, payment_events: PaymentEvents) -> None:
    paid = payment_events.payment(customer={"id": "u1", "name": "张三", "avatar": "v1"})
    await apply(tx, paid, payment_events.refund(paid, amount_minor=500), payment_events.refund(paid, amount_minor=300))
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert (record.status, record.amount_minor, record.amount_refunded_minor) == (RecordStatus.SUCCEEDED, 1999, 800)
    assert [refund["amount_minor"] for refund in record.refunds] == [500, 300]
    assert (record.method, record.channel, record.customer_name) == ("wechat_native", "wechat", "张三")


async def test_a_refund_before_its_payment_is_added_up(tx: Tx, payment_events: PaymentEvents) -> None:
    paid = payment_events.payment()
    await apply(tx, payment_events.refund(paid))
    assert await find_records(tx, merchant_id=payment_events.merchant_id) == []
    await apply(tx, paid)
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert record.amount_refunded_minor == 500


async def test_an_older_version_is_refused(tx: Tx, payment_events: PaymentEvents) -> None:
    first = payment_events.payment(event_type="payment.authorized", status="requires_capture", subject="old")
    second = payment_events.payment(first.object_id, subject="new")
    await apply(tx, second)
    await apply(tx, first)
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert (record.subject, record.status) == ("new", RecordStatus.SUCCEEDED)


async def test_a_payment_that_is_open_again_has_no_record_and_an_older_event_does_not_restore_it(
    tx: Tx, payment_events: PaymentEvents
) -> None:
    reserved = payment_events.payment(event_type="payment.authorized", status="requires_capture")
    lapsed = payment_events.payment(reserved.object_id, event_type="payment.attempt_failed", **LAPSED)
    await apply(tx, reserved)
    assert len(await find_records(tx, merchant_id=payment_events.merchant_id)) == 1
    await apply(tx, lapsed)
    await apply(tx, reserved)
    assert await find_records(tx, merchant_id=payment_events.merchant_id) == []


@pytest.mark.parametrize("state", ["failed", "unknown", "payout"])
async def test_a_refund_whose_money_is_not_back_does_not_count(
    tx: Tx, payment_events: PaymentEvents, state: str
) -> None:
    paid = payment_events.payment()
    await apply(
        tx,
        paid,
        payment_events.refund(paid, state=state),
        payment_events.refund(paid, event_type="refund.succeeded", amount_minor=7),
    )
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert (record.amount_refunded_minor, len(record.refunds)) == (7, 1)


async def test_a_refund_that_fails_after_its_success_counts_no_more(tx: Tx, payment_events: PaymentEvents) -> None:
    paid = payment_events.payment()
    succeeded = payment_events.refund(paid)
    name, refund_id = "refund.failed_after_success", succeeded.object_id
    returned = payment_events.refund(paid, refund_id=refund_id, event_type=name, state="failed")
    await apply(tx, paid, succeeded)
    await apply(tx, returned, succeeded)
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert (record.amount_refunded_minor, record.refunds) == (0, [])


async def test_a_returned_surplus_is_not_a_refund_of_the_record(tx: Tx, payment_events: PaymentEvents) -> None:
    paid = payment_events.payment()
    await apply(tx, paid, payment_events.refund(paid, event_type="refund.needs_attention", kind="surplus"))
    (record,) = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert (record.amount_refunded_minor, record.refunds) == (0, [])


async def test_old_records_show_the_newest_name_and_avatar(tx: Tx, payment_events: PaymentEvents) -> None:
    old = payment_events.payment(customer={"id": "u1", "name": "旧名", "avatar": "v1"})
    new = payment_events.payment(customer={"id": "u1", "name": "新名", "avatar": "v2"})
    bare = payment_events.payment(customer={"id": "u1", "name": None, "avatar": None})
    await apply(tx, bare)
    await apply(tx, new)
    await apply(tx, old)
    shown = await find_records(tx, merchant_id=payment_events.merchant_id)
    assert [(record.customer_name, record.customer_avatar) for record in shown] == [("新名", "v2")] * 3


async def test_the_latest_profile_of_a_customer_wins_from_any_source(tx: Tx, payment_events: PaymentEvents) -> None:
    first = payment_events.payment(customer={"id": "u1", "name": "一", "avatar": "v1"})
    events = payment_events.customer("u1", "二", "v2")
    late = payment_events.payment(customer={"id": "u1", "name": "三", "avatar": None})

    async def shown() -> set[tuple[str | None, str | None]]:
        return {
            (b.customer_name, b.customer_avatar) for b in await find_records(tx, merchant_id=payment_events.merchant_id)
        }

    await apply(tx, events)
    await apply(tx, first)
    assert await shown() == {("二", "v2")}
    await apply(tx, late)
    await apply(tx, events)
    assert await shown() == {("三", None)}
    await apply(tx, payment_events.customer("u1", None))
    assert await shown() == {(None, None)}


async def test_an_event_that_cannot_be_read_keeps_no_other_from_showing(tx: Tx, payment_events: PaymentEvents) -> None:
    broken = payment_events.payment(amount_minor=None, created_at="yesterday")
    await apply(tx, broken, payment_events.payment())
    assert len(await find_records(tx, merchant_id=payment_events.merchant_id)) == 1


def life(payment_events: PaymentEvents, rng: random.Random) -> list[RecordedEvent]:
    """Return the events of some payments, in the order in which they happen."""
    events = []
    for number in range(rng.randint(1, 6)):
        customer = rng.choice(
            [None, {"id": f"u{number % 2}", "name": f"名{number}", "avatar": rng.choice(["a", None])}]
        )
        first: dict[str, Any] = {"customer": customer, "merchant_order_no": f"o-{number}", "subject": f"第{number}单"}
        reserved = payment_events.payment(event_type="payment.authorized", status="requires_capture", **first)
        events.append(reserved)
        if rng.random() < 0.5:
            events.append(payment_events.customer(f"u{number % 2}", f"新名{number}"))
        end = rng.choice(["succeeded", "closed", "lapsed", "none"])
        if end == "lapsed":
            events.append(
                payment_events.payment(reserved.object_id, event_type="payment.attempt_failed", **first | LAPSED)
            )
        elif end != "none":
            events.append(
                payment_events.payment(reserved.object_id, event_type=f"payment.{end}", **first | {"status": end})
            )
        for _ in range(rng.randint(0, 3) if end == "succeeded" else 0):
            refund = payment_events.refund(reserved, event_type="refund.failed", state="failed")
            events.append(refund)
            if rng.random() < 0.7:
                events.append(payment_events.refund(reserved, refund_id=refund.object_id))
    return events


async def test_any_order_and_any_repetition_give_the_same_rows(
    tx: Tx, rng: random.Random, payment_events: PaymentEvents
) -> None:
    for _ in range(12):
        payment_events.merchant_id = payment_events.ids.new()
        events = life(payment_events, rng)
        expected: list[str] | None = None
        for _ in range(4):
            again = list(events)
            if expected is not None:
                again += rng.choices(events, k=rng.randint(0, 6))
                rng.shuffle(again)
            savepoint = tx.transaction()
            await savepoint.start()
            while again:
                size = rng.randint(1, 5)
                await apply(tx, *again[:size])
                again = again[size:]
            seen = await rows(tx, payment_events)
            expected = seen if expected is None else expected
            assert seen == expected
            await savepoint.rollback()
