"""The pages of the sandbox: the list of open orders, what its buttons do, and what they refuse."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from support.sandbox_merchant import Merchant


async def page(merchant: Merchant, path: str = "/payer?lang=en") -> str:
    async with merchant.session.get(f"{merchant.url}{path}") as response:
        assert response.status == 200
        return await response.text()


def plain(text: str) -> str:
    return " ".join(re.sub("<[^>]*>", "", text).split())


async def test_the_open_orders_are_listed_newest_first_with_their_buttons(merchant: Merchant) -> None:
    assert "No order waits for a payer" in await page(merchant)
    await merchant.place(description="older", amount={"total": 12_800})
    merchant.clock.advance(timedelta(seconds=1))
    end = (merchant.clock.now() + timedelta(minutes=5)).isoformat(timespec="seconds")
    await merchant.place(description="newer & <b>better</b> \u202e", time_expire=end)
    text = await page(merchant)
    shown = plain(text)
    assert shown.index("newer &amp; &lt;b&gt;better&lt;/b&gt; \\u202e") < shown.index("older")
    assert "¥128.00 CNY" in shown
    assert "5 min left" in shown
    assert text.count('value="pay"') == text.count('value="decline"') == 2
    assert 'class="channel channel-wechat"' in text
    chinese = plain(await page(merchant, "/payer?lang=zh"))
    assert "待付款订单" in chinese
    assert "剩余 5 分钟" in chinese
    merchant.clock.advance(timedelta(minutes=6))
    assert "newer" not in plain(await page(merchant))


@pytest.mark.parametrize(("do", "state", "shown"), [("pay", "SUCCESS", "Paid"), ("decline", "PAYERROR", "Declined")])
async def test_the_buttons_of_the_list_decide_and_lead_back_to_it(merchant: Merchant, do, state, shown) -> None:
    order = await merchant.place(description="pork ribs")
    data = {"code_url": order["code_url"], "do": do, "from": "orders"}
    async with merchant.session.post(f"{merchant.url}/payer?lang=en", data=data) as response:
        text = await response.text()
        assert response.url.query == {"lang": "en"}
    assert await merchant.state(order) == state
    assert "<button" not in text
    assert f"pork ribs¥1.00 CNY{shown}" in plain(text)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
async def test_a_page_of_another_site_decides_nothing(merchant: Merchant, headers: dict[str, str]) -> None:
    order = await merchant.place()
    data = {"code_url": order["code_url"], "do": "pay"}
    async with merchant.session.post(f"{merchant.url}/payer", data=data, headers=headers) as response:
        assert response.status == 403
    assert await merchant.state(order) == "NOTPAY"
    async with merchant.session.post(f"{merchant.url}/payer", data=data, headers={"Origin": merchant.url}) as response:
        assert response.status == 200
    assert await merchant.state(order) == "SUCCESS"


async def test_the_root_leads_to_the_orders_and_to_the_control_api(merchant: Merchant) -> None:
    text = await page(merchant, "/")
    assert 'href="/payer?lang=en"' in text
    assert 'href="/control"' in text
    assert "Sandbox, no real money" in text
