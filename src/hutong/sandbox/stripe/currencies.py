"""Units of Stripe's currencies; the limits of amounts are in `rules.toml`.

Source:
    https://docs.stripe.com/currencies#special-cases.
"""

from __future__ import annotations

from collections.abc import Mapping

_UNITS: Mapping[str, int] = {"isk": 100, "ugx": 100}


def to_units(amount_minor: int, currency: str) -> int:
    """Return an amount as Stripe counts it."""
    return amount_minor * _UNITS.get(currency.lower(), 1)


def to_minor(units: int, currency: str) -> int:
    """Return an amount of Stripe's in minor units of ISO 4217."""
    return units // _UNITS.get(currency.lower(), 1)
