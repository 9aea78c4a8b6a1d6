"""The till in Chromium, on the whole platform and the simulated channels."""

from __future__ import annotations

import secrets

import pytest
from playwright.async_api import Page, Route, expect

from browser.conftest import KeepPicture, Open, Watched
from browser.test_cashier import CONTRASTS
from browser.test_cashier_layout import AXE, RUN_AXE
from browser.test_payment import get, merchant_key, post
from hutong.demo import RunningPlatform

pytestmark = pytest.mark.browser


def code(prefix: str, end: str, length: int) -> str:
    middle = "".join(secrets.choice("123456789") for _ in range(length - len(prefix) - len(end)))
    return prefix + middle + end


async def press(page: Page, amount: str) -> None:
    for key in amount:
        await page.get_by_role("button", name=key, exact=True).click()


async def scan(page: Page, text: str) -> None:
    """Type as a keyboard scanner does: digits into the field that has the focus, then Enter."""
    await expect(page.get_by_label("The payer's code")).to_be_visible()
    await page.get_by_label("The payer's code").focus()
    await page.keyboard.type(text)
    await page.keyboard.press("Enter")


async def lose_answer(route: Route) -> None:
    await route.fetch()
    await route.abort()


async def shows(page: Page, state: str) -> None:
    await expect(page.get_by_role("heading", level=1)).to_have_text(state, timeout=15_000)


async def test_a_till_takes_declines_waits_and_cancels(
    platform: RunningPlatform,
    environment: dict[str, str],
    open_page: Open,
    watched: Watched,
    keep_picture: KeepPicture,
) -> None:
    watched.allowed = ("401", "net::ERR_FAILED")
    key = merchant_key(environment)
    page = await open_page(f"{platform.address}/till")
    await page.get_by_label("API key of the merchant").fill("sk_wrong")
    await page.get_by_role("button", name="Open the till").click()
    await expect(page.get_by_role("alert").first).to_contain_text("not valid")
    await page.get_by_label("API key of the merchant").fill(key)
    await page.get_by_role("button", name="Open the till").click()

    await scan(page, "6" * 12)
    await expect(page.locator("#problem")).to_contain_text("no payment code")
    await scan(page, code("13", "0005", 18))
    await expect(page.locator("#problem")).to_contain_text("Enter the amount")
    await press(page, "128.5")
    await expect(page.get_by_label("Amount", exact=True).last).to_have_text("¥128.50")
    await scan(page, code("13", "0005", 18))
    await shows(page, "Paid")
    await expect(page.locator("#detail")).to_have_text("¥128.50")
    await page.get_by_role("button", name="Next payment").click()

    await press(page, "7")
    await page.route("**/v1/payments", lose_answer, times=1)
    await scan(page, code("28", "5", 18))
    await shows(page, "Paid")
    await page.get_by_role("button", name="Next payment").click()
    sold = get(f"{platform.address}/v1/payments", key)["data"]
    assert [(payment["amount_minor"], payment["status"]) for payment in sold] == [
        (700, "succeeded"), (12850, "succeeded"),
    ]  # fmt: skip

    await press(page, "9")
    await scan(page, code("28", "1", 18))
    await shows(page, "Declined")
    await scan(page, code("28", "5", 18))
    await shows(page, "Paid")
    await page.get_by_role("button", name="Next payment").click()

    await press(page, "3")
    await scan(page, code("62", "0000", 19))
    await shows(page, "The payer confirms on their phone")
    orders = get(f"{platform.sandbox_address}/control/unionpay/orders")["orders"]
    (waiting,) = [order for order in orders if order["state"] == "open" and order["amount_minor"] == 300]
    post(f"{platform.sandbox_address}/control/unionpay/pay", {"order_no": waiting["order_no"]})
    await shows(page, "Paid")
    await page.get_by_role("button", name="Next payment").click()

    await press(page, "5")
    await scan(page, code("28", "9", 18))
    await shows(page, "The payer confirms on their phone")
    await keep_picture(page, "till.png")
    await page.get_by_role("button", name="Cancel").click()
    await shows(page, "Canceled")

    assert await page.locator("#last li").all_inner_texts() != []
    assert [(await row.locator("span").last.inner_text()) for row in await page.locator("#last li").all()] == [
        "Canceled", "Paid", "Paid", "Paid", "Paid",
    ]  # fmt: skip
    kept = await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])")
    assert key not in kept
    assert key not in await page.content()
    has_detector = await page.evaluate("'BarcodeDetector' in window")
    assert await page.locator("#camera").is_hidden() is not has_detector
    await fits_and_can_be_read(page)
    chinese = await open_page(f"{platform.address}/till?lang=zh")
    await expect(chinese.get_by_role("button", name="开始收款")).to_be_visible()
    for address in ("/", "/payer", "/payer?code_url=none"):
        watched.allowed += ("404",)
        payer = await open_page(f"{platform.sandbox_address}{address}")
        assert await faults(payer) == [], address


async def faults(page: Page) -> list[str]:
    """Return what axe-core finds."""
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(RUN_AXE)
    return found


async def fits_and_can_be_read(page: Page) -> None:
    await page.get_by_role("button", name="Next payment").click()
    for width, scheme in ((320, "dark"), (1280, "light")):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.emulate_media(color_scheme=scheme)
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(too_wide) == 0
        measured = await page.evaluate(CONTRASTS)
        assert [(text, ratio) for text, ratio in measured if ratio < 4.5] == []
        assert await faults(page) == []
