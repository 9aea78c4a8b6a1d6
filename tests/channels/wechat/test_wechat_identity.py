"""Who the payer in WeChat's own browser is: WeChat tells it silently, once for each code."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession

from hutong.channels import NotOffered, make_channel
from hutong.sandbox.wechat.keys import APPID, OPENIDS, WeChatSandboxKeys
from support.channel_rigs import Rig

pytestmark = pytest.mark.parametrize("rig", ["wechat"], indirect=True)
BACK = "https://pay.example/pay/pay_1/identified?token=t&method=wechat_jsapi"


async def code_of(url: str) -> tuple[str, dict[str, list[str]]]:
    """Open an address as WeChat's browser does; return where it leads back to, and with what."""
    async with ClientSession() as session, session.get(url, allow_redirects=False) as answer:
        assert answer.status == 302
        back = urlsplit(answer.headers["Location"])
    return f"{back.scheme}://{back.netloc}{back.path}", parse_qs(back.query)


async def test_wechat_tells_the_openid_behind_a_code_once(rig: Rig) -> None:
    url = rig.channel.identify_url("wechat_jsapi", BACK, "abc123")
    assert url.endswith("#wechat_redirect")
    assert parse_qs(urlsplit(url).query)["scope"] == ["snsapi_base"]
    back, query = await code_of(url)
    assert (back, query["token"], query["state"]) == (BACK.partition("?")[0], ["t"], ["abc123"])
    (code,) = query["code"]
    assert await rig.channel.identify("wechat_jsapi", code) == {"openid": OPENIDS[APPID]}
    assert await rig.channel.identify("wechat_jsapi", code) is None, "a code works once"
    assert await rig.channel.identify("wechat_jsapi", "invented") is None


async def test_an_order_for_that_openid_is_taken(rig: Rig, now) -> None:
    _, query = await code_of(rig.channel.identify_url("wechat_jsapi", BACK, "a"))
    payer = await rig.channel.identify("wechat_jsapi", query["code"][0])
    assert payer is not None
    placed = await rig.channel.pay(rig.request(now, method="wechat_jsapi", payer=payer), now=now)
    assert placed.action is not None


async def test_only_the_method_of_wechats_browser_and_only_with_the_apps_secret(
    rig: Rig, keys: WeChatSandboxKeys, http
) -> None:
    with pytest.raises(NotOffered):
        rig.channel.identify_url("wechat_native", BACK, "a")
    assert rig.channel.capabilities.methods["wechat_jsapi"].identifies == {"openid"}
    without = {name: value for name, value in keys.credentials("http://127.0.0.1:1").items() if name != "app_secrets"}
    channel = make_channel("wechat", without, http, sandbox=True)
    assert channel.capabilities.methods["wechat_jsapi"].identifies == set()
    with pytest.raises(NotOffered):
        await channel.identify("wechat_jsapi", "code")
