"""Requests to Stripe: the fields of payments and refunds, their limits, and the checks before they are sent.

Source:
    https://docs.stripe.com/currencies (minor units, special cases, least and largest amounts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from hutong.channels.capability import Capabilities, PaymentMethod
from hutong.channels.device import Device
from hutong.channels.model import ActionKind, OrderReference, PayRequest, RefundRequest
from hutong.errors import InvalidParameter

CARD = "card"
PAGE = "card_page"
ELEMENT = "stripe_element"
ALIPAY = "stripe_alipay"
WECHAT = "stripe_wechat"

METHODS: Mapping[str, PaymentMethod] = {
    PAGE: PaymentMethod(ActionKind.REDIRECT, manual_capture=True, wallet="card"),
    CARD: PaymentMethod(
        ActionKind.REDIRECT,
        requires=frozenset({"token"}),
        manual_capture=True,
        wallet="card",
        devices=frozenset(),  # the merchant's page has the token
    ),
    ELEMENT: PaymentMethod(ActionKind.SDK, manual_capture=True, wallet="card"),
    ALIPAY: PaymentMethod(
        ActionKind.REDIRECT,
        wallet="alipay",
        devices=frozenset({Device.DESKTOP, Device.PHONE, Device.ALIPAY}),
        currencies=frozenset({"AUD", "CAD", "CNY", "EUR", "GBP", "HKD", "JPY", "MYR", "NZD", "SGD", "USD"}),
    ),
    WECHAT: PaymentMethod(
        ActionKind.QR_CODE,
        wallet="wechat",
        currencies=frozenset(
            {"AUD", "CAD", "CHF", "CNY", "DKK", "EUR", "GBP", "HKD", "JPY", "NOK", "SEK", "SGD", "USD"}
        ),
    ),
}
"""A token that the merchant's application got from Stripe, Stripe's own page, Stripe's form in the merchant's page with
the wallets and methods that the account has enabled, and two wallets by themselves.

Source:
    https://docs.stripe.com/payments/alipay, https://docs.stripe.com/payments/wechat-pay (currencies, no manual
    capture), https://docs.stripe.com/payments/payment-element.
"""

ONCE = frozenset({CARD, ALIPAY, WECHAT})
"""Methods that we confirm ourselves: after a failure nobody can pay the intent but us."""

REFUND_WINDOW = timedelta(days=180)
REFUND_WINDOWS: Mapping[str, timedelta] = {ALIPAY: timedelta(days=90)}
"""How long Alipay's payments can be refunded; WeChat Pay's for 180 days, as all others by our own choice."""

_WALLETS: Mapping[str, Mapping[str, str]] = {
    ALIPAY: {"payment_method_types[]": "alipay", "payment_method_data[type]": "alipay"},
    WECHAT: {
        "payment_method_types[]": "wechat_pay",
        "payment_method_data[type]": "wechat_pay",
        "payment_method_options[wechat_pay][client]": "web",
    },
}

AMOUNT_MINOR_MAX = 99_999_999
"""Eight digits, whatever the currency."""

AMOUNT_MINOR_MAX_OF: Mapping[str, int] = {
    "COP": 9_999_999_999, "IDR": 999_999_999_999, "INR": 999_999_999, "ISK": 999_999, "UGX": 999_999,
}  # fmt: skip
"""More digits for some currencies; of two there are fewer, since Stripe counts them in hundredths, see UNITS."""

AMOUNT_MINOR_MIN: Mapping[str, int] = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CNY": 400, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30,
    "HKD": 400, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200,
    "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
    "COP": 50, "HUF": 17_500, "IDR": 50, "ILS": 50, "KRW": 50, "PHP": 50, "ZAR": 50,
    "BHD": 200, "CLP": 500, "ISK": 70, "JOD": 400, "KWD": 200, "OMR": 200, "PEN": 200, "QAR": 200, "SAR": 200,
    "TND": 1_600, "TRY": 2_500, "TWD": 1_600, "UGX": 2_000, "VND": 13_500, "XAF": 300, "XOF": 300,
}  # fmt: skip
"""The least amount by currency, in minor units of ISO 4217.

For CNY and those of the last two lines Stripe names no amount of its own: each is about half a dollar. Stripe also
demands the least amount of the currency that it settles in, which it alone can tell.
"""

UNITS: Mapping[str, int] = {"ISK": 100, "UGX": 100}
"""How many of Stripe's units a minor unit is: both currencies have none below the króna and the shilling, but Stripe
counts them in hundredths. All others it counts as ISO 4217 does, as far as they are offered here."""

STEPS: Mapping[str, int] = {"BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
"""Currencies of three decimals, of which the last must be 0."""

NUMBER = re.compile(r"[0-9A-Za-z_-]{6,64}")
EXPAND = {"expand[]": "latest_charge"}
EXPAND_SESSION = {"expand[]": "payment_intent.latest_charge"}

_SUBJECT_LENGTH_MAX = 250
_METADATA_LENGTH_MAX = 500
_TOKEN = re.compile(r"pm_[0-9A-Za-z_]{1,252}")


def check_number(number: str, param: str) -> None:
    """Check that a number may stand in Stripe's search and in its keys.

    Errors:
        InvalidParameter: it may not.
    """
    if not NUMBER.fullmatch(number):
        raise InvalidParameter("Stripe does not take this number", param=param)


def check_order(request: PayRequest, capabilities: Capabilities) -> None:
    """Check that Stripe could take an order.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    if request.method not in capabilities.methods:
        raise InvalidParameter("Stripe does not offer this method", param="method")
    if request.currency not in (capabilities.methods[request.method].currencies or capabilities.currencies):
        raise InvalidParameter("Stripe does not take this currency", param="currency")
    if not capabilities.takes(request.amount_minor, request.currency):
        raise InvalidParameter("Stripe does not take this amount", param="amount_minor")
    check_step(request.amount_minor, request.currency)
    check_number(request.attempt_no, "attempt_no")
    if request.method == CARD and not _TOKEN.fullmatch(request.payer.get("token", "")):
        raise InvalidParameter("`token` must be one of Stripe's payment methods (pm_…)", param="token")
    if request.method in (PAGE, ALIPAY) and not request.return_url:
        raise InvalidParameter("this method's page needs an address to return to", param="return_url")


def check_step(amount_minor: int, currency: str) -> None:
    """Check that Stripe takes an amount of this currency, as far as its last digit goes.

    Errors:
        InvalidParameter: it does not.
    """
    if amount_minor % STEPS.get(currency, 1):
        raise InvalidParameter(
            f"Stripe takes {currency} in steps of {STEPS[currency]} minor units", param="amount_minor"
        )


def to_units(amount_minor: int, currency: str) -> str:
    """Return an amount as Stripe counts it."""
    return str(amount_minor * UNITS.get(currency, 1))


def charge_fields(request: PayRequest) -> dict[str, str]:
    """Return the fields of a PaymentIntent."""
    fields = {
        "amount": to_units(request.amount_minor, request.currency),
        "currency": request.currency.lower(),
        "capture_method": "automatic" if request.capture else "manual",
        **_metadata("metadata", request),
    }
    if request.method == ELEMENT:
        fields["automatic_payment_methods[enabled]"] = "true"
    elif request.method == CARD:
        fields |= {"payment_method": request.payer["token"], "payment_method_types[]": "card"}
    else:
        fields |= _WALLETS[request.method]
    if request.subject:
        fields["description"] = request.subject[:_SUBJECT_LENGTH_MAX]
    return fields


def page_fields(request: PayRequest) -> dict[str, str]:
    """Return the fields of a Checkout Session."""
    return_url = str(request.return_url)
    subject = request.subject[:_SUBJECT_LENGTH_MAX] or request.attempt_no
    return {
        "mode": "payment",
        "payment_method_types[]": "card",
        "client_reference_id": request.attempt_no,
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": request.currency.lower(),
        "line_items[0][price_data][unit_amount]": to_units(request.amount_minor, request.currency),
        "line_items[0][price_data][product_data][name]": subject,
        "payment_intent_data[capture_method]": "automatic" if request.capture else "manual",
        "payment_intent_data[description]": subject,
        "success_url": return_url,
        "cancel_url": return_url,
        **_metadata("metadata", request),
        **_metadata("payment_intent_data[metadata]", request),
    }


def _metadata(name: str, request: PayRequest) -> dict[str, str]:
    """Return the metadata by which an order is found, and which tells the sandbox where to send notifications."""
    return {
        f"{name}[attempt_no]": request.attempt_no,
        f"{name}[notify_url]": request.notify_url[:_METADATA_LENGTH_MAX],
    }


def close_key(order: OrderReference, now: datetime) -> str:
    """Return the Idempotency-Key of a close.

    Stripe keeps a refusal for a day too, and a later close must not be answered with it, so the minute is in the key.
    Closing twice does no more than closing once.
    """
    return f"{order.attempt_no}-end-{now:%Y%m%d%H%M}"


def check_capture(order: OrderReference, amount_minor: int) -> None:
    """Check that Stripe could capture this amount.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    check_number(order.attempt_no, "attempt_no")
    if not 0 < amount_minor <= order.amount_minor:
        raise InvalidParameter("a capture is at most the authorized amount", param="amount_minor")
    check_step(amount_minor, order.currency)


def refund_fields(refund: RefundRequest, intent_id: str) -> dict[str, str]:
    """Return the fields of a refund."""
    fields = {
        "payment_intent": intent_id,
        "amount": to_units(refund.amount_minor, refund.order.currency),
        "metadata[refund_no]": refund.refund_no,
        "metadata[attempt_no]": refund.order.attempt_no,
        "metadata[notify_url]": refund.notify_url[:_METADATA_LENGTH_MAX],
    }
    if refund.reason:
        fields["metadata[reason]"] = refund.reason[:_METADATA_LENGTH_MAX]
    return fields
