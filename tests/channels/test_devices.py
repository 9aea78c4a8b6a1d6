"""The device that a browser states, and the devices and lives that channels declare for their methods."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hutong.channels import ActionKind, Device, PaymentMethod, adapters

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
AGENTS = {
    PHONE + " Version/17.1 Safari/604.1": Device.PHONE,
    PHONE + " MicroMessenger/8.0.44(0x18002c2f) NetType/WIFI Language/zh_CN": Device.WECHAT,
    PHONE + " AliApp(AP/10.5.60) AlipayClient/10.5.60 Language/zh-Hans": Device.ALIPAY,
    PHONE + "/sa-sdk-ios (com.unionpay.chsp) (cordova 4.5.4) (UnionPay/1.0 CloudPay) (version 939)": Device.UNIONPAY,
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36": Device.PHONE,
    "Mozilla/5.0 (Linux; Android 14; Pixel Tablet) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36": Device.DESKTOP,
    "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 Version/12.1.2 Mobile/15E148": Device.DESKTOP,
    "Mozilla/5.0 (Windows NT 10.0) Chrome/107.0 Safari/537.36 MicroMessenger/7.0.20 WindowsWechat(0x6)": Device.DESKTOP,
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36": Device.DESKTOP,
    "": Device.DESKTOP,
}
EVERYWHERE = set(Device)
ON = {
    "wechat_native": {Device.DESKTOP},
    "wechat_h5": {Device.PHONE},
    "wechat_jsapi": {Device.WECHAT},
    "alipay_qr": {Device.DESKTOP},
    "alipay_page": {Device.DESKTOP},
    "alipay_wap": {Device.PHONE, Device.ALIPAY},
    "unionpay_qr": {Device.DESKTOP},
    "unionpay_front": EVERYWHERE,
    "card_page": EVERYWHERE,
    "stripe_alipay": {Device.DESKTOP, Device.PHONE, Device.ALIPAY},
    "stripe_wechat": {Device.DESKTOP},
}
"""Every method that a page can offer; the others are for a merchant's own application or till."""


def methods() -> dict[str, PaymentMethod]:
    return {name: method for adapter in adapters().values() for name, method in adapter.capabilities.methods.items()}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_browser_tells_the_device(agent: str) -> None:
    assert Device.of(agent) is AGENTS[agent]


def test_the_client_hint_of_a_phone_is_believed() -> None:
    assert Device.of("Mozilla/5.0 (X11; Linux x86_64)", "?1") is Device.PHONE
    assert Device.of("Mozilla/5.0 (X11; Linux x86_64)", "?0") is Device.DESKTOP


def test_each_method_names_the_devices_on_which_it_works() -> None:
    assert {name: set(method.works_on) for name, method in methods().items() if method.works_on} == ON


def test_an_order_that_nobody_has_opened_stays_payable_where_the_channel_cannot_end_it() -> None:
    stays = {name for name in ON if methods()[name].stays_payable}
    assert stays == {"alipay_qr", "alipay_page", "alipay_wap", "unionpay_qr", "unionpay_front"}


def test_a_link_of_h5_works_for_five_minutes() -> None:
    lives = {name: method.action_life for name, method in methods().items() if method.action_life is not None}
    assert lives == {"wechat_h5": timedelta(minutes=5)}


def test_a_channel_that_declares_no_devices_offers_what_its_action_allows() -> None:
    assert PaymentMethod(ActionKind.QR_CODE).works_on == {Device.DESKTOP}
    assert PaymentMethod(ActionKind.FORM).works_on == set(Device)
    assert PaymentMethod(ActionKind.SDK).works_on == PaymentMethod(None).works_on == set()
