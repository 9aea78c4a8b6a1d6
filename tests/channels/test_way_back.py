"""Each simulated page sends its payer back as the channel's own page does."""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
import pytest

from support.channel_rigs import Rig

SHOP = "https://shop.example/thanks?order=1"


async def opened(rig: Rig, method: str, now: datetime, **changed: Any) -> str:
    """Place an order, open its page as a browser does, and return the page's address."""
    request = rig.request(now, method=method, return_url=SHOP, **changed)
    action = (await rig.channel.pay(request, now=now)).action
    assert action is not None
    session = rig.control.session
    if action.content.startswith("{"):
        form = orjson.loads(action.content)
        async with session.post(form["url"], data=form["fields"]) as page:
            return str(page.url)
    async with session.get(action.content) as page:
        assert page.status == 200
        return str(page.url)


async def decide(rig: Rig, page_url: str, do: str) -> tuple[str, str]:
    """Press a button of a page; return the next page, and its policy."""
    code_url = dict(parse_qsl(urlsplit(page_url).query))["code_url"]
    data = {"code_url": code_url, "do": do}
    address = page_url.partition("?")[0]
    async with rig.control.session.post(f"{address}?lang=en", data=data) as page:
        return await page.text(), page.headers["Content-Security-Policy"]


def link(text: str) -> str:
    found = re.search(r'id="back" href="([^"]*)"', text)
    assert found is not None, text
    return unescape(found[1])


def returns_by_itself(text: str) -> bool:
    return "setTimeout" in text and "You return to the merchant" in text


@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
@pytest.mark.parametrize("do", ["pay", "decline"])
async def test_an_h5_payer_goes_to_the_redirect_url(rig: Rig, now, do: str) -> None:
    page = await opened(rig, "wechat_h5", now, payer={"client_ip": "192.0.2.1"})
    text, _ = await decide(rig, page, do)
    assert link(text) == SHOP
    assert returns_by_itself(text)


@pytest.mark.parametrize("rig", ["wechat"], indirect=True)
async def test_an_h5_page_leads_nowhere_that_is_no_web_address(rig: Rig, now) -> None:
    page = await opened(rig, "wechat_h5", now, payer={"client_ip": "192.0.2.1"})
    query = dict(parse_qsl(urlsplit(page).query)) | {"redirect_url": "javascript:alert(1)"}
    async with rig.control.session.get(f"{page.partition('?')[0]}?{urlencode(query)}") as shown:
        text = await shown.text()
    assert 'id="back"' not in text
    assert 'href="javascript' not in text


@pytest.mark.parametrize("rig", ["alipay"], indirect=True)
@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
async def test_who_has_paid_alipay_comes_back_with_signed_parameters(rig: Rig, now, method: str) -> None:
    text, _ = await decide(rig, await opened(rig, method, now), "pay")
    address = urlsplit(link(text))
    assert f"{address.scheme}://{address.netloc}{address.path}" == "https://shop.example/thanks"
    parameters = dict(parse_qsl(address.query, strict_parsing=True))
    assert parameters.pop("order") == "1"
    rig.channel._keys.verify_parameters(dict(parameters), now=now)
    assert parameters["method"] == ("alipay.trade.page.pay" if "page" in method else "alipay.trade.wap.pay") + ".return"
    assert {"out_trade_no", "trade_no", "total_amount", "seller_id", "timestamp", "sign"} <= parameters.keys()
    assert "trade_status" not in parameters
    assert returns_by_itself(text)


@pytest.mark.parametrize("rig", ["alipay"], indirect=True)
@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
async def test_who_is_declined_at_alipay_may_try_again_or_leave(rig: Rig, now, method: str) -> None:
    page = await opened(rig, method, now)
    text, _ = await decide(rig, page, "decline")
    assert link(text) == SHOP
    assert "You may pay another way" in text
    assert not returns_by_itself(text)
    text, _ = await decide(rig, page, "pay")
    assert "sign=" in link(text)


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_who_has_paid_unionpay_posts_the_signed_order_to_the_front_url(rig: Rig, now) -> None:
    text, policy = await decide(rig, await opened(rig, "unionpay_front", now), "pay")
    found = re.search(r'<form class="back" id="back" method="post" action="([^"]*)">', text)
    assert found is not None, text
    assert unescape(found[1]) == SHOP
    assert "form-action 'self' https://shop.example;" in policy
    fields = {
        name: unescape(value)
        for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text[found.end() :])
    }
    assert fields["respCode"] == "00"
    body = urlencode(fields).encode()
    taken = rig.channel.parse_notification({}, body, now=now)
    assert taken.answer.amount_minor == 8800
    assert returns_by_itself(text)


@pytest.mark.parametrize("rig", ["unionpay"], indirect=True)
async def test_who_is_declined_at_unionpay_goes_back_without_fields(rig: Rig, now) -> None:
    text, _ = await decide(rig, await opened(rig, "unionpay_front", now), "decline")
    assert link(text) == SHOP
    assert returns_by_itself(text)
