"""Ways to pay at the Stripe simulator: test tokens, wallets, and a payer's browser with Stripe's own form.

Source:
    https://docs.stripe.com/testing, https://docs.stripe.com/payments/alipay,
    https://docs.stripe.com/payments/wechat-pay.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from hutong.sandbox.stripe.validation import Form, StripeRefusal

DELAYED = "delayed"
AUTHENTICATE = "3ds"
TOKENS: Mapping[str, str | None] = {
    # Stripe's own test methods, with the answer of the card's bank to a charge.
    "pm_card_visa": None,
    "pm_card_mastercard": None,
    "pm_card_unionpay": None,
    "pm_card_threeDSecure2Required": AUTHENTICATE,
    "pm_card_authenticationRequired": AUTHENTICATE,
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "lost_card",
    "pm_card_visa_chargeDeclinedStolenCard": "stolen_card",
    "pm_card_chargeDeclinedFraudulent": "fraudulent",
    "pm_card_createDispute": None,
    "pm_card_createDisputeProductNotReceived": None,
    "pm_card_createDisputeInquiry": None,
    "pm_usBankAccount_success": DELAYED,
}
DISPUTED: Mapping[str, tuple[str, str | None]] = {
    # Payments that are disputed at once: the reason, and the form.
    "pm_card_createDispute": ("fraudulent", None),
    "pm_card_createDisputeProductNotReceived": ("product_not_received", None),
    "pm_card_createDisputeInquiry": ("fraudulent", "inquiry"),
}
CARD = ("card",)
WALLETS: Mapping[str, str] = {
    "alipay": "aud cad cny eur gbp hkd jpy myr nzd sgd usd",
    "wechat_pay": "aud cad chf cny dkk eur gbp hkd jpy nok sek sgd usd",
}
"""The wallets with the currencies that they take."""


def method_types(form: Form, currency: str) -> tuple[str, ...]:
    """Return the kinds of payment methods of a new intent; empty where Stripe's form in the browser selects them."""
    automatic = form.get("automatic_payment_methods", {})
    is_automatic = automatic.get("enabled") == "true"
    if is_automatic and "payment_method_types" in form:
        message = "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
        raise StripeRefusal(400, None, message)
    listed = form.get("payment_method_types", CARD)
    types = () if is_automatic else tuple(listed.values() if isinstance(listed, dict) else listed)
    for kind in types:
        if kind in WALLETS and currency not in WALLETS[kind].split():
            message = (
                f"The currency provided ({currency}) is invalid for one or more payment method types on this intent."
            )
            raise StripeRefusal(400, None, message, param="currency")
        if kind in WALLETS and form.get("capture_method") == "manual":
            message = f"The payment method type {kind} does not support manual capture."
            raise StripeRefusal(400, None, message, param="capture_method")
    return types


def method_of(form: Form, types: tuple[str, ...]) -> str | None:
    """Return the payment method of a request: a token, or the name of a wallet.

    Refuses what Stripe does not know, and what is none of the intent's kinds.
    """
    token = form.get("payment_method")
    if token is not None and token not in TOKENS:
        raise StripeRefusal(400, "resource_missing", f"No such PaymentMethod: '{token}'", param="payment_method")
    data = form.get("payment_method_data")
    if token is not None or data is None:
        return token
    kind = data["type"]
    if kind not in WALLETS or (types and kind not in types):
        message = f"The PaymentMethod provided ({kind}) is not allowed for this PaymentIntent."
        raise StripeRefusal(400, None, message, param="payment_method_data[type]")
    return str(kind)


def check_wallet(kind: str, options: Any, return_url: object) -> None:
    """Refuse to confirm a wallet without what it needs: an address to return to, or how a code is shown."""
    if kind == "alipay" and not return_url:
        raise StripeRefusal(400, "parameter_missing", "Missing required param: return_url.", param="return_url")
    client = options.get("wechat_pay", {}).get("client") if isinstance(options, dict) else None
    if kind == "wechat_pay" and client not in ("web", "ios", "android"):
        param = "payment_method_options[wechat_pay][client]"
        raise StripeRefusal(400, "parameter_missing", f"Missing required param: {param}.", param=param)


def check_client_secret(form: Form, secret: str, *, is_public: bool) -> None:
    """Refuse a caller with the publishable key who does not know the intent's client secret."""
    if is_public and not hmac.compare_digest(str(form.get("client_secret", "")), secret):
        raise StripeRefusal(400, None, "The client_secret provided does not match the intent's.", param="client_secret")
