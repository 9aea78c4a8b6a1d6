"""Payment links: a payer enters an amount and gets a payment and its cashier, and nobody gets more than that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from hutong import merchants
from hutong.ids import decode, encode
from hutong.merchants import payment_links
from support.running_platform import Answer, PlatformApi, Shop

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def link(platform_api: PlatformApi, shop: Shop, **changed: Any) -> str:
    made = payment_links.PaymentLink(
        platform_api.ids.new(), shop.merchant_id, 'Table <7> & "more"', "CNY", 100, 50_000, platform_api.clock.now()
    )
    async with platform_api.database.transaction() as tx:
        await payment_links.create_link(tx, replace(made, **changed), reason="test")
    return f"/link/{encode(payment_links.PREFIX, made.link_id)}"


async def post(platform_api: PlatformApi, path: str, headers: dict[str, str] | None = None, **fields: str) -> Answer:
    return await platform_api.call("POST", path, body=urlencode(fields).encode(), headers=FORM | (headers or {}))


async def test_a_payer_enters_an_amount_and_gets_a_payment_and_its_cashier(
    platform_api: PlatformApi, shop: Shop
) -> None:
    path = await link(platform_api, shop)
    page = await platform_api.call("GET", f"{path}?lang=zh")
    assert page.status == 200
    assert "请输入 ¥1.00 至 ¥500.00 之间的金额" in page.body.decode()
    assert "Table &lt;7&gt; &amp; &#34;more&#34;" in page.body.decode()
    assert "script-src 'self'" in page.headers["content-security-policy"]
    paid = await post(platform_api, f"{path}?lang=zh", amount=" 1,28.50 ".replace(",", ""))
    assert paid.status == 303
    target = paid.headers["location"]
    assert (await platform_api.call("GET", target)).status == 200
    payment = await platform_api.get(shop, target.split("?")[0].removeprefix("/pay/"))
    assert (payment["amount_minor"], payment["currency"], payment["status"]) == (12_850, "CNY", "requires_payment")
    assert payment["metadata"] == {"payment_link": path.removeprefix("/link/")}
    assert payment["merchant_order_no"].startswith("link-")
    assert payment["subject"] == 'Table <7> & "more"'


async def test_an_amount_outside_of_the_link_is_refused_and_creates_nothing(
    platform_api: PlatformApi, shop: Shop
) -> None:
    path = await link(platform_api, shop)
    for amount in ("0.99", "500.01", "-5", "1.001", "1e3", "", "abc", "<b>", "９", "1" * 20):
        refused = await post(platform_api, path, amount=amount)
        assert (refused.status, b"Enter an amount from" in refused.body, b"<b>" in refused.body) == (422, True, False)
    foreign = await post(platform_api, path, {"Origin": "https://evil.example"}, amount="5.00")
    assert foreign.status == 403
    assert (await platform_api.call("POST", path, json={"amount": "5.00"})).status == 415
    assert (await post(platform_api, path, amount="5", more="x" * 1_100)).status == 400
    assert (await platform_api.call("GET", "/v1/payments", shop=shop)).json["data"] == []


async def test_a_fixed_amount_cannot_be_changed(platform_api: PlatformApi, shop: Shop) -> None:
    path = await link(platform_api, shop, least_minor=1_999, most_minor=1_999)
    page = (await platform_api.call("GET", path)).body.decode()
    assert ("¥19.99" in page, 'name="amount"' in page) == (True, False)
    paid = await post(platform_api, path, amount="0.01")
    payment = await platform_api.get(shop, paid.headers["location"].split("?")[0].removeprefix("/pay/"))
    assert payment["amount_minor"] == 1_999


async def test_what_is_disabled_or_absent_takes_no_payment(platform_api: PlatformApi, shop: Shop) -> None:
    path, now = await link(platform_api, shop), platform_api.clock.now()
    async with platform_api.database.transaction() as tx:
        identifier = decode(payment_links.PREFIX, path.removeprefix("/link/"))
        await payment_links.disable_link(tx, identifier, reason="test", now=now)
    off = await platform_api.shop()
    of_disabled = await link(platform_api, off)
    async with platform_api.database.transaction() as tx:
        await merchants.update_merchant(
            tx, off.merchant_id, lambda merchant: replace(merchant, disabled_at=now), reason="test", now=now
        )
    for absent in (path, of_disabled, "/link/lnk_01h455vb4pex5vsknk084sn02q", "/link/x"):
        assert (await platform_api.call("GET", absent)).status == 404
        assert (await post(platform_api, absent, amount="5.00")).status == 404


async def test_a_link_is_rate_limited(platform_api: PlatformApi, shop: Shop) -> None:
    path = await link(platform_api, shop)
    statuses = [(await post(platform_api, path, amount="")).status for _ in range(40)]
    assert set(statuses) == {422, 429}
