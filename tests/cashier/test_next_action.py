"""The next action after the choice of a method: the channel's page, by a link or a form, or the application."""

from __future__ import annotations

import json
import re

import pytest
from aiohttp import ClientSession

from hutong.cashier.model import CheckoutStatus
from hutong.cashier.next_action import next_action
from hutong.cashier.page import offered_method
from hutong.cashier.translations import CHINESE, ENGLISH
from hutong.channels import ActionKind, PayerAction
from support.fakes.checkout import Link, MemoryCheckout

REDIRECT = PayerAction(ActionKind.REDIRECT, "https://checkout.channel.example/pay/cs_1?a=1&b=2")
FIELDS = {"txnAmt": "12800", "merId": "777", "sig": 'a"b<c>'}
METHODS = [
    "wechat_native",
    "wechat_jsapi",
    "wechat_h5",
    "wechat_app",
    "wechat_code",
    "alipay_qr",
    "alipay_page",
    "alipay_wap",
    "alipay_app",
    "alipay_jsapi",
    "alipay_code",
    "unionpay_front",
    "unionpay_app",
    "unionpay_qr",
    "unionpay_collection",
    "card",
    "card_page",
    "stripe_element",
    "stripe_alipay",
    "stripe_wechat",
]


def form(url: str = "https://gateway.channel.example/front.do", **changed: object) -> PayerAction:
    return PayerAction(ActionKind.FORM, json.dumps({"url": url, "fields": FIELDS, "charset": "UTF-8"} | changed))


def processing(checkout: MemoryCheckout, action: PayerAction) -> Link:
    return checkout.create(status=CheckoutStatus.PROCESSING, action=action, method="wechat_native")


async def open_page(http: ClientSession, link: Link) -> tuple[str, str]:
    async with http.get(link.page()) as answer:
        return await answer.text(), answer.headers["content-security-policy"]


def panels(html: str) -> list[str]:
    return re.findall(r'data-phase="(\w+)"(?! hidden)', html)


async def test_a_redirect_is_a_link_that_the_payer_follows(http: ClientSession, checkout: MemoryCheckout) -> None:
    html, policy = await open_page(http, processing(checkout, REDIRECT))
    assert panels(html) == ["next_action"]
    assert 'href="https://checkout.channel.example/pay/cs_1?a=1&amp;b=2"' in html
    assert "form-action 'self';" in policy


async def test_a_form_is_posted_to_the_channel_and_the_policy_names_it_alone(
    http: ClientSession, checkout: MemoryCheckout
) -> None:
    html, policy = await open_page(http, processing(checkout, form()))
    assert panels(html) == ["next_action"]
    assert 'action="https://gateway.channel.example/front.do" accept-charset="UTF-8"' in html
    assert 'name="txnAmt" value="12800"' in html
    assert 'value="a&#34;b&lt;c&gt;"' in html
    assert "form-action 'self' https://gateway.channel.example;" in policy
    assert policy.count("channel.example") == 1


async def test_the_status_shows_no_field_of_a_form(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = processing(checkout, form())
    async with http.get(f"{link.path}/status", headers={"X-Checkout-Token": link.token}) as answer:
        status = await answer.text()
    assert json.loads(status)["next_action"] == {"kind": "form", "url": "https://gateway.channel.example/front.do"}
    assert "txnAmt" not in status


async def test_parameters_for_an_application_are_not_shown(http: ClientSession, checkout: MemoryCheckout) -> None:
    html, _ = await open_page(http, processing(checkout, PayerAction(ActionKind.SDK, '{"client_secret": "hidden"}')))
    assert panels(html) == ["in_app"]
    assert "Continue in the app" in html
    assert "client_secret" not in html


@pytest.mark.parametrize(
    "action",
    [
        PayerAction(ActionKind.REDIRECT, "javascript:alert(1)"),
        PayerAction(ActionKind.REDIRECT, "https://shop.example@evil.example/"),
        form("javascript:alert(1)"),
        form("https://a.example;script-src *"),
        form("https://*/"),
        form("//a.example"),
        form(fields={"n": 7}),
        form(fields=[]),
        form(fields={str(n): "" for n in range(101)}),
        form(charset=7),
        PayerAction(ActionKind.FORM, "<form>"),
        PayerAction(ActionKind.FORM, "[]"),
    ],
)
async def test_anything_but_a_plain_address_or_form_leads_nowhere(
    http: ClientSession, checkout: MemoryCheckout, action: PayerAction
) -> None:
    assert next_action(action) is None
    html, policy = await open_page(http, processing(checkout, action))
    assert panels(html) == ["confirm"]
    assert "form-action 'self';" in policy


def test_a_charset_that_no_channel_uses_is_not_passed_on() -> None:
    step = next_action(form(charset="UTF-7"))
    assert step is not None
    assert step.charset == "UTF-8"
    assert next_action(form(charset="GBK")) != next_action(form())


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_a_label_of_its_own(name: str) -> None:
    for texts in (ENGLISH, CHINESE):
        assert "_" not in offered_method(name, texts).label
    assert re.search(r"[\u4e00-\u9fff]", offered_method(name, CHINESE).label)


def test_entries_bear_the_name_of_their_wallet_and_each_wallet_its_own() -> None:
    for texts in (ENGLISH, CHINESE):
        assert len(set(texts.wallets.values())) == len(texts.wallets)
        for wallet, label in texts.wallets.items():
            assert offered_method("any_method", texts, wallet=wallet).label == label
