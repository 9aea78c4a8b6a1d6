"""The cashier step by step, as the documentation shows it: `make pictures` writes what is seen here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from playwright.async_api import expect

from browser.conftest import WITH_PICTURES, KeepPicture, Open
from hutong.cashier.model import CheckoutStatus
from hutong.cashier.translations import LANGUAGES
from hutong.channels import ActionKind, PayerAction
from hutong.clock import ManualClock
from hutong.ids import Ids
from support.fakes.checkout import Link, MemoryCheckout, cashier_app, serving

pytestmark = pytest.mark.browser

NOW = datetime(2026, 11, 29, 6, 30, tzinfo=UTC)
SCREENS = {
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}
METHODS = {
    "phone": ("wechat_h5", "alipay_wap", "unionpay_front", "card_page"),
    "desktop": ("wechat_native", "alipay_qr", "unionpay_qr", "card_page"),
}
ACTIONS = {
    "phone": PayerAction(ActionKind.REDIRECT, "https://wallet.example/pay"),
    "desktop": PayerAction(ActionKind.QR_CODE, "https://wallet.example/pay/8f3k2m"),
}
EACH = [(screen, language) for screen in SCREENS for language in LANGUAGES]
SHOWN = EACH if WITH_PICTURES else [("phone", "zh"), ("desktop", "en")]
"""One screen with each language unless the pictures are wanted: what differs is little."""
DECLINED = {"en": "There is not enough money in the account.", "zh": "余额不足，请更换支付方式。"}


@pytest.fixture
def checkout() -> MemoryCheckout:
    """Payments of one instant with the same ids in each run, so that a picture changes only with the page."""
    clock = ManualClock(NOW)
    ids = Ids(clock, random_bits=Random(7).getrandbits)
    return MemoryCheckout(clock, new_id=ids.new)


@pytest.fixture
def sandbox_url(checkout: MemoryCheckout) -> Iterator[str]:
    with serving(cashier_app(checkout, sandbox=True)) as url:
        yield url


def steps(checkout: MemoryCheckout, screen: str) -> dict[str, tuple[Link, str]]:
    """A payment in each step, and the text by which the step is known."""
    first, *_ = methods = METHODS[screen]
    order = {"methods": methods, "merchant_name": "Lantern Tea House 灯笼茶馆", "lasts": timedelta(minutes=30)}
    running = {"status": CheckoutStatus.PROCESSING, "method": first}
    sandbox = {"sandbox_payer_url": "http://127.0.0.1:9/payer"} if screen == "desktop" else {}
    ended = {"finished_at": NOW, "finished_method": first}
    next_step = "scan" if screen == "desktop" else "proceed"
    return {
        "1-choose": (checkout.create(**order), "choose"),
        "2-pay": (checkout.create(**order, **running, **sandbox, action=ACTIONS[screen]), next_step),
        "3-declined": (checkout.create(**order, failure=DECLINED, declined=True), "declined"),
        "4-waiting": (checkout.create(**order, **running), "confirming"),
        "5-paid": (checkout.create(**order, **ended, status=CheckoutStatus.SUCCEEDED), "succeeded"),
        "6-expired": (
            checkout.create(**order, status=CheckoutStatus.CLOSED, finished_at=NOW, close_reason="expired"),
            "closed_expired",
        ),
        "7-no-method": (checkout.create(**order | {"methods": ()}), "unavailable"),
        "8-own-color": (checkout.create(**order, color="#b3261e"), "choose"),
    }


@pytest.mark.parametrize(("screen", "language"), SHOWN)
async def test_each_step_says_in_one_screen_where_the_payer_is(
    checkout: MemoryCheckout, sandbox_url: str, open_page: Open, keep_picture: KeepPicture,
    screen: str, language: str,
) -> None:  # fmt: skip
    texts = LANGUAGES[language]
    page = await open_page(
        "about:blank", **SCREENS[screen], locale=texts.tag, timezone_id="Asia/Shanghai", reduced_motion="reduce"
    )
    await page.clock.set_fixed_time(NOW)
    for name, (link, known_by) in steps(checkout, screen).items():
        await page.emulate_media(color_scheme="light")
        await page.goto(sandbox_url + link.page(lang=language))
        await expect(page.locator("[data-phase]:not([hidden])")).to_contain_text(getattr(texts, known_by))
        await expect(page.get_by_text(texts.sandbox)).to_be_visible()
        wider, higher = await page.evaluate(
            "(e => [e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight])(document.documentElement)"
        )
        assert (name, wider) == (name, 0)
        assert higher <= 120, name  # the footer, at most; the button is on the first screen, as tested elsewhere
        await keep_picture(page, f"cashier/{screen}-{language}-{name}.png")
        if name == "1-choose":
            await page.emulate_media(color_scheme="dark")
            await keep_picture(page, f"cashier/{screen}-{language}-{name}-dark.png")
