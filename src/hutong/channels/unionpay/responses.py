"""UnionPay's answers, read into the terms of all channels: fields joined as `name=value&…`, times without a year.

A signature covers the decoded values, joined in the order of their names, so two readings of one message must never be
possible: each name occurs once.

Source:
    The public clients of UnionPay, which show how an answer is parsed. Acquirers publish the rules of `couponInfo`:
    each part names its sponsor, a merchant by 15 digits; what UnionPay or the payer's bank bears is settled as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import orjson

from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.model import ChannelAnswer, ChannelState, text
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums, SumsContradict
from hutong.channels.unionpay.requests import COMPLETION, RELEASE
from hutong.clock import BEIJING

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_THEIR_NUMBER = re.compile(rf"(att|ref|{COMPLETION}|{RELEASE})([0-9a-z]{{5,29}})")
_FIELDS_MAX = 200
_UNIONPAY, _MERCHANT_LENGTH = "00010000", 15
"""The sponsor of a coupon: UnionPay itself, a bank by eight digits, or a merchant by its number."""
_CLOSING = {"{": "}", "[": "]"}
_MONEY = (ChannelState.SUCCEEDED, ChannelState.AUTHORIZED)


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
            NoAnswer: a success or an authorization without an amount or a number, or whose sums contradict each other.
        """
        answer = self.code(interface, code, message)
        number = text(fields.get("queryId"), 64)
        paid = _fen(fields.get("txnAmt")) if fields.get("currencyCode", "156") == "156" else None
        amount_minor, sums = paid or None, None
        if answer.state is ChannelState.SUCCEEDED:
            sums = None if paid is None else _sums(fields, paid)
            amount_minor = amount_minor if sums is None else sums.ordered_minor
        if answer.state in _MONEY and (not amount_minor or number is None):
            raise NoAnswer("unreadable", "a success without an amount or without a number")
        if interface == "refund_state" and amount_minor is not None and (sums is not None or "settleAmt" in fields):
            sums = sums or Sums(amount_minor, amount_minor, amount_minor)
            returned = ReturnedSums(sums.ordered_minor, sums.paid_minor, sums.settled_minor)
            answer, sums = replace(answer, returned=returned), None
        return replace(
            answer,
            sums=sums,
            amount_minor=amount_minor,
            currency="CNY" if amount_minor is not None else None,
            channel_order_no=number,
            happened_at=from_short_time(fields.get("traceTime"), near),
        )


def _fen(value: str | None) -> int | None:
    """Return a number of fen; None for anything else."""
    return int(value) if value is not None and re.fullmatch("[0-9]{1,12}", value) else None


def _sums(fields: Mapping[str, str], paid: int) -> Sums | None:
    """Return the sums of a transaction; None if all are equal. `txnAmt` is what the payer paid.

    Errors:
        NoAnswer: they contradict each other.
    """
    try:
        discounts = _discounts(fields.get("couponInfo", ""))
        ordered = _fen(fields.get("origTxnAmt")) or paid + sum(discount.amount_minor for discount in discounts)
        borne = sum(discount.amount_minor for discount in discounts if not discount.settles)
        in_yuan = fields.get("settleCurrencyCode", "156") == "156"
        stated = (_fen(fields.get("settleAmt")) or None) if in_yuan else None  # all zeros state nothing
        settled = ordered - borne if stated is None else stated
        if settled == paid == ordered:
            return None
        if not discounts:
            return Sums.unnamed(ordered, paid, settled)
        return Sums(ordered, paid, settled, discounts)
    except SumsContradict as error:
        raise NoAnswer("sums_contradict", str(error)) from None


def _discounts(coupons: str) -> tuple[ChannelDiscount, ...]:
    """Return each sponsor's part of the coupons. SumsContradict: they cannot be read."""
    if not coupons:
        return ()
    try:
        return tuple(_discount(coupon) for coupon in orjson.loads(coupons))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        raise SumsContradict("couponInfo cannot be read") from None


def _discount(coupon: Mapping[str, object]) -> ChannelDiscount:
    sponsor, amount_minor = str(coupon.get("spnsrId")), _fen(str(coupon.get("offstAmt")))
    if not amount_minor:
        raise SumsContradict("a coupon has no amount")
    if sponsor == _UNIONPAY:
        funder = DiscountFunder.CHANNEL
    else:
        funder = DiscountFunder.MERCHANT if len(sponsor) == _MERCHANT_LENGTH else DiscountFunder.PLATFORM
    name = text(coupon.get("desc"), 64) or ""
    return ChannelDiscount(name, funder, amount_minor, settles=funder is not DiscountFunder.MERCHANT)


def to_our_number(number: str) -> str | None:
    """Reverse `to_their_number`; None for a number that we cannot have made.

    The number of a completion or a release becomes that of its attempt.
    """
    match = _THEIR_NUMBER.fullmatch(number)
    if match is None:
        return None
    prefix, rest = match.groups()
    return f"{'att' if prefix in (COMPLETION, RELEASE) else prefix}_{rest}"


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
