"""After a restore, over HTTP: a merchant who repeats an order or a refund that was adopted gets what was adopted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from hutong import channels, db, ids, payments
from hutong.payments.channel_calls import notify_url
from hutong.payments.restored import LostOrder
from support.running_platform import METHOD, PlatformApi, Shop


@pytest.fixture
async def catching_up(platform_api: PlatformApi) -> AsyncIterator[None]:
    now = platform_api.clock.now()
    await platform_api.database.run(lambda tx: db.begin_catch_up(tx, db.CatchUpReason.OPERATOR, now=now))
    await db.refresh_catch_up(platform_api.platform.database)
    yield
    await platform_api.database.run(
        lambda tx: db.finish_catch_up(tx, by="ops", reason="done", now=platform_api.clock.now())
    )
    await db.refresh_catch_up(platform_api.platform.database)


async def adopted(api: PlatformApi, shop: Shop, order_no: str) -> payments.Payment:
    """Have an order at the channel that the database does not know, paid and reported, and adopt it."""
    channel, now = await api.accounts.get(api.account_id), api.clock.now()
    number = ids.encode("att", api.ids.derive("attempt", shop.merchant_id, order_no, api.account_id, 1))
    address = notify_url(api.url, api.account_id)
    order = channels.PayRequest(number, METHOD, 1999, "CNY", "Jasmine tea", now + timedelta(hours=1), address)
    answer = await channel.pay(order, now=now)
    assert answer.action is not None
    await api.control("pay", code_url=answer.action.content)
    await listed(api, number)
    return await api.platform.adoption.adopt_order(number, LostOrder(shop.merchant_id, order_no, METHOD, 6_000))


async def listed(api: PlatformApi, number: str) -> None:
    """Wait until the channel has reported a number."""
    for _ in range(500):
        async with api.database.transaction() as tx:
            shown = await payments.restored.catch_up_document(tx)
        if number in {unknown["number"] for unknown in shown["unknown_numbers"]}:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{number} is not reported")


async def test_a_repeated_order_gets_the_adopted_payment_and_another_amount_is_refused(
    platform_api: PlatformApi, shop: Shop, catching_up: None
) -> None:
    order = platform_api.order(method=METHOD, metadata={"cart": "7"}, return_url="https://shop.example/back")
    payment = await adopted(platform_api, shop, order["merchant_order_no"])
    before = await platform_api.transfers_of(ids.encode("pay", payment.payment_id))
    for headers in ({}, {"Idempotency-Key": "order-again"}, {"Idempotency-Key": "order-again"}):
        again = await platform_api.call("POST", "/v1/payments", shop=shop, json=order, headers=headers)
        assert again.status == 200, again.body
        assert (again.json["id"], again.json["status"]) == (ids.encode("pay", payment.payment_id), "succeeded")
    # Nothing is filled in: what was told of the payment stays true.
    assert (again.json["subject"], again.json["metadata"]) == (order["merchant_order_no"], {})
    other = await platform_api.call("POST", "/v1/payments", shop=shop, json=order | {"amount_minor": 2000})
    assert (other.status, other.json["code"]) == (409, "order_no_reused")
    reused = await platform_api.call(
        "POST", "/v1/payments", shop=shop, json=order | {"subject": "x"}, headers={"Idempotency-Key": "order-again"}
    )
    assert (reused.status, reused.json["code"]) == (422, "idempotency_key_reused")
    assert await platform_api.transfers_of(ids.encode("pay", payment.payment_id)) == before
    truth = await platform_api.session.get(f"{platform_api.sandbox_url}/control/wechat/truth")
    number = ids.encode("att", payment.attempts[0].attempt_id)
    events = [row["event"] for row in (await truth.json())["truth"] if row.get("order_no") == number]
    assert events.count("paid") == 1


async def test_a_repeated_refund_gets_the_adopted_refund_and_another_amount_is_refused(
    platform_api: PlatformApi, shop: Shop, catching_up: None
) -> None:
    order_no = platform_api.order()["merchant_order_no"]
    payment = await adopted(platform_api, shop, order_no)
    channel, now = await platform_api.accounts.get(platform_api.account_id), platform_api.clock.now()
    refund_no = f"{order_no}-R1"
    number = ids.encode("ref", platform_api.ids.derive("refund", shop.merchant_id, refund_no))
    attempt = payment.attempts[0]
    order = channels.OrderReference(ids.encode("att", attempt.attempt_id), METHOD, 1999, "CNY", attempt.created_at)
    address = notify_url(platform_api.url, platform_api.account_id)
    await channel.refund(channels.RefundRequest(number, order, 700, "damaged", address, now), now=now)
    await listed(platform_api, number)
    await platform_api.platform.adoption.adopt_refund(number, payment, refund_no, returns_fee=True)
    path = f"/v1/payments/{ids.encode('pay', payment.payment_id)}/refunds"
    body = {"merchant_refund_no": refund_no, "amount_minor": 700, "reason": "the wrong size"}
    for headers in ({}, {"Idempotency-Key": "refund-again"}, {"Idempotency-Key": "refund-again"}):
        again = await platform_api.call("POST", path, shop=shop, json=body, headers=headers)
        assert (again.status, again.json["id"], again.json["state"]) == (200, number, "succeeded")
    other = await platform_api.call("POST", path, shop=shop, json=body | {"amount_minor": 701})
    assert (other.status, other.json["code"]) == (409, "refund_no_reused")
    after = await platform_api.get(shop, ids.encode("pay", payment.payment_id))
    assert (after["amount_refunded_minor"], after["amount_refunding_minor"]) == (700, 0)
