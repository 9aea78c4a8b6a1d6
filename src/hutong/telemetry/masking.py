"""The masking of secrets in logs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

_MASK = "[masked]"
_DEPTH_MAX = 8

_NAME = (
    r"authorization|cookie|api[_-]?(?:v3[_-]?)?key|secret|passw(?:or)?d|(?<![a-z])(?:pwd|cvv2?|cvc2?|pan)(?![a-z])"
    r"|token(?!iz)|private|signature|credential|ciphertext"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\bsk_[A-Za-z0-9_-]{8,}|\bwh(?:sec|sk)_[A-Za-z0-9+/=]{8,}"
    r"|-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)"
    r"|(?<=\bBearer )\S+"
    r"|(?<=://)[^\s/@]*:[^\s/]*(?=@)",
    re.DOTALL,
)
_NAMED_VALUE = re.compile(
    rf"(?P<name>(?:{_NAME})[\w-]*[\"']?\s*[=:]\s*)(?P<quote>[\"']?)(?!\[masked\])(?P<value>[^\s\"',;&{{}}]+)",
    re.IGNORECASE,
)
_CARD_NUMBER = re.compile(
    r"(?<![0-9A-Za-z])[0-9]{13,19}(?![0-9A-Za-z])"
    r"|(?<![\w-])[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}(?![\w-])"
    r"|(?<![\w-])[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}(?![\w-])"
)
_CARD_BRAND = re.compile(r"2[2-7]|3[0-9]|4|5|6|81")
_IDENTITY_NUMBER = re.compile(r"(?<![0-9A-Za-z])[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx](?![0-9A-Za-z])")
_IDENTITY_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def mask(text: str) -> str:
    """Return the text without secrets.

    Masked are API keys, webhook secrets, private keys, passwords in URLs, `name=value` pairs with the name of a secret,
    card numbers (with the right length, brand and check digit) and Chinese identity numbers (with the right check
    character).
    """
    text = _SECRET_VALUE.sub(_MASK, text)
    text = _NAMED_VALUE.sub(lambda match: f"{match['name']}{match['quote']}{_MASK}", text)
    text = _IDENTITY_NUMBER.sub(lambda match: _MASK if _is_identity(match[0]) else match[0], text)
    return _CARD_NUMBER.sub(lambda match: _MASK if _is_card(match[0]) else match[0], text)


def _is_card(text: str) -> bool:
    """Return whether the check digit (Luhn) and the first digits are those of a card."""
    digits = [int(digit) for digit in text if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    fits = (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
    return fits and 13 <= len(digits) <= 19 and _CARD_BRAND.match(text) is not None


def _is_identity(text: str) -> bool:
    """Return whether the check character is that of a citizen's number (GB 11643, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(text[:17], _IDENTITY_WEIGHTS, strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


def _masked(value: Any, depth: int = 0) -> Any:
    """Return the value without secrets at any depth. A value that is not plain data becomes masked text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if mask(text := str(value)) == text else _MASK
    if isinstance(value, str):
        return mask(value)
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        return {name: masked_under(str(name), inner, depth + 1) for name, inner in value.items()}
    if depth < _DEPTH_MAX and isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, depth + 1) for inner in value]
    return mask(str(value) if isinstance(value, UUID | date) else repr(value))


def masked_under(name: str, value: Any, depth: int = 0) -> Any:
    """Return the value without secrets. Under the name of a secret the whole value is masked."""
    return _MASK if _SECRET_NAME.search(name) else _masked(value, depth)
