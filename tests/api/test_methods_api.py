"""Which methods exist, for whom, and what an unknown one is told."""

from __future__ import annotations

from typing import Any

import pytest

from hutong.api.schemas.method import LABELS
from hutong.cashier.translations import CHINESE, ENGLISH
from support.running_platform import PlatformApi, Shop

PATH = "/v1/methods?amount_minor=1999&currency=CNY"


async def listed(platform_api: PlatformApi, shop: Shop, **query: str) -> dict[str, Any]:
    path = PATH + "".join(f"&{name}={value}" for name, value in query.items())
    answer = await platform_api.call("GET", path, shop=shop)
    assert answer.status == 200, answer.json
    return {method["method"]: method for method in answer.json["data"]}


async def test_methods_are_listed_with_what_a_merchants_page_needs(platform_api: PlatformApi, shop: Shop) -> None:
    methods = await listed(platform_api, shop)
    assert methods["wechat_h5"] == {
        "object": "method",
        "method": "wechat_h5",
        "wallet": "wechat",
        "labels": {"en": "WeChat Pay", "zh": "微信支付"},
        "action": "redirect",
        "requires": ["client_ip"],
        "devices": ["phone"],
    }
    assert (methods["wechat_code"]["action"], methods["wechat_code"]["devices"]) == (None, [])


async def test_a_device_is_listed_only_what_works_on_it(platform_api: PlatformApi, shop: Shop) -> None:
    on = {device: set(await listed(platform_api, shop, device=device)) for device in ("desktop", "phone", "wechat")}
    assert {name for name in on["desktop"] if name.startswith("wechat")} == {"wechat_native"}
    assert {name for name in on["phone"] if name.startswith("wechat")} == {"wechat_h5"}
    assert {name for name in on["wechat"] if name.startswith("wechat")} == {"wechat_jsapi"}
    assert not any(name.startswith("wechat") for name in await listed(platform_api, shop, capture_method="manual"))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("amount_minor=0&currency=CNY", "amount_minor"),
        ("amount_minor=1e3&currency=CNY", "amount_minor"),
        ("currency=CNY", "amount_minor"),
        ("amount_minor=1&currency=XXQ", "currency"),
        ("amount_minor=1&currency=CNY&device=fridge", "device"),
    ],
)
async def test_a_wrong_parameter_is_named(platform_api: PlatformApi, shop: Shop, query: str, param: str) -> None:
    answer = await platform_api.call("GET", f"/v1/methods?{query}", shop=shop)
    assert (answer.status, answer.json["param"]) == (422, param)


async def test_an_unknown_method_is_answered_with_those_that_exist(platform_api: PlatformApi, shop: Shop) -> None:
    order = platform_api.order(method="paypal")
    refused = await platform_api.call("POST", "/v1/payments", shop=shop, json=order)
    assert (refused.status, refused.json["code"], refused.json["param"]) == (422, "method_unknown", "method")
    assert set(refused.json["methods"]) == set(await listed(platform_api, shop))
    assert "wechat_native" in refused.json["detail"]


def test_the_labels_are_those_of_the_cashier() -> None:
    assert {wallet: (ENGLISH.wallets[wallet], CHINESE.wallets[wallet]) for wallet in ENGLISH.wallets} == LABELS
