"""The geometry of the cashier with the methods that channels really offer, and what axe-core says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.async_api import Page, expect

from browser.conftest import Open, Watched
from hutong.cashier.model import CheckoutStatus
from hutong.channels import ActionKind, PayerAction
from support.fakes.checkout import MemoryCheckout

pytestmark = pytest.mark.browser

SCREENS = [(390, 844), (768, 1024), (1280, 800)]
LOOKS = [("en-US", "light"), ("en-US", "dark"), ("zh-CN", "light"), ("zh-CN", "dark")]
BRANDED = "#ffd400"
"""A color on which white cannot be read."""
METHODS = ("alipay_page", "alipay_qr", "alipay_wap", "card_page", "unionpay_front", "unionpay_qr", "wechat_native")
"""What an installation in the sandbox offers for an order in CNY."""


async def boxes(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(BOXES)
    return found


@pytest.mark.parametrize(("width", "height"), SCREENS, ids=str)
async def test_methods_are_alike_and_the_button_is_on_the_first_screen(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, width: int, height: int
) -> None:
    link = checkout.create(methods=METHODS)
    page = await open_page(cashier_url + link.page(), viewport={"width": width, "height": height})
    for language, scheme in LOOKS:
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await page.goto(cashier_url + link.page(lang=language[:2]))
        found = await boxes(page)
        heights = [method["height"] for method in found["methods"]]
        assert len(heights) == len(METHODS)
        assert all(a <= 1.5 * b for a in heights for b in heights), heights
        assert found["wider"] == 0
        assert found["button"]["bottom"] <= height
        assert found["overlaps"] == []
        # At the end of the page, the button covers no method.
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        after = await boxes(page)
        assert after["methods"][-1]["bottom"] <= after["button"]["top"]


async def test_right_to_left_the_page_is_mirrored_and_nothing_overlaps(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    link = checkout.create(methods=METHODS[-4:], failure={"en": "Declined"}, merchant_name="مقهى المدينة")
    for width, height in (SCREENS[0], SCREENS[-1]):
        page = await open_page(cashier_url + link.page(), viewport={"width": width, "height": height})
        before = await boxes(page)
        await page.evaluate("document.documentElement.dir = 'rtl'")
        after = await boxes(page)
        assert (after["wider"], after["overlaps"]) == (0, [])
        for name in ("back", "tile", "dot", "heading"):
            left, right = before[name]["left"], width - after[name]["right"]
            assert abs(left - right) <= 1, name
        assert await page.locator(".amount > [aria-hidden]").inner_text() == "¥128.00 CNY"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_any_panel(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, scheme: str
) -> None:
    link = checkout.create(methods=METHODS, failure={"en": "The balance is too low"}, color=BRANDED)
    page = await open_page(cashier_url + link.page(), color_scheme=scheme, reduced_motion="reduce")
    await page.evaluate(AXE)
    assert await page.evaluate(RUN_AXE) == []
    checkout.actions["wechat_native"] = PayerAction(ActionKind.QR_CODE, "weixin://wxpay/bizpayurl?pr=1")
    await page.get_by_role("radio", name="WeChat Pay").check()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("heading", name="Scan to pay")).to_be_visible()
    assert await page.evaluate(RUN_AXE) == []
    checkout.succeed(link)
    await expect(page.get_by_role("heading", name="Payment successful")).to_be_visible()
    assert await page.evaluate(RUN_AXE) == []


@pytest.mark.parametrize("address", ["closed", "unavailable", "message"])
async def test_axe_finds_nothing_on_pages_that_end(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open, watched: Watched, address: str
) -> None:
    watched.allowed = ("status of 404",)
    link = checkout.create(
        status=CheckoutStatus.CLOSED if address == "closed" else CheckoutStatus.REQUIRES_PAYMENT,
        finished_at=checkout.clock.now(),
        close_reason="merchant",
        methods=(),
    )
    page = await open_page(cashier_url + ("/pay/nothing" if address == "message" else link.page(lang="zh")))
    await page.evaluate(AXE)
    assert await page.evaluate(RUN_AXE) == []


async def test_every_target_is_large_enough_for_a_finger(
    checkout: MemoryCheckout, cashier_url: str, open_page: Open
) -> None:
    page = await open_page(cashier_url + checkout.create(methods=METHODS).page())
    found = await page.evaluate(
        "[...document.querySelectorAll('.top a, .method, button')].map(TARGET)".replace(
            "TARGET",
            "e => { const { width, height } = e.getBoundingClientRect(); return [e.checkVisibility(), width, height] }",
        )
    )
    sizes = [(width, height) for visible, width, height in found if visible]
    assert len(sizes) == len(METHODS) + 4
    assert all(width >= 44 and height >= 44 for width, height in sizes), sizes


AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RUN_AXE = """async () => (await axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
})).violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))])"""

BOXES = """() => {
    const box = element => {
        const { left, top, right, bottom, height } = element.getBoundingClientRect();
        return { left, top, right, bottom, height, text: element.textContent.trim().slice(0, 20) };
    };
    const all = selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility()).map(box);
    const apart = [...all(".method"), ...all(".top a, .top p, .merchant, h1, dl > div, legend, .foot")];
    const overlaps = [];
    for (const [i, a] of apart.entries()) for (const b of apart.slice(i + 1)) {
        const over = a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
        if (over) overlaps.push([a.text, b.text]);
    }
    const root = document.documentElement;
    const first = selector => all(selector)[0];
    return { methods: all(".method"), button: first("[data-choose] button"), back: first(".back"), overlaps,
        tile: first(".tile"), dot: first(".dot"), heading: first(".merchant > :first-child"),
        wider: root.scrollWidth - root.clientWidth };
}"""
