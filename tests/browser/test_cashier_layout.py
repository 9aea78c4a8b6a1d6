"""The geometry of the cashier with the methods that channels really offer, and what axe-core says about it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Page

from browser.conftest import Open
from support.fakes.checkout import MemoryCheckout

pytestmark = pytest.mark.browser

SCREENS = [(390, 844), (768, 1024), (1280, 800)]
LOOKS = [("en-US", "light"), ("en-US", "dark"), ("zh-CN", "light"), ("zh-CN", "dark")]
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
    return { methods: all(".method"), button: all("[data-choose] button")[0], overlaps,
        wider: root.scrollWidth - root.clientWidth };
}"""
