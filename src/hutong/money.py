"""Money is an integer of minor units beside an ISO 4217 code; nothing here uses a float.

The table of currencies (exponent, numeric code) is the one the package `iso4217` takes from the standard's own list.
"""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cache

import iso4217

from hutong.errors import InvalidParameter

AMOUNT_MINOR_MAX = 2**63 - 1
"""The largest amount that the database column `bigint` holds."""

PPM = 1_000_000
"""Fee rates are whole parts per million: 6,000 ppm is 0.6 %."""


_EXACT = decimal.Context(prec=60)
"""Wide enough for any amount at any rate, whatever context the calling code has set."""


_SYMBOLS = {
    "AUD": "A$", "BRL": "R$", "CAD": "C$", "CNY": "¥", "EUR": "€", "GBP": "£", "HKD": "HK$", "INR": "₹", "JPY": "¥",
    "KRW": "₩", "MOP": "MOP$", "NZD": "NZ$", "SGD": "S$", "THB": "฿", "TWD": "NT$", "USD": "$", "VND": "₫",
}  # fmt: skip
"""Each amount that a page shows also shows its code, so that a yuan is never mistaken for a yen."""


class Rounding(Enum):
    """The rules by which an exact amount becomes a whole number of minor units."""

    HALF_UP = decimal.ROUND_HALF_UP
    HALF_EVEN = decimal.ROUND_HALF_EVEN
    DOWN = decimal.ROUND_DOWN
    UP = decimal.ROUND_UP


@dataclass(frozen=True, slots=True)
class Currency:
    """One currency of ISO 4217.

    Attributes:
        code: Three capital letters.
        numeric: The numeric code; also the number of the ledger that keeps this currency.
        exponent: How many decimals the major unit has (CNY 2, JPY 0, KWD 3).
    """

    code: str
    numeric: int
    exponent: int


@cache
def _table() -> dict[str, Currency]:
    return {
        c.code: Currency(c.code, c.number, c.exponent)
        for c in iso4217.Currency
        if c.number is not None and c.exponent is not None
    }


def currency(code: str) -> Currency:
    """Look up a currency by its three-letter code.

    Errors:
        InvalidParameter: unknown, lower case, or without minor units (gold, test codes); `param` is "currency".
    """
    entry = _table().get(code)
    if entry is None:
        raise InvalidParameter("currency is not an ISO 4217 code with minor units", param="currency")
    return entry


def codes() -> list[str]:
    """Return the codes of all currencies with minor units, sorted."""
    return sorted(_table())


@cache
def currency_of_ledger(numeric: int) -> Currency:
    """Return the currency of the ledger with this number."""
    for entry in _table().values():
        if entry.numeric == numeric:
            return entry
    raise InvalidParameter("no currency has this numeric code", param="ledger")


def allocate(amount_minor: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount in proportion to weights without losing a unit (largest remainder).

    Every share gets the floor of its exact part; what is left goes one unit each to the largest remainders, the
    heavier weight first where remainders are equal, then the earlier one.

    Args:
        amount_minor: The amount to divide; not negative.
        weights: Not negative, with a positive sum.

    Returns:
        One share per weight, in order; their sum is `amount_minor`.
    """
    total = sum(weights)
    if amount_minor < 0 or total <= 0 or any(weight < 0 for weight in weights):
        raise ValueError("allocate needs an amount and weights that are not negative, and a positive sum of weights")
    shares = [amount_minor * weight // total for weight in weights]
    order = sorted(
        range(len(weights)),
        key=lambda i: (-(amount_minor * weights[i] % total), -weights[i], i),
    )
    for i in order[: amount_minor - sum(shares)]:
        shares[i] += 1
    return shares


def fee_minor(amount_minor: int, rate_ppm: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """Return the fee on an amount at a rate in parts per million, rounded once by the given rule."""
    exact = Decimal(amount_minor * rate_ppm).scaleb(-6, context=_EXACT)
    return int(exact.quantize(Decimal(1), rounding=rounding.value, context=_EXACT))


def to_major(amount_minor: int, code: str) -> str:
    """Format an amount in major units, with exactly the currency's decimals: 1999 CNY is "19.99"."""
    exponent = currency(code).exponent
    digits = str(abs(amount_minor)).rjust(exponent + 1, "0")
    whole, fraction = digits[: len(digits) - exponent], digits[len(digits) - exponent :]
    return f"{'-' if amount_minor < 0 else ''}{whole}{'.' if exponent else ''}{fraction}"


def to_display(amount_minor: int, code: str) -> tuple[str, str, str]:
    """Return an amount's symbol, which may be empty, its whole part with commas, and its point and decimals.

    Chinese and English readers both write amounts so.
    """
    whole, point, fraction = to_major(amount_minor, code).partition(".")
    return _SYMBOLS.get(code, ""), f"{int(whole):,}", point + fraction


def from_major(text: str, code: str) -> int:
    """Read an amount in major units exactly, as channels and bills write it.

    Errors:
        InvalidParameter: anything but ASCII digits with an optional sign and at most the currency's decimals, or more
            than AMOUNT_MINOR_MAX.
    """
    digits = text.removeprefix("-")
    whole, point, fraction = digits.partition(".")
    exponent = currency(code).exponent
    valid = whole.isascii() and whole.isdigit() and (not point or (fraction.isascii() and fraction.isdigit()))
    if not valid or len(fraction) > exponent or len(whole) > 19:
        raise InvalidParameter("the text is not an amount in this currency's major units", param="amount")
    minor = int(whole + fraction.ljust(exponent, "0"))
    if minor > AMOUNT_MINOR_MAX:
        raise InvalidParameter("the amount is too large", param="amount")
    return -minor if text.startswith("-") else minor
