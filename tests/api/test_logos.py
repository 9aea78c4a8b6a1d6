"""A merchant's logo is served by the hash of its content, as a picture and nothing else."""

from __future__ import annotations

from hutong import merchants
from support.pictures import png
from support.running_platform import PlatformApi, Shop


async def test_a_logo_is_served_as_a_picture_that_runs_nothing(platform_api: PlatformApi, shop: Shop) -> None:
    content = png(64, 64)
    async with platform_api.database.transaction() as tx:
        now = platform_api.clock.now()
        await merchants.set_logo(tx, shop.merchant_id, content, reason="test", now=now)
        digest = (await merchants.find_merchants(tx, [shop.merchant_id]))[shop.merchant_id].logo
    answer = await platform_api.call("GET", f"/pay/logos/{digest}")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "image/png", content)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "immutable" in answer.headers["cache-control"]
    for absent in ("0" * 64, "..%2F..%2Fetc%2Fpasswd", f"{digest}%0a", str(digest).upper(), ""):
        assert (await platform_api.call("GET", f"/pay/logos/{absent}")).status == 404
