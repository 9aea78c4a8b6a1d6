"""A merchant's payments over HTTP, from creation to their end."""

from __future__ import annotations

from running_platform import PlatformApi, Shop


async def test_a_payment_is_created_paid_and_booked(platform_api: PlatformApi, shop: Shop) -> None:
    payment = await platform_api.create(shop)
    assert payment["status"] == "processing"
    (attempt,) = payment["attempts"]
    await platform_api.control("pay", code_url=attempt["action"]["content"])
    paid = await platform_api.until(shop, payment["id"], "succeeded")
    assert paid["attempts"][0]["state"] == "succeeded"
    assert [(t["amount"], t["code"]) for t in await platform_api.transfers_of(payment["id"])] == [(1999, 1), (12, 2)]
