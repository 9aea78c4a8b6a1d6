"""Turning what merchants wrote, amounts and addresses into what may be shown."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from hutong import money

_JOINERS = "\u200c\u200d"  # they hold emoji and several scripts together and cannot reorder anything
_SYMBOLS = {
    "AUD": "A$", "BRL": "R$", "CAD": "C$", "CNY": "¥", "EUR": "€", "GBP": "£", "HKD": "HK$", "INR": "₹", "JPY": "¥",
    "KRW": "₩", "MOP": "MOP$", "NZD": "NZ$", "SGD": "S$", "THB": "฿", "TWD": "NT$", "USD": "$", "VND": "₫",
}  # fmt: skip
"""Each amount also carries its code, so that a yuan is never taken for a yen."""


def display(text: str, *, limit: int) -> str:
    """The same text without what could mislead the reader.

    Controls and invisible characters, those that change the direction of text among them, are removed; every kind
    of white space becomes one space; what is longer than `limit` characters is cut. HTML is not touched: escaping
    belongs to the template.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category in {"Zs", "Zl", "Zp"} or character in "\t\n\r":
            kept.append(" ")
        elif category == "Cs":
            kept.append("\ufffd")
        elif category not in {"Cc", "Cf"} or character in _JOINERS:
            kept.append(character)
    shown = " ".join("".join(kept).split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def monogram(name: str) -> str:
    """The first letter or digit of a name in capitals, or an empty string."""
    return next((character.upper()[:1] for character in name if character.isalnum()), "")


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount cut into the parts that are set in different sizes."""

    symbol: str
    whole: str
    fraction: str
    code: str

    def __str__(self) -> str:
        return (
            f"{self.symbol}{self.whole}{self.fraction}" if self.symbol else f"{self.code} {self.whole}{self.fraction}"
        )


def amount(amount_minor: int, code: str) -> Amount:
    """Write an amount as Chinese and English readers both do: thousands by commas, decimals after a point."""
    whole, point, fraction = money.to_major(amount_minor, code).partition(".")
    return Amount(_SYMBOLS.get(code, ""), f"{int(whole):,}", point + fraction, code)


def web_address(address: str | None) -> str | None:
    """The address if a browser may be sent there by a link, otherwise None.

    Only http and https with a host pass. An address that names a user ("https://shop.example@evil.example") or
    holds characters that browsers and this parser read differently does not.
    """
    if address is None or not address.isascii() or any(c in address for c in "\\ \t\r\n") or not address.isprintable():
        return None
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    allowed = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return address if allowed else None
