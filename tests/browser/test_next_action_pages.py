"""The next action in a real browser: by a link, by a form, and by card on the channel's own page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from playwright.async_api import expect

from browser.conftest import KeepPicture, Open
from browser.test_cashier import CONTRASTS
from browser.test_payment import get, merchant_key, post
from hutong.cashier.model import CheckoutStatus
from hutong.channels import ActionKind, PayerAction
from hutong.demo import RunningPlatform
from support.fakes.checkout import MemoryCheckout

pytestmark = pytest.mark.browser


@pytest.fixture
async def channel() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """The page of a channel; it keeps what was posted to it."""
    posted: list[dict[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        posted.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(
            text="<link rel=icon href=data:,><title>Channel</title><h1>Channel</h1>", content_type="text/html"
        )

    app = web.Application()
    app.router.add_route("*", "/front", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/front", posted
    await runner.cleanup()


async def test_choosing_a_redirect_opens_the_channels_page_and_coming_back_offers_it_again(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, channel: tuple[str, list[dict[str, str]]]
) -> None:
    url, _ = channel
    checkout.actions["card_page"] = PayerAction(ActionKind.REDIRECT, url)
    link = checkout.create(methods=("wechat_native", "card_page"))
    page = await open_page(cashier_url + link.page())
    await page.get_by_role("radio", name="Bank card").check()
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("heading", name="Channel")).to_be_visible()
    await page.goto(cashier_url + link.page())
    await expect(page.get_by_role("heading", name="Continue to pay")).to_be_visible()
    await page.get_by_role("link", name="Continue", exact=True).click()
    await expect(page.get_by_role("heading", name="Channel")).to_be_visible()
    assert [method for _, method, _ in checkout.attempts] == ["card_page"]


async def test_a_form_is_posted_by_the_payers_press_to_the_channel_alone(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, channel: tuple[str, list[dict[str, str]]]
) -> None:
    url, posted = channel
    fields = {"txnAmt": "12800", "note": "糖醋"}
    checkout.actions["unionpay_front"] = PayerAction(ActionKind.FORM, json.dumps({"url": url, "fields": fields}))
    page = await open_page(cashier_url + checkout.create(methods=("wechat_native", "unionpay_front")).page())
    await page.get_by_role("radio", name="UnionPay").check()
    await page.get_by_role("button", name="Pay").click()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("heading", name="Channel")).to_be_visible()
    assert posted == [fields]


async def test_an_action_for_an_application_sends_the_payer_back_there(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    checkout.actions["wechat_app"] = PayerAction(ActionKind.SDK, "{}")
    link = checkout.create(methods=("wechat_app",))
    page = await open_page(cashier_url + link.page())
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("heading", name="Continue in the app")).to_be_visible()
    checkout.succeed(link)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()


@pytest.mark.parametrize("width", [320, 1280])
async def test_each_next_step_fits_the_screen_and_can_be_read(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, width: int
) -> None:
    url = "https://gateway.channel.example/" + "x" * 500
    steps = [
        PayerAction(ActionKind.REDIRECT, url),
        PayerAction(ActionKind.FORM, json.dumps({"url": url, "fields": {"a": "b" * 500}})),
        PayerAction(ActionKind.SDK, "{}"),
    ]
    for step in steps:
        link = checkout.create(status=CheckoutStatus.PROCESSING, action=step, method="unionpay_front")
        page = await open_page(cashier_url + link.page(), viewport={"width": width, "height": 640})
        await expect(page.locator("[data-phase]:not([hidden]) .waiting")).to_be_visible()
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(too_wide) == 0
        measured = await page.evaluate(CONTRASTS)
        assert [(text, ratio) for text, ratio in measured if ratio < 4.5] == []


async def test_a_payer_pays_by_card_on_the_channels_page_and_comes_back_to_success(
    platform: RunningPlatform,
    environment: dict[str, str],
    open_page: Open,
) -> None:
    key = merchant_key(environment)
    order = {"merchant_order_no": "card-1", "amount_minor": 12800, "currency": "USD", "subject": "Jasmine tea"}
    payment = post(f"{platform.address}/v1/payments", order, key)
    page = await open_page(payment["checkout_url"])
    await page.get_by_role("radio", name="Bank card").check()
    await page.get_by_role("button", name="Pay").click()
    await expect(page.locator(".amount", has_text="$128.00 USD")).to_be_visible()
    await expect(page.get_by_role("heading", name="Sandbox Stripe")).to_be_visible()
    await page.get_by_role("button", name="Be declined").click()
    await expect(page.get_by_role("alert")).to_contain_text("declined")
    await page.get_by_role("button", name="Pay with the test card").click()
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible(timeout=15_000)
    after = await asyncio.to_thread(get, f"{platform.address}/v1/payments/{payment['id']}", key)
    assert after["status"] == "succeeded"


async def test_payers_pay_from_the_sandboxs_list_and_come_back_from_the_channels_pages(
    platform: RunningPlatform, environment: dict[str, str], open_page: Open, keep_picture: KeepPicture
) -> None:
    key = merchant_key(environment)
    await list_shows_new_orders(platform, key, open_page, keep_picture)
    address = {"client_ip": "192.0.2.1"}
    for method, payer, waits in (
        ("unionpay_front", {}, True),
        ("alipay_page", {}, False),
        ("wechat_h5", address, False),
    ):
        order = {"merchant_order_no": f"back-{method}", "amount_minor": 12800, "currency": "CNY", "subject": "Tea"}
        payment = post(f"{platform.address}/v1/payments", order | {"method": method, "payer": payer}, key)
        page = await open_page(payment["checkout_url"])
        await page.locator("[data-phase=next_action]:not([hidden]) .button:not([hidden])", has_text="Continue").click()
        await page.get_by_role("button", name="Pay").click()
        await expect(page.get_by_role("status")).to_have_text("Paid")
        if not waits:
            await page.get_by_text("Back to the merchant").click()
        await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible(timeout=15_000)
        assert page.url.startswith(payment["checkout_url"])


async def list_shows_new_orders(platform: RunningPlatform, key: str, open_page: Open, keep: KeepPicture) -> None:
    """Pay one of three orders that appear in the list by themselves."""
    sold = []
    page = await open_page(f"{platform.sandbox_address}/payer", viewport={"width": 900, "height": 760})
    await expect(page.get_by_role("status")).to_contain_text("No order waits for a payer")
    for number, (method, subject) in enumerate(
        (("wechat_native", "Jasmine tea, 250 g"), ("alipay_qr", "Pork ribs"), ("unionpay_qr", "糖醋排骨")), 1
    ):
        order = {"merchant_order_no": f"list-{number}", "amount_minor": 12800 * number, "currency": "CNY"}
        order |= {"subject": subject, "method": method}
        sold.append(post(f"{platform.address}/v1/payments", order, key))
    await expect(page.get_by_role("button", name="Pay")).to_have_count(3)
    await keep(page, "payer.png")
    row = page.locator("form", has_text="Pork ribs")
    await row.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("button", name="Pay")).to_have_count(2)
    await expect(page.get_by_role("listitem")).to_contain_text("Paid")
    for _ in range(100):
        if get(f"{platform.address}/v1/payments/{sold[1]['id']}", key)["status"] == "succeeded":
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the payment is not paid")
