"""Stripe's currencies: their units, and the limits of an amount in these units.

Source:
    https://docs.stripe.com/currencies. Currencies below the line have no least amount of their own there.
"""

from __future__ import annotations

from collections.abc import Mapping

MINIMUMS: Mapping[str, int] = {
    "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cny": 400, "cop": 50, "czk": 1500, "dkk": 250, "eur": 50,
    "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50, "zar": 50,
    # Half a dollar, roughly.
    "bhd": 190, "clp": 475, "isk": 6500, "jod": 360, "kwd": 160, "omr": 200, "pen": 180, "qar": 190, "sar": 190,
    "tnd": 1450, "try": 2100, "twd": 1600, "ugx": 180_000, "vnd": 13_200, "xaf": 285, "xof": 285,
}  # fmt: skip
MAXIMUMS: Mapping[str, int] = {"cop": 9_999_999_999, "idr": 999_999_999_999, "inr": 999_999_999}
MAXIMUM = 99_999_999
STEPS: Mapping[str, int] = {"bhd": 10, "isk": 100, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10, "ugx": 100}
"""What an amount must be a multiple of."""
_UNITS: Mapping[str, int] = {"isk": 100, "ugx": 100}


def to_units(amount_minor: int, currency: str) -> int:
    """Return an amount as Stripe counts it."""
    return amount_minor * _UNITS.get(currency.lower(), 1)


def to_minor(units: int, currency: str) -> int:
    """Return an amount of Stripe's in minor units of ISO 4217."""
    return units // _UNITS.get(currency.lower(), 1)
