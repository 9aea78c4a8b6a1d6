"""The largest amounts that one person may book or reverse alone, by currency."""

from __future__ import annotations

from collections.abc import Mapping

from hutong import money
from hutong.errors import ConfigurationError, InvalidParameter


def read_limits(text: str) -> dict[str, int]:
    """Read limits such as `CNY=100000,USD=15000`, in minor units.

    Errors:
        ConfigurationError: there is no such currency, or one is given twice.
    """
    limits: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        code, _, amount = part.partition("=")
        try:
            money.currency(code)
        except InvalidParameter as error:
            raise ConfigurationError(f"{code} is not a currency", param="HUTONG_SINGLE_PERSON_LIMITS") from error
        if code in limits:
            raise ConfigurationError(f"{code} has two limits", param="HUTONG_SINGLE_PERSON_LIMITS")
        limits[code] = int(amount)
    return limits


def needs_two(limits: Mapping[str, int], currency: str, amount_minor: int) -> bool:
    """Return whether an amount takes two persons. In a currency without a limit every amount does."""
    return amount_minor > limits.get(currency, 0)
