"""What a phone and a computer are offered by the simulated channels, and a payer who changes their mind."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, expect

from browser.conftest import Open
from browser.test_payment import get, merchant_key, post
from hutong.demo import RunningPlatform

pytestmark = pytest.mark.browser

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148 Safari"


async def entries(page: Page) -> list[str]:
    radios = page.get_by_role("radio")
    return [await radio.get_attribute("value") or "" for radio in await radios.all()]


async def test_phones_open_wallets_computers_leave_unopened_codes_and_wechat_tells_who_pays(
    platform: RunningPlatform, environment: dict[str, str], open_page: Open
) -> None:
    key = merchant_key(environment)
    order = {"merchant_order_no": "device-1", "amount_minor": 12800, "currency": "CNY", "subject": "Jasmine tea"}
    payment = post(f"{platform.address}/v1/payments", order, key)
    phone = await open_page(payment["checkout_url"], user_agent=IPHONE, viewport={"width": 390, "height": 844})
    assert sorted(await entries(phone)) == ["alipay_wap", "card_page", "unionpay_front", "wechat_h5"]
    await phone.get_by_role("radio", name="WeChat Pay").check()
    async with phone.expect_request(lambda request: "/payer" in request.url) as opened:
        await phone.get_by_role("button", name="Pay").click()
    # WeChat's page for phones requires to know where it was opened from, and gets no more than the origin.
    assert await (await opened.value).header_value("referer") == f"{platform.address}/"

    order |= {"merchant_order_no": "device-2"}
    payment = post(f"{platform.address}/v1/payments", order, key)
    page = await open_page(payment["checkout_url"])
    assert sorted(await entries(page)) == ["alipay_qr", "card_page", "unionpay_qr", "wechat_native"]
    for wallet in ("Alipay", "UnionPay", "WeChat Pay"):
        await page.get_by_role("radio", name=wallet).check()
        await page.get_by_role("button", name="Pay").click()
        await expect(page.get_by_role("img", name="QR code for this payment")).to_be_visible()
        if wallet != "WeChat Pay":
            await page.get_by_role("link", name="Choose another method").click()
    after = await asyncio.to_thread(get, f"{platform.address}/v1/payments/{payment['id']}", key)
    assert [(attempt["method"], attempt["state"]) for attempt in after["attempts"]] == [
        ("alipay_qr", "submitted"), ("unionpay_qr", "submitted"), ("wechat_native", "submitted")
    ]  # fmt: skip
    code_url = after["attempts"][0]["action"]["content"]
    post(f"{platform.sandbox_address}/control/alipay/pay", {"code_url": code_url})  # the first code, after all
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible(timeout=15_000)

    # WeChat's own browser tells WeChat who pays, and opens its window.
    order |= {"merchant_order_no": "device-3"}
    payment = post(f"{platform.address}/v1/payments", order, key)
    page = await open_page(payment["checkout_url"], user_agent=f"{IPHONE} MicroMessenger/8.0.44 Language/en")
    handed: list[dict[str, str]] = []

    def take(parameters: dict[str, str]) -> None:
        handed.append(parameters)

    await page.context.expose_function("handed", take)
    await page.context.add_init_script(
        "window.WeixinJSBridge = { invoke: (name, parameters, done) =>"
        " window.handed({ name, ...parameters }).then(() => done({ err_msg: 'get_brand_wcpay_request:ok' })) }"
    )
    assert (await entries(page))[0] == "wechat_jsapi"
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("heading", name="Continue in the app")).to_be_visible()
    await expect(page.get_by_role("button", name="Continue")).to_be_visible()
    assert [(one["name"], one["signType"]) for one in handed] == [("getBrandWCPayRequest", "RSA")]
    # What the window answers proves nothing: the page waits until WeChat tells us.
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_hidden()
    post(f"{platform.sandbox_address}/control/wechat/pay", {"code_url": handed[0]["package"]})
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible(timeout=15_000)
