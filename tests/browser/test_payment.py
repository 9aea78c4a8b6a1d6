"""A person pays: the whole platform in its own processes, a browser, and the simulated channel's payer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from browser.conftest import Open
from hutong.demo import RunningPlatform

pytestmark = pytest.mark.browser


def get(url: str, key: str | None = None, body: bytes | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def post(url: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    return get(url, key, json.dumps(body).encode())


def merchant_key(environment: dict[str, str]) -> str:
    created = subprocess.run(
        [sys.executable, "-m", "hutong", "merchant", "create", "Example Store", "--json"],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    key: str = json.loads(created.stdout)["api_key"]
    return key


async def test_a_payer_scans_and_pays_and_the_page_turns_to_success_without_reload(
    platform: RunningPlatform, environment: dict[str, str], open_page: Open
) -> None:
    key = merchant_key(environment)
    order = {"merchant_order_no": "browser-1", "amount_minor": 12800, "currency": "CNY", "subject": "Jasmine tea"}
    payment = post(f"{platform.address}/v1/payments", order, key)

    page = await open_page(payment["checkout_url"])
    await page.evaluate("window.sameDocument = true")
    heights = await page.evaluate("[...document.querySelectorAll('.method')].map(e => e.clientHeight)")
    assert len(heights) >= 3, "a desktop is offered WeChat Pay, Alipay, and cards or UnionPay"
    assert max(heights) <= 1.5 * min(heights)
    button = await page.get_by_role("button", name="Pay").bounding_box()
    assert button is not None
    assert button["y"] + button["height"] <= 800
    await expect(page.get_by_text("Sandbox · no real money")).to_be_visible()
    await page.get_by_role("radio", name="WeChat Pay").check()
    await page.get_by_role("button", name="Pay").click()
    code = page.get_by_role("img", name="QR code for this payment")
    await expect(code).to_be_visible()
    assert await code.evaluate("image => image.complete && image.naturalWidth > 0")

    payer = await page.locator("[data-payer]").get_attribute("href")
    assert payer is not None
    post(f"{platform.sandbox_address}/control/wechat/pay", {"code_url": parse_qs(urlsplit(payer).query)["code_url"][0]})

    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible(timeout=15_000)
    assert await page.evaluate("window.sameDocument")

    after = await asyncio.to_thread(get, f"{platform.address}/v1/payments/{payment['id']}", key)
    assert after["status"] == "succeeded"


async def test_ten_clicks_make_one_attempt(platform: RunningPlatform, environment: dict[str, str]) -> None:
    key = merchant_key(environment)
    order = {"merchant_order_no": "clicks-1", "amount_minor": 100, "currency": "CNY", "subject": "Ten clicks"}
    payment = post(f"{platform.address}/v1/payments", order, key)
    token = parse_qs(urlsplit(payment["checkout_url"]).query)["token"][0]

    def click() -> None:
        url = f"{platform.address}/pay/{payment['id']}/attempts"
        post(url, {"method": "wechat_native", "token": token})

    await asyncio.gather(*(asyncio.to_thread(click) for _ in range(10)))
    truth = await asyncio.to_thread(get, f"{platform.sandbox_address}/control/wechat/truth")
    placed = [row for row in truth["truth"] if row["event"] == "placed"]
    assert len(placed) == 1
