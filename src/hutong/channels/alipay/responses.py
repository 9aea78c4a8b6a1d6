"""Alipay's words in ours: yuan and fen, Beijing time, and what a refusal or a trade amounts to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hutong.channels.alipay.client import BEIJING, NoWord
from hutong.channels.codes.codes import Codes, Meaning
from hutong.channels.model import ChannelAnswer, ChannelState, text
from hutong.errors import InvalidParameter
from hutong.money import from_major

CURRENCY = "CNY"
_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,12})(?:\.[0-9]{1,2})?")


def fen(value: object) -> int | None:
    """An amount in yuan as Alipay writes it, in fen; None for anything else: a third decimal, an exponent, a sign."""
    if not isinstance(value, str) or not _YUAN.fullmatch(value):
        return None
    return from_major(value, CURRENCY)


def instant(value: object) -> datetime | None:
    """A time as Alipay writes it, which is Beijing's."""
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", value):
        return None
    try:
        return datetime.fromisoformat(value).replace(tzinfo=BEIJING).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def explain(meaning: Meaning, code: str | None, message: str | None = None) -> ChannelAnswer:
    """An answer that says what one of Alipay's words means."""
    return ChannelAnswer(
        meaning.state,
        channel_code=text(code, 64),
        channel_message=text(message, 256),
        code=meaning.unified_code,
        retryable=meaning.retryable,
    )


def refusal(codes: Codes, interface: str, node: Mapping[str, Any]) -> ChannelAnswer:
    """What a proven answer means that is not the success which was hoped for."""
    code, sub_code = text(node.get("code"), 64) or "", text(node.get("sub_code"), 64) or ""
    message = text(node.get("sub_msg"), 256) or text(node.get("msg"), 256)
    return explain(codes.read(interface, code, sub_code, message=message or ""), sub_code or code, message)


def trade(codes: Codes, said: Mapping[str, Any], attempt_no: str, *, paid_at: object) -> ChannelAnswer:
    """What a proven trade says; `NoWord` if it is not about this order, or a success that is not whole.

    Args:
        said: A query's node, or a notification.
        paid_at: When it says that the trade was paid: a trade that was paid is CLOSED once it is refunded whole.
    """
    if said.get("out_trade_no") != attempt_no:
        raise NoWord("not_ours", "the answer is about another order")
    if said.get("trans_currency", CURRENCY) != CURRENCY:
        raise NoWord("unreadable", "the answer is in another currency")
    word = text(said.get("trade_status"), 64) or ""
    paid = paid_at not in (None, "")
    amount_minor, channel_order_no = fen(said.get("total_amount")), text(said.get("trade_no"), 64)
    answer = explain(codes.read("trade_status", word, "paid" if paid else ""), word)
    if answer.state is ChannelState.SUCCEEDED and (amount_minor in (None, 0) or channel_order_no is None):
        raise NoWord("unreadable", "a success without an amount or without a number")
    return replace(
        answer,
        amount_minor=amount_minor,
        currency=None if amount_minor is None else CURRENCY,
        channel_order_no=channel_order_no,
        happened_at=instant(paid_at),
    )


def check_currency(currency: str) -> None:
    if currency != CURRENCY:
        raise InvalidParameter("Alipay takes CNY only", param="currency")
