"""UnionPay's wire form: fields joined as `name=value&…`, times of Beijing without a zone, numbers without marks.

A signature covers the decoded values, joined in the order of their names, so two readings of one message must never be
possible: a name may stand once only, and what we send freely holds none of the characters that have a meaning.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (fields); the public clients of UnionPay, which
    show how an answer is taken apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes

BEIJING = timezone(timedelta(hours=8))
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_OURS = re.compile(r"([a-z]{3})_([0-9a-z]{5,29})")
_THEIRS = re.compile(r"([a-z]{3})([0-9a-z]{5,29})")
_FIELDS_MAX = 200
_CLOSING = {"{": "}", "[": "]"}
_FULL_WIDTH = str.maketrans("&={}[]\"'", "＆＝｛｝［］＂＇")


class Unreadable(Exception):
    """A message is not of UnionPay's form; the text is one word that says why."""


def to_their_number(number: str) -> str | None:
    """Our number as UnionPay takes it: letters and digits alone, at most 32 as in the bill; None if that is no number
    of ours."""
    found = _OURS.fullmatch(number)
    return "".join(found.groups()) if found else None


def to_our_number(number: str) -> str | None:
    """The reverse of `to_their_number`; None for a number that we cannot have made."""
    found = _THEIRS.fullmatch(number)
    return "_".join(found.groups()) if found else None


def to_time(instant: datetime) -> str:
    return instant.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def from_short_time(text: str | None, near: datetime) -> datetime | None:
    """Read MMDDhhmmss; UnionPay leaves the year out, so it is the one that brings the time nearest to `near`."""
    if text is None or not re.fullmatch("[0-9]{10}", text):
        return None
    year = near.astimezone(BEIJING).year
    found = []
    for candidate in (year - 1, year, year + 1):
        try:
            instant = datetime.strptime(f"{candidate}{text}", "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        except ValueError:
            continue  # no such day in this year
        found.append(instant.astimezone(UTC))
    return min(found, key=lambda instant: abs(instant - near), default=None)


def settle_date(instant: datetime, cut_hour: int) -> date:
    """The clearing day of an instant: it begins at the cut of the evening before."""
    return (instant.astimezone(BEIJING) + timedelta(hours=24 - cut_hour)).date()


def plain(text: str, length: int) -> str:
    """Free text without the characters that could be taken for the message's own, cut."""
    return "".join(character for character in text if character.isprintable()).translate(_FULL_WIDTH)[:length]


def sign_digest(fields: Mapping[str, str]) -> bytes:
    """What is signed: the hexadecimal SHA-256 of all fields but the signature, in the order of their names."""
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature")
    return hashlib.sha256(text.encode()).hexdigest().encode()


def read_answer(body: bytes) -> dict[str, str]:
    """Take an answer apart. Its values are not encoded; those in braces or brackets may hold `&` and `=`.

    Errors:
        Unreadable: "charset" where it is not UTF-8, "unreadable" otherwise.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Unreadable("charset") from None
    fields: dict[str, str] = {}
    at = 0
    while at <= len(text):
        end = _end_of_field(text, at)
        _put(fields, text[at:end])
        at = end + 1
    return fields


def _end_of_field(text: str, at: int) -> int:
    while True:
        border = text.find("&", at)
        opening = min((place for place in (text.find(mark, at) for mark in _CLOSING) if place >= 0), default=-1)
        if opening < 0 or 0 <= border < opening:
            return border if border >= 0 else len(text)
        closing = text.find(_CLOSING[text[opening]], opening)
        if closing < 0:
            raise Unreadable("unreadable")
        at = closing + 1


def read_form(body: bytes) -> dict[str, str]:
    """Take a notification apart: a form as browsers encode it, in UTF-8.

    Errors:
        Unreadable: not such a form, or a name stands twice.
    """
    fields: dict[str, str] = {}
    try:
        for part in body.decode("ascii").split("&"):
            _put(fields, _unescape(part))
    except UnicodeDecodeError:
        raise Unreadable("unreadable") from None
    return fields


def _unescape(part: str) -> str:
    name, equals, value = part.partition("=")
    if re.search("%(?![0-9A-Fa-f]{2})", value):
        raise Unreadable("unreadable")
    return name + equals + unquote_to_bytes(value.replace("+", " ")).decode()


def _put(fields: dict[str, str], part: str) -> None:
    name, equals, value = part.partition("=")
    if not equals or not _NAME.fullmatch(name) or name in fields or len(fields) == _FIELDS_MAX:
        raise Unreadable("unreadable")
    if "&" in value and not any(mark in value for mark in _CLOSING):
        raise Unreadable("unreadable")  # two fields written as one have the same signature
    fields[name] = value
