"""UnionPay's answers, read into the terms of all channels: fields joined as `name=value&…`, times without a year.

A signature covers the decoded values, joined in the order of their names, so two readings of one message must never be
possible: each name occurs once.

Source:
    The public clients of UnionPay, which show how an answer is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.model import ChannelAnswer, ChannelState, text
from hutong.clock import BEIJING

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_THEIR_NUMBER = re.compile(r"([a-z]{3})([0-9a-z]{5,29})")
_FIELDS_MAX = 200
_CLOSING = {"{": "}", "[": "]"}


def is_duplicate(refusal: ChannelAnswer) -> bool:
    """Return whether UnionPay refuses because the number was used before, which tells nothing else."""
    return refusal.code == "duplicate_number"


class UnionPayResponses:
    """A reader of messages that are proven to be UnionPay's."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def code(self, interface: str, code: str | None, message: str | None) -> ChannelAnswer:
        """Look up the code of an interface. The message ends in a finer code of seven digits."""
        code, message = text(code, 64), text(message, 256)
        if code is None:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code="unreadable", channel_message=message)
        finer = re.search(r"\[([0-9]{7})\]\Z", message or "")
        meaning = self._codes.read(interface, code, finer[1] if finer else "", message=message or "")
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            retryable=meaning.retryable,
        )

    def outcome(
        self, interface: str, fields: Mapping[str, str], code: str | None, message: str | None, near: datetime
    ) -> ChannelAnswer:
        """Read the state of a payment or a refund.

        Args:
            near: A time close to the transaction's, from which its year is derived.

        Errors:
            NoAnswer: a success without an amount or a number.
        """
        answer = self.code(interface, code, message)
        amount, number = fields.get("txnAmt", ""), text(fields.get("queryId"), 64)
        readable = re.fullmatch("[0-9]{1,12}", amount) is not None and fields.get("currencyCode", "156") == "156"
        amount_minor = int(amount) if readable and int(amount) > 0 else None
        if answer.state is ChannelState.SUCCEEDED and (amount_minor is None or number is None):
            raise NoAnswer("unreadable", "a success without an amount or without a number")
        return replace(
            answer,
            amount_minor=amount_minor,
            currency="CNY" if amount_minor is not None else None,
            channel_order_no=number,
            happened_at=from_short_time(fields.get("traceTime"), near),
        )


def to_our_number(number: str) -> str | None:
    """Reverse `to_their_number`; None for a number that we cannot have made."""
    match = _THEIR_NUMBER.fullmatch(number)
    return "_".join(match.groups()) if match else None


def from_short_time(value: str | None, near: datetime) -> datetime | None:
    """Convert MMDDhhmmss; UnionPay omits the year, so it is the one that brings the time nearest to `near`."""
    if value is None or not re.fullmatch("[0-9]{10}", value):
        return None
    year = near.astimezone(BEIJING).year
    candidates = []
    for candidate in (year - 1, year, year + 1):
        try:
            instant = datetime.strptime(f"{candidate}{value}", "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        except ValueError:
            continue  # no such day in this year
        candidates.append(instant.astimezone(UTC))
    return min(candidates, key=lambda instant: abs(instant - near), default=None)


def read_answer(body: bytes) -> dict[str, str]:
    """Parse an answer. Its values are not encoded; a value in braces or brackets may hold `&` and `=`.

    Errors:
        NotAuthentic: "charset" where it is not UTF-8, "unreadable" otherwise.
    """
    try:
        answer = body.decode()
    except UnicodeDecodeError:
        raise NotAuthentic("charset") from None
    fields: dict[str, str] = {}
    at = 0
    while at <= len(answer):
        end = _end_of_field(answer, at)
        put_field(fields, answer[at:end])
        at = end + 1
    return fields


def _end_of_field(answer: str, at: int) -> int:
    while True:
        border = answer.find("&", at)
        opening = min((place for place in (answer.find(mark, at) for mark in _CLOSING) if place >= 0), default=-1)
        if opening < 0 or 0 <= border < opening:
            return border if border >= 0 else len(answer)
        closing = answer.find(_CLOSING[answer[opening]], opening)
        if closing < 0:
            raise NotAuthentic("unreadable")
        at = closing + 1


def put_field(fields: dict[str, str], part: str) -> None:
    """Add `name=value` to the fields of a message.

    Errors:
        NotAuthentic: it has not this form, its name occurs already, or it could also be read as two fields.
    """
    name, equals, value = part.partition("=")
    if not equals or not _NAME.fullmatch(name) or name in fields or len(fields) == _FIELDS_MAX:
        raise NotAuthentic("unreadable")
    if "&" in value and not any(mark in value for mark in _CLOSING):
        raise NotAuthentic("unreadable")  # two fields written as one have the same signature
    fields[name] = value
