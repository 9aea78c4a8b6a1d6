"""Stripe: the currencies that are taken and the least amount in each, which Stripe sets for its settlement's sake.

Source:
    https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts.
"""

from __future__ import annotations

from collections.abc import Mapping

AMOUNT_MINOR_MAX = 99_999_999
"""Eight digits, whatever the currency."""

AMOUNT_MINOR_MIN: Mapping[str, int] = {
    "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CNY": 400, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30,
    "HKD": 400, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200,
    "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip
"""In minor units, which Stripe counts in as ISO 4217 does for all of these: JPY has none below the yen. For CNY Stripe
names no amount of its own; four yuan is what half a dollar comes to."""
