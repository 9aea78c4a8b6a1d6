"""One entry per wallet, by the product that works on the payer's device, in the merchant's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from hutong.channels import Device, Offer, adapters
from hutong.payments import CaptureMethod
from hutong.payments.method_offers import cashier_methods, method_offers, one_per_wallet

ACCOUNTS = {name: UUID(int=place) for place, name in enumerate(("wechat", "alipay", "unionpay", "stripe"), 1)}
KNOWN = frozenset({"client_ip"})


def offers(
    *channels: str, capture: CaptureMethod = CaptureMethod.AUTOMATIC, currency: str = "CNY", best: Sequence[str] = ()
) -> list:
    found = [Offer(ACCOUNTS[name], adapters()[name].capabilities, sandbox=False, name=name) for name in channels]
    rates = {ACCOUNTS[name]: 0.99 - place / 10 for place, name in enumerate(best)}
    return method_offers(found, 1999, currency, capture, success=lambda account_id, _: rates.get(account_id, 0.5))


@pytest.mark.parametrize(
    ("device", "shown"),
    [
        (Device.DESKTOP, ["wechat_native", "alipay_qr", "unionpay_qr", "card_page"]),
        (Device.PHONE, ["wechat_h5", "alipay_wap", "unionpay_front", "card_page"]),
        (Device.WECHAT, ["unionpay_front", "card_page"]),
        (Device.ALIPAY, ["alipay_wap", "unionpay_front", "card_page"]),
        (Device.UNIONPAY, ["unionpay_front", "card_page"]),
    ],
)
def test_each_device_is_offered_one_product_of_each_wallet_that_works_on_it(device: Device, shown: list[str]) -> None:
    made = cashier_methods(offers("wechat", "alipay", "unionpay", "stripe"), device, known=KNOWN, preferred=())
    assert list(made.names) == shown
    # In a wallet's own browser the others are a tap away, in the phone's browser.
    assert made.in_browser is device.is_wallet
    assert len({made.wallets[name] for name in made.names}) == len(shown)


def test_a_wallets_browser_gets_its_own_product_once_the_channel_tells_who_the_payer_is() -> None:
    can = adapters()["wechat"].capabilities
    jsapi = replace(can.methods["wechat_jsapi"], identifies=frozenset({"openid"}))
    able = replace(can, methods={**can.methods, "wechat_jsapi": jsapi})
    found = [Offer(ACCOUNTS["wechat"], able, sandbox=False), Offer(UUID(int=9), can, sandbox=False, name="other")]
    made = method_offers(found, 1999, "CNY", CaptureMethod.AUTOMATIC, success=lambda *_: 0.9)
    in_wechat = cashier_methods(made, Device.WECHAT, known=KNOWN, preferred=())
    assert (in_wechat.names, in_wechat.in_browser) == (("wechat_jsapi",), False)
    assert cashier_methods(made, Device.PHONE, known=KNOWN, preferred=()).names == ("wechat_h5",)


def test_what_needs_details_that_the_page_does_not_have_is_not_offered() -> None:
    names = [offer.name for offer in one_per_wallet(offers("wechat"), Device.PHONE, known=frozenset())]
    assert names == ["wechat_native"], "a code, which another device can scan, since nothing else works"


def test_a_code_alone_is_offered_on_a_phone_but_not_in_a_wallets_browser() -> None:
    stripe = offers("stripe", currency="EUR")
    assert [o.name for o in one_per_wallet(stripe, Device.PHONE, known=KNOWN)] == [
        "card_page", "stripe_alipay", "stripe_wechat"
    ]  # fmt: skip
    assert [o.name for o in one_per_wallet(stripe, Device.WECHAT, known=KNOWN)] == ["card_page"]


def test_manual_capture_leaves_what_can_reserve() -> None:
    manual = offers("wechat", "alipay", "unionpay", "stripe", capture=CaptureMethod.MANUAL)
    assert [o.name for o in one_per_wallet(manual, Device.DESKTOP, known=KNOWN)] == ["unionpay_front", "card_page"]


def test_the_preferred_come_first_and_the_others_follow_by_success() -> None:
    found = offers("wechat", "alipay", "unionpay", "stripe", best=("unionpay", "wechat", "alipay", "stripe"))

    def order(*preferred: str) -> list[str]:
        return [o.wallet for o in one_per_wallet(found, Device.DESKTOP, known=KNOWN, preferred=preferred)]

    assert order() == ["unionpay", "wechat", "alipay", "card"]
    assert order("card", "alipay") == ["card", "alipay", "unionpay", "wechat"]
    shown = one_per_wallet(found, Device.DESKTOP, known=KNOWN, preferred=("alipay_page", "alipay"))
    assert shown[0].name == "alipay_page", "a merchant may prefer another product of a wallet"


def test_noise_in_success_rates_moves_nothing() -> None:
    rates = {ACCOUNTS["wechat"]: 0.951, ACCOUNTS["alipay"]: 0.953}
    names = ("wechat", "alipay")
    found = [Offer(ACCOUNTS[name], adapters()[name].capabilities, sandbox=False, name=name) for name in names]
    made = method_offers(found, 1999, "CNY", CaptureMethod.AUTOMATIC, success=lambda account, _: rates[account])
    assert [o.wallet for o in one_per_wallet(made, Device.DESKTOP, known=KNOWN)] == ["wechat", "alipay"]
