"""The text for a payer whose attempt failed: our own, in the payer's language, never the channel's message."""

from __future__ import annotations

from hutong import cashier, merchants
from hutong.cashier import page
from hutong.cashier.translations import LANGUAGES
from hutong.ids import decode
from support.running_platform import METHOD, PlatformApi, Shop


async def test_a_payer_reads_the_code_maps_text_and_not_the_channels_message(
    platform_api: PlatformApi, shop: Shop, faultless: None
) -> None:
    await platform_api.control("next", interface="place", kind="error", status=403, code="NO_AUTH")
    order = platform_api.order(method=METHOD)
    payment = (await platform_api.call("POST", "/v1/payments", shop=shop, json=order)).json
    (attempt,) = payment["attempts"]
    assert (attempt["state"], attempt["channel_code"]) == ("failed", "NO_AUTH")
    checkout = cashier.PaymentCheckout(
        platform_api.database,
        platform_api.lifecycle,
        merchants.Directory(platform_api.database),
        platform_api.clock,
        texts=platform_api.accounts.text,
    )
    token = payment["checkout_url"].partition("?token=")[2]
    view = await checkout.view(decode("pay", payment["id"]), token)
    assert view.failure == attempt["text"]
    assert set(view.failure) == {"en", "zh"}
    for name, texts in LANGUAGES.items():
        assert page.state(view, texts)["failure"] == attempt["text"][name]
