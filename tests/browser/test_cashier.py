"""The cashier in a real browser, on a life cycle that the test plays."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from playwright.async_api import Page, Route, expect

from browser.conftest import KeepPicture, Open, Watched
from hutong.cashier.model import CheckoutStatus
from hutong.errors import Unavailable
from support.fakes.checkout import MemoryCheckout

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SMALLEST = {"viewport": {"width": 320, "height": 568}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "WWWW" * 200 + "Z\u0351\u036b\u0343" * 40


async def start_paying(page: Page, method: str = "WeChat Pay") -> None:
    await page.get_by_role("radio", name=method).check()
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("img", name="QR code for this payment")).to_be_visible()


async def test_payer_scans_and_the_page_turns_to_success_without_reload(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, keep_picture: KeepPicture
) -> None:
    link = checkout.create()
    page = await open_page(cashier_url + link.page(), device_scale_factor=2, viewport={"width": 1120, "height": 700})
    await page.evaluate("window.sameDocument = true")
    await start_paying(page)
    code = page.get_by_role("img", name="QR code for this payment")
    assert await code.evaluate("image => image.complete && image.naturalWidth > 0")
    width, height = await code.evaluate("image => [image.clientWidth, image.clientHeight]")
    assert width == height >= 200
    await expect(page.get_by_text("Waiting for your payment").first).to_be_visible()
    await page.mouse.move(0, 0)
    await keep_picture(page, "cashier.png")

    checkout.succeed(link)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()
    await expect(page.get_by_role("status").first).to_have_text("Payment successful")
    await expect(page).to_have_title("✓ Payment successful · Pay ¥128.00 · Example Store")
    back = page.get_by_role("link", name="Return to merchant")
    await expect(back).to_have_attribute("href", "https://shop.example/orders/1001")
    await expect(code).to_be_hidden()
    assert await page.evaluate("window.sameDocument")
    assert [method for _, method, _ in checkout.attempts] == ["wechat_native"]


async def test_a_declined_payment_offers_another_attempt(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create()
    page = await open_page(cashier_url + link.page())
    await start_paying(page)
    checkout.decline(link, "")
    await expect(page.get_by_role("alert")).to_contain_text("The payment was declined")
    checkout.decline(link, "The balance is too low <b>")
    await expect(page.get_by_role("alert")).to_contain_text("The balance is too low <b>")
    await page.get_by_role("radio", name="Alipay").check()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("img", name="QR code for this payment")).to_be_visible()
    await expect(page.get_by_text("Open Alipay, then tap Scan").last).to_be_visible()
    assert [method for _, method, _ in checkout.attempts] == ["wechat_native", "alipay_qr"]


async def test_countdown_runs_and_ends_in_closed(checkout: MemoryCheckout, cashier_url: str, open_page: Open) -> None:
    link = checkout.create(lasts=timedelta(seconds=4))
    page = await open_page(cashier_url + link.page())
    await expect(page.get_by_role("button", name="Pay")).to_be_visible()
    before = await page.get_by_role("timer").inner_text()
    await expect(page.get_by_role("timer")).not_to_have_text(before)
    await expect(page.get_by_role("heading", name="The time to pay is over")).to_be_visible()
    await expect(page.get_by_role("button")).to_have_count(0)


async def test_clicking_many_times_starts_one_attempt(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    page = await open_page(cashier_url + checkout.create().page())
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await page.evaluate("for (let i = 0; i < 10; i++) document.querySelector('form button').click()")
    await expect(page.get_by_role("img", name="QR code for this payment")).to_be_visible()
    assert sent.count("POST") == 1
    assert len(checkout.attempts) == 1


async def test_older_answer_does_not_take_the_code_away(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create()
    page = await open_page(cashier_url + link.page())
    old, released = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        old.set()
        await released.wait()
        await route.fulfill(response=answer)

    await page.route("**/status", hold)
    checkout.change(link, failure={"en": "Declined a moment ago"})
    await asyncio.wait_for(old.wait(), 120)
    await start_paying(page)
    await page.evaluate(
        "new MutationObserver(() => { document.body.dataset.flickered = '' })"
        ".observe(document.querySelector('[data-phase=choose]'), { attributeFilter: ['hidden'] })"
    )
    async with page.expect_response("**/status"):
        released.set()
    async with page.expect_response("**/status"):
        pass
    await expect(page.locator("body")).not_to_have_attribute("data-flickered", "")


async def test_payer_may_change_the_method_while_a_code_is_shown(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create()
    page = await open_page(cashier_url + link.page())
    await start_paying(page)
    await page.get_by_role("link", name="Choose another method").click()
    await expect(page.get_by_role("radio", name="Alipay")).to_be_visible()
    async with page.expect_response("**/status"):
        pass  # what is asked meanwhile does not take the choice away
    await start_paying(page, "Alipay")
    await page.get_by_role("link", name="Choose another method").click()
    checkout.succeed(link)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()


async def test_whole_way_works_by_keyboard(checkout: MemoryCheckout, cashier_url: str, open_page: Open) -> None:
    page = await open_page(cashier_url + checkout.create().page())
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to payment")).to_be_focused()
    for _ in range(4):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("radio", name="WeChat Pay")).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="Alipay")).to_be_checked()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Scan to pay")).to_be_focused()
    assert [method for _, method, _ in checkout.attempts] == ["alipay_qr"]


async def test_language_follows_the_browser_and_the_switch(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    page = await open_page(cashier_url + checkout.create().page(), locale="zh-CN")
    await expect(page.get_by_role("group", name="选择支付方式")).to_be_visible()
    await page.get_by_role("link", name="English").click()
    await expect(page.get_by_role("group", name="Choose how to pay")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_role("link", name="中文").click()
    await expect(page.get_by_role("button", name="支付")).to_be_visible()


@pytest.mark.parametrize("screen", [SMALLEST, PHONE, DESKTOP], ids=["320", "360", "1280"])
async def test_every_panel_fits_the_screen_whatever_the_merchant_wrote(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, screen: dict[str, object]
) -> None:
    link = checkout.create(
        merchant_name=HOSTILE,
        subject=HOSTILE,
        amount_minor=2**63 - 1,
        methods=("wechat_native", "w" * 64),
        sandbox_payer_url="http://127.0.0.1:9/",
    )
    page = await open_page(cashier_url + link.page(), **screen)
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(too_wide) == 0
    await start_paying(page)
    assert await page.evaluate(too_wide) == 0
    checkout.decline(link, HOSTILE)
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await page.evaluate(too_wide) == 0
    checkout.succeed(link)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()
    assert await page.evaluate(too_wide) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_enough_from_its_ground(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, scheme: str
) -> None:
    link = checkout.create(failure={"en": "Declined"}, sandbox_payer_url="http://127.0.0.1:9/")
    page = await open_page(cashier_url + link.page(), color_scheme=scheme, reduced_motion="reduce")
    measured = await page.evaluate(CONTRASTS)
    await page.get_by_role("button").click()
    await expect(page.get_by_role("heading", name="Scan to pay")).to_be_visible()
    measured += await page.evaluate(CONTRASTS)
    assert len(measured) > 30
    assert [(text, ratio) for text, ratio in measured if ratio < 4.5] == []


async def test_lost_connection_is_shown_and_restored(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("ERR_INTERNET_DISCONNECTED",)
    link = checkout.create()
    page = await open_page(cashier_url + link.page())
    await start_paying(page)
    await page.context.set_offline(True)
    await expect(page.get_by_text("No connection. This page keeps trying.")).to_be_visible(timeout=10_000)
    checkout.succeed(link)
    await page.context.set_offline(False)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()
    await expect(page.get_by_text("No connection. This page keeps trying.")).to_be_hidden()


async def test_trouble_on_the_server_does_not_stop_the_page(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("status of 503",)
    link = checkout.create()
    page = await open_page(cashier_url + link.page())
    checkout.broken = Unavailable("down")
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_text("This did not work.")).to_be_visible()
    checkout.broken = None
    await start_paying(page)
    await expect(page.get_by_text("This did not work.")).to_be_hidden()


async def test_lost_answer_to_a_click_still_leads_to_the_code(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("ERR_FAILED",)
    page = await open_page(cashier_url + checkout.create().page())

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/attempts", lose)
    await page.get_by_role("button", name="Pay").click()
    await expect(page.get_by_role("img", name="QR code for this payment")).to_be_visible()
    assert len(checkout.attempts) == 1


async def test_page_nobody_looks_at_asks_less_and_catches_up_at_once(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create(status=CheckoutStatus.PROCESSING, method="wechat_native")
    page = await open_page(cashier_url + link.page())
    await page.evaluate(HIDE, True)
    for _ in range(2):
        async with page.expect_response("**/status"):
            pass
    *_, before, last = await page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status')).map(e => e.startTime)"
    )
    assert last - before >= 2_600  # by the page's own clock; while it is looked at, this is about 1,500
    checkout.succeed(link)
    await page.evaluate(HIDE, False)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()


async def test_finished_page_asks_no_more(checkout: MemoryCheckout, cashier_url: str, open_page: Open) -> None:
    page = await open_page(cashier_url + checkout.create(status=CheckoutStatus.SUCCEEDED).page())
    looked = checkout.views
    await asyncio.sleep(2)
    assert checkout.views == looked
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()


async def test_without_script_the_payer_still_gets_the_code(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    page = await open_page(cashier_url + checkout.create().page(), java_script_enabled=False)
    await start_paying(page)
    assert len(checkout.attempts) == 1


async def test_policy_stops_what_somebody_slips_in(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("CSP: ", "Content Security Policy", "Trusted", "TrustedHTML")
    page = await open_page(cashier_url + checkout.create().page())
    await page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.setAttribute("data-slipped", "");
            script.append("document.body.dataset.owned = 'yes'");
            try { document.body.append(script); } catch {}
            try { document.body.innerHTML += "<img src=x onerror=\\"document.body.dataset.owned='yes'\\">"; } catch {}
        }"""
    )
    await expect(page.locator("body")).not_to_have_attribute("data-owned", "yes")
    assert any("CSP: " in error for error in watched.errors)


async def test_page_cannot_be_framed(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched
) -> None:
    watched.allowed = ("frame-ancestors", "status of 404")
    link = checkout.create()
    page = await open_page(cashier_url + "/elsewhere")
    await page.set_content(f'<iframe src="{cashier_url}{link.page()}"></iframe>')
    await expect(page.frame_locator("iframe").get_by_role("button", name="Pay")).to_have_count(0)
    assert any("frame-ancestors" in error for error in watched.errors)


HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""

CONTRASTS = """() => {
    const parse = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = element => {
        for (let e = element; e; e = e.parentElement) {
            const color = parse(getComputedStyle(e).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!own || !element.checkVisibility() || element.closest(".sr, .skip")) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
        found.push([element.textContent.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
    }
    return found;
}"""
