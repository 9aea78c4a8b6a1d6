"""The ways out of the cashier: back to the merchant by itself, by a link at every step, and without a method."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from browser.conftest import Open, Watched
from support.fakes.checkout import MemoryCheckout

pytestmark = pytest.mark.browser


async def hurry(page: Page) -> None:
    """Let the seconds of the countdown pass at once."""
    await page.clock.run_for(12_000)


async def test_a_paid_payment_returns_by_itself_once_and_back_leads_to_a_page_that_stays(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("status of 404",)
    link = checkout.create(return_url=f"{cashier_url}/pay/shop")
    page = await open_page("about:blank")
    await page.clock.install()
    await page.goto(cashier_url + link.page())
    checkout.succeed(link)
    await page.clock.run_for(2_000)
    await expect(page.get_by_text("Returning to the merchant in")).to_be_visible()
    await hurry(page)
    await expect(page).to_have_url(f"{cashier_url}/pay/shop")
    await page.goto(cashier_url + link.page())
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()
    await hurry(page)
    assert page.url.startswith(cashier_url + link.path)
    await expect(page.get_by_text("Returning to the merchant in")).to_be_hidden()


async def test_a_payer_may_stay(checkout: MemoryCheckout, cashier_url: str, open_page: Open) -> None:
    link = checkout.create(return_url=f"{cashier_url}/pay/shop")
    checkout.succeed(link)
    page = await open_page("about:blank")
    await page.clock.install()
    await page.goto(cashier_url + link.page())
    await page.get_by_role("button", name="Stay here").click()
    await hurry(page)
    assert page.url.startswith(cashier_url + link.path)
    await expect(page.get_by_role("link", name="Return to merchant")).to_be_visible()


async def test_without_an_address_nobody_is_sent_away(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create(return_url=None)
    checkout.succeed(link)
    page = await open_page(cashier_url + link.page())
    await expect(page.get_by_text("You may close this page")).to_be_visible()
    await expect(page.get_by_text("Returning to the merchant in")).to_be_hidden()


async def test_the_page_offers_methods_once_there_are_some(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create(methods=())
    page = await open_page(cashier_url + link.page())
    await expect(page.get_by_role("heading", name="No way to pay right now")).to_be_visible()
    back = page.get_by_role("link", name="Return to merchant")
    await expect(back).to_have_attribute("href", "https://shop.example/cart")
    checkout.change(link, methods=("wechat_native",))
    await expect(page.get_by_role("radio", name="WeChat Pay")).to_be_visible()


async def test_times_are_the_payers_own(checkout: MemoryCheckout, cashier_url: str, open_page: Open) -> None:
    link = checkout.create()
    checkout.succeed(link)
    page = await open_page(cashier_url + link.page(), timezone_id="Asia/Shanghai", locale="zh-CN")
    at = page.locator("[data-phase=succeeded] time")
    expected = await page.evaluate(
        "at => new Intl.DateTimeFormat('zh-Hans', "
        "{ dateStyle: 'medium', timeStyle: 'short', timeZone: 'Asia/Shanghai' })"
        ".format(new Date(at))",
        await at.get_attribute("datetime"),
    )
    await expect(at).to_have_text(expected)
