"""Payment links in Chromium: their page for everybody, and posters that fill one sheet."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from browser.conftest import Open
from browser.test_cashier_layout import AXE, RUN_AXE
from hutong.cashier import Paper, Poster
from hutong.cashier.link_pages import render_link
from hutong.cashier.translations import LANGUAGES
from hutong.merchants import Merchant
from hutong.merchants.payment_links import PaymentLink
from support.pictures import png

MERCHANT = Merchant(UUID(int=1), "胡同茶馆 Hutong Tea House", 0, (), color="#0a7d3c")
LINK = PaymentLink(UUID(int=2), MERCHANT.merchant_id, "Table 7", "CNY", 1, 1_000_000, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("lang", "scheme", "entered"), [("en", "light", None), ("zh", "dark", "abc")])
async def test_axe_finds_nothing_on_the_page_of_a_link(
    cashier_url: str, open_page: Open, lang: str, scheme: str, entered: str | None
) -> None:
    html = render_link(LINK, MERCHANT, LANGUAGES[lang], entered=entered, sandbox=True)
    page = await open_page("about:blank", color_scheme=scheme, viewport={"width": 390, "height": 844})
    await page.route("**/link/*", lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    await page.goto(f"{cashier_url}/link/x")
    await page.evaluate(AXE)
    assert await page.evaluate(RUN_AXE) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert await page.get_by_role("textbox").get_attribute("inputmode") == "decimal"


@pytest.mark.parametrize(("paper", "width", "height"), [(Paper.A6, 298, 420), (Paper.A4, 595, 842)])
async def test_a_poster_fills_one_sheet(open_page: Open, paper: Paper, width: int, height: int) -> None:
    poster = Poster(
        replace(LINK, subject="Table 7, terrace, second floor " * 4),
        replace(MERCHANT, name="Example Store with a name of sixty-four characters, for a poster"),
        "https://pay.example.com/link/lnk_01h455vb4pex5vsknk084sn02q",
        logo=("image/png", png(64, 64)),
        wallets=["wechat", "alipay", "unionpay", "card"],
        paper=paper,
        sandbox=True,
    )
    page = await open_page("about:blank")
    await page.set_content(poster.render())
    assert await page.evaluate("document.body.scrollHeight <= document.body.clientHeight + 1"), "nothing is cut off"
    printed = await page.pdf(prefer_css_page_size=True, print_background=True)
    boxes = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert [(round(float(wide)), round(float(high))) for wide, high in boxes] == [(width, height)]
