"""A payer who is offered no method: the merchant is notified once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hutong import cashier, merchants, payments
from hutong.cashier.model import CheckoutStatus
from hutong.channels import Device
from hutong.ids import decode
from support.running_platform import PlatformApi, Shop

TOO_MUCH = 99_999_999_999_999
"""More than any channel takes."""


def checkout(platform_api: PlatformApi) -> cashier.PaymentCheckout:
    """A cashier of a process of its own."""
    return cashier.PaymentCheckout(
        platform_api.database,
        platform_api.lifecycle,
        merchants.Directory(platform_api.database),
        platform_api.clock,
        payer_text=payments.Documents("https://pay.example").payer_text,
        checkout_url=payments.Documents("https://pay.example").checkout_url,
    )


async def reports(platform_api: PlatformApi, shop: Shop, payment_id: str) -> tuple[int, int]:
    """The entries on the timeline and the events that say so."""
    timeline = await platform_api.call("GET", f"/v1/payments/{payment_id}/timeline", shop=shop)
    entries = [one for one in timeline.json["data"] if one["what"] == "payment.no_method"]
    async with platform_api.database.transaction() as tx:
        events = await tx.fetchval(
            "SELECT count(*) FROM events.outbox WHERE type = 'payment.no_method' AND object_id = $1",
            decode("pay", payment_id),
        )
    return len(entries), events


async def test_a_merchant_is_notified_once_of_a_payer_without_a_method(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order(amount_minor=TOO_MUCH)
    payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    payment_id, token = decode("pay", payment["id"]), payment["checkout_url"].partition("?token=")[2]
    assert await reports(platform_api, shop, payment["id"]) == (0, 0)
    processes = [checkout(platform_api) for _ in range(4)]
    views = await asyncio.gather(
        *(one.view(payment_id, token, device=device) for one in processes for device in (Device.DESKTOP, Device.PHONE))
    )
    assert {(view.methods, view.status) for view in views} == {((), CheckoutStatus.REQUIRES_PAYMENT)}
    assert await reports(platform_api, shop, payment["id"]) == (1, 1)


async def test_nobody_is_notified_where_a_method_is_offered_or_time_is_over(
    platform_api: PlatformApi, shop: Shop
) -> None:
    for amount_minor, wait in ((1999, timedelta(0)), (TOO_MUCH, timedelta(minutes=31))):
        order = platform_api.order(amount_minor=amount_minor)
        payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
        platform_api.clock.advance(wait)
        token = payment["checkout_url"].partition("?token=")[2]
        await checkout(platform_api).view(decode("pay", payment["id"]), token, device=Device.DESKTOP)
        assert await reports(platform_api, shop, payment["id"]) == (0, 0)
