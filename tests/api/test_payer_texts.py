"""The text for a payer whose attempt failed: our own, in the payer's language, never the channel's message."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib.resources import files

import pytest

from hutong import cashier, merchants, payments
from hutong.cashier import page
from hutong.cashier.translations import LANGUAGES
from hutong.channels import ChannelState, Device
from hutong.channels.codes.codes import Codes, load_codes
from hutong.ids import decode
from hutong.payments.model import PaymentEvent
from support.running_platform import METHOD, PlatformApi, Shop

NOT_FAILED = {ChannelState.PENDING, ChannelState.AUTHORIZED, ChannelState.SUCCEEDED}
ABOUT_REFUNDS = re.compile("(?i)refund|given back")


def checkout_of(platform_api: PlatformApi) -> cashier.PaymentCheckout:
    return cashier.PaymentCheckout(
        platform_api.database,
        platform_api.lifecycle,
        merchants.Directory(platform_api.database),
        platform_api.clock,
        payer_text=payments.Documents("https://pay.example", platform_api.accounts.text).payer_text,
        checkout_url=payments.Documents("https://pay.example").checkout_url,
    )


async def test_a_payer_reads_the_code_maps_text_and_not_the_channels_message(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    await platform_api.control("next", interface="place", kind="error", status=403, code="NO_AUTH")
    order = platform_api.order(method=METHOD)
    payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    (attempt,) = payment["attempts"]
    assert (attempt["state"], attempt["channel_code"]) == ("failed", "NO_AUTH")
    checkout = checkout_of(platform_api)
    token = payment["checkout_url"].partition("?token=")[2]
    view = await checkout.view(decode("pay", payment["id"]), token, device=Device.DESKTOP)
    assert view.failure == attempt["text"]
    assert set(view.failure) == {"en", "zh"}
    for name, texts in LANGUAGES.items():
        assert page.state(view, texts)["failure"] == attempt["text"][name]


async def test_every_entry_of_every_map_is_shown_with_its_own_text(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    created = await platform_api.create(shop, method=METHOD)
    payment = await platform_api.lifecycle.find(decode("pay", created["id"]))
    assert payment is not None
    (attempt,) = payment.attempts
    attempt.state = payments.AttemptState.FAILED
    payment.status = payments.PaymentStatus.REQUIRES_PAYMENT
    documents = payments.Documents("https://pay.example", platform_api.accounts.text)
    checkout, seen = checkout_of(platform_api), 0
    for channel in ("wechat", "alipay", "unionpay", "stripe"):
        attempt.channel = channel
        meanings = load_codes(files("hutong.channels.codes") / "maps" / f"{channel}.csv")
        codes = Codes(meanings)
        for (interface, code, sub_code), meaning in meanings.items():
            attempt.code_entry = codes.read(interface, code, sub_code).entry
            expected: dict[str, str] | None = {"en": meaning.text_en, "zh": meaning.text_zh}
            if meaning.state in NOT_FAILED or "payment is being confirmed" in meaning.text_en:
                expected = None  # a payment that has failed is not called open or paid
            place = (channel, interface, code, sub_code)
            (document,) = documents.payment(payment)["attempts"]
            assert (place, document["text"]) == (place, expected)
            event = documents._event(PaymentEvent(payments.PaymentEventType.CLOSED, payment), attempt.attempt_id)
            assert (place, event.payload["attempts"][0]["text"]) == (place, expected)
            view = await checkout._view(payment, Device.DESKTOP)
            shown = {name: page.state(view, texts)["failure"] for name, texts in LANGUAGES.items()}
            assert (place, shown) == (place, expected or {"en": "", "zh": ""})
            seen += 1
    assert seen > 1_400


async def test_unpaid_declined_and_refunded_are_shown_as_such(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    made = await platform_api.create(shop)
    platform_api.clock.advance(timedelta(minutes=1))
    await platform_api.lifecycle.sweep()
    (attempt,) = (await platform_api.get(shop, made["id"]))["attempts"]
    assert (attempt["channel_code"], attempt["text"]["en"]) == ("NOTPAY", "Waiting for the payment.")
    await platform_api.control("decline", code_url=made["attempts"][0]["action"]["content"])
    platform_api.clock.advance(timedelta(minutes=5))
    await platform_api.lifecycle.sweep()
    (attempt,) = (await platform_api.get(shop, made["id"]))["attempts"]
    assert (attempt["channel_code"], attempt["text"]["en"]) == ("PAYERROR", "The payment has failed.")

    paid = await platform_api.create(shop)
    await platform_api.control("pay", code_url=paid["attempts"][0]["action"]["content"])
    await platform_api.until(shop, paid["id"], "succeeded")
    body = {"merchant_refund_no": f"{paid['merchant_order_no']}-R1"}
    refund = (await platform_api.call("POST", f"/v1/payments/{paid['id']}/refunds", shop=shop, json=body)).json
    assert (refund["channel_code"], refund["text"]["en"]) == ("PROCESSING", "The refund is being processed.")


@pytest.mark.parametrize("channel", ["wechat", "alipay", "unionpay", "stripe"])
def test_entries_about_refunds_speak_of_refunds(channel: str) -> None:
    meanings = load_codes(files("hutong.channels.codes") / "maps" / f"{channel}.csv")
    about = {key: meaning for key, meaning in meanings.items() if "refund" in key[0]}
    assert len(about) > 10
    unclear = {key: m.text_en for key, m in about.items() if not ABOUT_REFUNDS.search(m.text_en)}
    assert unclear == {}
    assert {key: m.text_zh for key, m in about.items() if "退" not in m.text_zh} == {}


@pytest.mark.parametrize("channel", ["wechat", "alipay", "unionpay", "stripe"])
def test_no_text_of_a_failure_says_that_the_payment_is_being_confirmed(channel: str) -> None:
    meanings = load_codes(files("hutong.channels.codes") / "maps" / f"{channel}.csv")
    failed = [meaning for meaning in meanings.values() if meaning.state is ChannelState.FAILED]
    assert len(failed) > 10
    assert [m for m in failed if "confirmed." in m.text_en or "正在确认" in m.text_zh] == []
