"""The page as the server sends it, before any script runs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from dataclasses import fields
from datetime import timedelta
from html import unescape
from uuid import UUID

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar

from hutong import ids
from hutong.cashier.model import CheckoutStatus
from hutong.cashier.routes import TOKEN_HEADER
from hutong.cashier.translations import CHINESE, ENGLISH, Translations, choose
from hutong.channels import ActionKind, PayerAction
from hutong.clock import ManualClock, instant
from support.fakes.checkout import Link, MemoryCheckout, cashier_app, serving

QR = PayerAction(ActionKind.QR_CODE, "weixin://wxpay/bizpayurl?pr=1")
SCRIPTS = {"cashier.js": "follows the payment, starts an attempt, counts down"}
"""Every script a payer's browser is given, and what for. A new one is added here on purpose or not at all."""


def shown_panels(html: str) -> list[str]:
    return re.findall(r'data-phase="(\w+)"(?! hidden)', html)


async def page(http: ClientSession, link: Link, **query: str) -> str:
    async with http.get(link.page(**query)) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_first_paint_says_who_what_how_much_and_how(http: ClientSession, checkout: MemoryCheckout) -> None:
    html = await page(http, checkout.create())
    for expected in ("Example Store", "Jasmine Silver Needle, 100 g", "¥128.00", "CNY", "WeChat Pay", "Alipay"):
        assert expected in html
    assert ">15:00</span>" in html
    assert "2026-001001" in html
    assert shown_panels(html) == ["choose"]


PANELS: list[tuple[CheckoutStatus, PayerAction | None, bool, str]] = [
    (CheckoutStatus.REQUIRES_PAYMENT, None, False, "choose"),
    (CheckoutStatus.PROCESSING, QR, False, "scan"),
    (CheckoutStatus.PROCESSING, None, False, "confirm"),
    (CheckoutStatus.SUCCEEDED, None, False, "succeeded"),
    (CheckoutStatus.SUCCEEDED, None, True, "succeeded"),
    (CheckoutStatus.CLOSED, None, False, "closed"),
    (CheckoutStatus.REQUIRES_PAYMENT, None, True, "closed"),
    (CheckoutStatus.PROCESSING, QR, True, "confirm"),
]


@pytest.mark.parametrize("case", PANELS, ids=lambda case: f"{case[0]}-expired-{case[2]}")
async def test_each_status_shows_one_panel_and_nobody_is_asked_to_pay_after_the_end(
    http: ClientSession,
    checkout: MemoryCheckout,
    clock: ManualClock,
    case: tuple[CheckoutStatus, PayerAction | None, bool, str],
) -> None:
    status, action, expired, panel = case
    link = checkout.create(status=status, action=action, method="wechat_native")
    checkout.closes_by_itself = False
    if expired:
        clock.advance(timedelta(minutes=15))
    html = await page(http, link)
    assert shown_panels(html) == [panel]
    assert ("data:image/svg" in html) == (panel == "scan")


@pytest.mark.parametrize(("message", "hidden"), [(None, True), ("", False), ("Too little money", False)])
async def test_failed_attempt_is_shown_even_without_a_text(
    http: ClientSession, checkout: MemoryCheckout, message: str | None, hidden: bool
) -> None:
    html = await page(http, checkout.create(failure=None if message is None else {"en": message}))
    assert ('role="alert" data-failure hidden>' in html) == hidden
    assert ("<span data-again hidden>" in html) == hidden


async def test_hostile_texts_are_shown_harmlessly(http: ClientSession, checkout: MemoryCheckout) -> None:
    hostile = (
        "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u202egnp.exe\u2066\x00\x1b\ud83d" + "W" * 5000
    )
    link = checkout.create(
        merchant_name=hostile, subject=hostile + "\U0001f468\u200d\U0001f469", failure={"en": hostile}
    )
    html = await page(http, link)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "{{7*7}}" in html
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\x00\x1b]", unescape(html))
    assert "W" * 301 not in html
    assert html.count(r"\u202egnp.exe") == 6  # merchant and subject with their titles, failure, title of the page


async def test_no_inline_script_style_or_handler(http: ClientSession, checkout: MemoryCheckout) -> None:
    html = await page(http, checkout.create())
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []


async def test_only_the_scripts_of_the_inventory_run_and_each_is_pinned_by_its_hash(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    html = await page(http, checkout.create())
    scripts = re.findall(r'<script type="module" src="([^"]+)" integrity="([^"]+)"></script>', html)
    styles = re.findall(r'<link rel="stylesheet" href="([^"]+)" integrity="([^"]+)">', html)
    assert {re.sub(r".*/(\w+)\.\w+\.(\w+)$", r"\1.\2", url) for url, _ in scripts} == set(SCRIPTS)
    assert html.count("<script") == len(scripts) == len(styles) == 1
    for url, integrity in scripts + styles:
        async with http.get(url) as answer:
            assert answer.status == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            digest = base64.b64encode(hashlib.sha384(await answer.read()).digest()).decode()
            assert integrity == f"sha384-{digest}"


async def test_file_under_another_hash_is_absent(http: ClientSession) -> None:
    async with http.get("/pay/static/cashier.0000000000000000.js") as answer:
        assert answer.status == 404
        assert answer.headers["cache-control"] == "no-store"


async def answers(http: ClientSession, checkout: MemoryCheckout) -> list[ClientResponse]:
    """One of every kind of answer that the cashier gives."""
    link = checkout.create()
    script = re.findall(r'src="([^"]+)"', await page(http, link))[0]
    header = {TOKEN_HEADER: link.token}
    gathered = [
        await http.get(link.page()),
        await http.get(link.path),
        await http.get("/pay/"),
        await http.get(script),
        await http.delete(link.path),
        await http.get(f"{link.path}/status", headers=header),
        await http.get(f"{link.path}/status"),
        await http.post(f"{link.path}/attempts", json={"method": "wechat_native"}, headers=header),
        await http.post(f"{link.path}/attempts", data=b"\xff{", headers=header),
        await http.post(
            f"{link.path}/attempts", data={"method": "alipay_qr", "token": link.token}, allow_redirects=False
        ),
    ]
    checkout.broken = RuntimeError("secret detail")
    gathered += [await http.get(link.page()), await http.get(f"{link.path}/status", headers=header)]
    return gathered


async def test_every_answer_carries_the_security_headers(http: ClientSession, checkout: MemoryCheckout) -> None:
    given = await answers(http, checkout)
    assert [answer.status for answer in given] == [200, 404, 404, 200, 404, 200, 404, 200, 415, 303, 500, 500]
    for answer in given:
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
            "require-trusted-types-for": "'script'",
        }
        assert answer.headers["referrer-policy"] == "strict-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert answer.headers["cache-control"] == "no-store" or "/static/" in answer.url.path
        assert "set-cookie" not in answer.headers
        assert "secret detail" not in await answer.text()


async def test_wrong_token_absent_payment_and_malformed_id_get_the_same_answer(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link, other = checkout.create(), checkout.create()
    absent = ids.encode("pay", UUID(int=link.payment_id.int ^ 1))
    urls = [
        f"{link.path}?token=wrong",
        f"{link.path}?token={other.token}",
        f"{link.path}?token=%C3%BC",
        f"{link.path}?token=",
        f"{link.path}?token={'x' * 5000}",
        link.path,
        f"/pay/{absent}?token={link.token}",
        f"/pay/{ids.encode('att', link.payment_id)}?token={link.token}",
        f"/pay/nothing?token={link.token}",
        "/pay/%00%ff?token=x",
    ]
    seen = set()
    for url in urls:
        async with http.get(url) as answer:
            headers = tuple((name, value) for name, value in answer.headers.items() if name.lower() != "date")
            seen.add((answer.status, headers, await answer.text()))
    assert len(seen) == 1
    assert seen.pop()[0] == 404


async def test_page_shows_only_its_own_payment(http: ClientSession, checkout: MemoryCheckout) -> None:
    checkout.create(merchant_name="Another Shop", subject="Another Order")
    html = await page(http, checkout.create())
    assert "Another" not in html


@pytest.mark.parametrize(
    ("query", "header", "language"),
    [
        ({}, "", "en"),
        ({}, "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ({}, "fr-FR, en;q=0.4, zh-TW;q=0.6", "zh-Hans"),
        ({}, "de, *;q=0.5", "en"),
        ({"lang": "en"}, "zh-CN", "en"),
        ({"lang": "zh"}, "en", "zh-Hans"),
        ({"lang": "<script>"}, "zh", "zh-Hans"),
    ],
)
async def test_language_is_the_requested_one_then_the_readers_own(
    http: ClientSession, checkout: MemoryCheckout, query: dict[str, str], header: str, language: str
) -> None:
    link = checkout.create()
    async with http.get(link.page(**query), headers={"accept-language": header}) as answer:
        html = await answer.text()
        assert answer.headers["content-language"] == language
    assert f'<html lang="{language}" dir="ltr">' in html
    assert ("选择支付方式" in html) == (language == "zh-Hans")
    assert "&amp;lang=zh" in html or "&lang=zh" in html


@pytest.mark.parametrize("header", ["zh;q=2", "zh;q=nan", "zh;q=", "zh;q=-1", ",,;;", "zh;q=0"])
def test_broken_language_preferences_are_ignored(header: str) -> None:
    assert choose(None, header) is ENGLISH


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_every_language_has_every_text(texts: Translations) -> None:
    assert all(getattr(texts, entry.name) for entry in fields(texts))
    assert texts.wallets.keys() == ENGLISH.wallets.keys()
    assert texts.hints.keys() == ENGLISH.hints.keys()
    assert texts.methods.keys() == ENGLISH.methods.keys()


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "https://shop.example@evil.example/", "https:///x"],
)
async def test_return_leads_only_to_a_web_address(http: ClientSession, checkout: MemoryCheckout, address: str) -> None:
    link = checkout.create(status=CheckoutStatus.SUCCEEDED, return_url=address, sandbox_payer_url=address)
    checkout.change(link, cancel_url=address)
    html = await page(http, link)
    assert address not in html
    links = re.findall(r"<a [^>]*data-(?:return|cancel|leave)[^>]*>", html)
    assert [one.endswith(" hidden>") for one in links] == [True] * 4
    checkout.change(link, return_url="https://shop.example/orders/1?a=1&b=2")
    assert 'href="https://shop.example/orders/1?a=1&amp;b=2"' in await page(http, link)


BACK = [
    (CheckoutStatus.REQUIRES_PAYMENT, None, ("wechat_native",), ["leave"]),
    (CheckoutStatus.REQUIRES_PAYMENT, None, (), ["cancel"]),
    (CheckoutStatus.PROCESSING, QR, ("wechat_native",), ["leave"]),
    (CheckoutStatus.PROCESSING, None, ("wechat_native",), ["leave"]),
    (CheckoutStatus.CLOSED, None, (), ["cancel"]),
    (CheckoutStatus.SUCCEEDED, None, (), ["return"]),
]


@pytest.mark.parametrize(("status", "action", "methods", "names"), BACK, ids=str)
async def test_each_step_offers_one_way_back_and_only_the_paid_one_leads_to_the_order(
    http: ClientSession, checkout: MemoryCheckout, status: CheckoutStatus, action: PayerAction | None,
    methods: tuple[str, ...], names: list[str],
) -> None:  # fmt: skip
    html = await page(http, checkout.create(status=status, action=action, methods=methods))
    shown = re.sub(r"<section[^>]* hidden.*?</section>", "", html, flags=re.DOTALL)
    visible = re.findall(r'<a [^>]*data-(return|cancel|leave)[^>]*href="([^"]+)">', shown)
    address = "https://shop.example/orders/1001" if names == ["return"] else "https://shop.example/cart"
    assert visible == [(name, address) for name in names]


async def test_no_method_says_so_and_asks_nobody_to_pay(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create(methods=())
    html = await page(http, link)
    assert shown_panels(html) == ["unavailable"]
    assert "The merchant has been notified" in html


ENDINGS = [
    ({"status": CheckoutStatus.CLOSED, "close_reason": "expired"}, ENGLISH.closed_expired),
    ({"status": CheckoutStatus.CLOSED, "close_reason": "merchant"}, ENGLISH.closed_merchant),
    ({"status": CheckoutStatus.CLOSED, "close_reason": "operator"}, ENGLISH.closed),
]


@pytest.mark.parametrize(("ending", "heading"), ENDINGS, ids=str)
async def test_a_closed_payment_says_why_and_when(
    http: ClientSession, checkout: MemoryCheckout, clock: ManualClock, ending: dict[str, object], heading: str
) -> None:
    html = await page(http, checkout.create(**ending, finished_at=clock.now()))
    assert f"data-closed>{heading}</h2>" in html
    assert f'datetime="{instant(clock.now())}">{clock.now():%Y-%m-%d %H:%M} UTC</time>' in html


async def test_a_paid_payment_shows_when_how_and_the_merchants_number(
    http: ClientSession, checkout: MemoryCheckout, clock: ManualClock
) -> None:
    link = checkout.create(method="alipay_qr")
    checkout.succeed(link)
    html = await page(http, link, lang="zh")
    panel = re.findall(r'data-phase="succeeded".*?</section>', html, flags=re.DOTALL)[0]
    for expected in ("支付时间", instant(clock.now()), "支付宝", "商户订单号", "2026-001001"):
        assert expected in panel


@pytest.mark.parametrize(("declined", "heading"), [(True, ENGLISH.declined), (False, ENGLISH.failed)])
async def test_a_failed_attempt_is_called_declined_only_if_it_was(
    http: ClientSession, checkout: MemoryCheckout, declined: bool, heading: str
) -> None:
    html = await page(http, checkout.create(failure={}, declined=declined))
    assert re.findall(r"<span data-(?:declined|failed)>([^<]+)</span>", html) == [heading]


@pytest.mark.parametrize("sandbox", [False, True])
async def test_every_page_of_a_sandbox_says_so_and_none_of_production(checkout: MemoryCheckout, sandbox: bool) -> None:
    with serving(cashier_app(checkout, sandbox=sandbox)) as url:
        async with ClientSession(url, cookie_jar=DummyCookieJar()) as http:
            shown = [await page(http, checkout.create(status=status)) for status in CheckoutStatus]
            shown += [await page(http, checkout.create(methods=()))]
            async with http.get("/pay/nothing?token=x") as answer:
                shown.append(await answer.text())
    assert {ENGLISH.sandbox in html for html in shown} == {sandbox}


async def test_a_developer_in_the_sandbox_can_play_the_payer(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create(sandbox_payer_url="http://127.0.0.1:9/payer")
    assert 'href="http://127.0.0.1:9/payer"' in await page(http, link)


async def test_without_script_a_form_starts_the_attempt_and_the_page_renews_itself(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    link = checkout.create()
    form = {"token": link.token, "lang": "zh", "method": "wechat_native"}
    async with http.post(f"{link.path}/attempts", data=form, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["location"] == link.page(lang="zh")
    html = await page(http, link)
    assert shown_panels(html) == ["scan"]
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html
    assert shown_panels(await page(http, link, change="1")) == ["choose"]
    assert len(checkout.attempts) == 1


async def test_many_pages_at_once_stay_apart(http: ClientSession, checkout: MemoryCheckout) -> None:
    links = [checkout.create(amount_minor=100 + number) for number in range(20)]
    pages = await asyncio.gather(*(page(http, link) for link in links))
    for number, (link, html) in enumerate(zip(links, pages, strict=True)):
        assert f"¥1.{number:02}" in html
        assert html.count(ids.encode("pay", link.payment_id)) == 4
