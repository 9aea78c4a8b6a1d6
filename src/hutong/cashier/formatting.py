"""Merchants' texts, amounts and addresses in the form in which a page may show them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from hutong import money
from hutong.foreign_text import escape

_JOINERS = "\u200c\u200d"  # they join emoji and letters of several scripts and cannot reorder text


def display(text: str, *, limit: int) -> str:
    """Return a text without what could mislead the reader.

    Control characters and those that change the direction of text are shown as escapes, as everywhere. Every kind of
    white space becomes one space, and the text is cut at `limit` characters. HTML is left alone: escaping belongs to
    the template.
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
        elif (visible := escape(character)) != character:
            kept.append(visible)
    shown = " ".join("".join(kept).split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def monogram(name: str) -> str:
    """Return the first letter or digit of a name as a capital, or an empty string."""
    return next((character.upper()[:1] for character in name if character.isalnum()), "")


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount in the parts that the page sets in different sizes."""

    symbol: str
    whole: str
    fraction: str
    code: str

    def __str__(self) -> str:
        return (
            f"{self.symbol}{self.whole}{self.fraction}" if self.symbol else f"{self.code} {self.whole}{self.fraction}"
        )


def amount(amount_minor: int, code: str) -> Amount:
    """Format an amount as Chinese and English readers both do: commas between thousands, a decimal point."""
    symbol, whole, fraction = money.to_display(amount_minor, code)
    return Amount(symbol, whole, fraction, code)


def web_address(address: str | None) -> str | None:
    """Return the address if a link may send a browser there, otherwise None.

    Only http and https with a host pass. An address with a user name ("https://shop.example@evil.example"), or
    with characters that browsers and this parser read differently, does not.
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
