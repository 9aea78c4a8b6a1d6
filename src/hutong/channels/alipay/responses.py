"""Alipay's answers about trades, refunds and transfers, read into the terms of all channels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hutong.channels.alipay.client import SUCCESS
from hutong.channels.alipay.requests import CURRENCY
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, ChannelState, PayoutRequest, RefundRequest, text
from hutong.clock import BEIJING
from hutong.money import from_major

_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,12})(?:\.[0-9]{1,2})?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_ENDED = frozenset({"already_paid", "order_closed"})


def succeeded(node: Mapping[str, Any]) -> bool:
    """Return whether Alipay has done what the request asked for; the answer then has no sub-code."""
    return node.get("code") == SUCCESS and "sub_code" not in node


def has_ended(refusal: ChannelAnswer) -> bool:
    """Return whether Alipay refuses because the order has ended, without telling how."""
    return refusal.code in _ENDED and refusal.state is not ChannelState.FAILED


def check_same_order(node: Mapping[str, Any], attempt_no: str) -> None:
    """Check that an answer is about this order.

    Errors:
        NoAnswer: it is not.
    """
    if node.get("out_trade_no") != attempt_no:
        raise NoAnswer("not_ours", "the answer is about another order")


class AlipayResponses:
    """A reader of messages that are proven to be Alipay's.

    Errors:
        NoAnswer: the message is not about this number or this amount, or a success is not complete.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def refusal(self, interface: str, node: Mapping[str, Any]) -> ChannelAnswer:
        """Look up the code of an answer that is not the requested success."""
        code, sub_code = text(node.get("code"), 64) or "", text(node.get("sub_code"), 64) or ""
        message = text(node.get("sub_msg"), 256) or text(node.get("msg"), 256)
        return self._answer(interface, code, sub_code, shown=sub_code or code, message=message)

    def status(self, interface: str, status: str, *, shown: str | None = None) -> ChannelAnswer:
        """Look up a status, or the value of another field that serves as one.

        Args:
            shown: The text to keep as the channel's code, if it is not the status itself.
        """
        return self._answer(interface, status, shown=shown or status)

    def trade(self, fields: Mapping[str, Any], attempt_no: str, *, paid_at: object) -> ChannelAnswer:
        """Read a trade.

        Args:
            fields: A query's node, or a notification.
            paid_at: When the trade was paid, by its own account: a paid trade is CLOSED once it is refunded whole.
        """
        check_same_order(fields, attempt_no)
        if fields.get("trans_currency", CURRENCY) != CURRENCY:
            raise NoAnswer("unreadable", "the answer is in another currency")
        status = text(fields.get("trade_status"), 64) or ""
        paid = paid_at not in (None, "")
        amount_minor, channel_order_no = to_minor(fields.get("total_amount")), text(fields.get("trade_no"), 64)
        answer = self._answer("trade_status", status, "paid" if paid else "", shown=status)
        if answer.state is ChannelState.SUCCEEDED and (amount_minor in (None, 0) or channel_order_no is None):
            raise NoAnswer("unreadable", "a success without an amount or without a number")
        return replace(
            answer,
            amount_minor=amount_minor,
            currency=None if amount_minor is None else CURRENCY,
            channel_order_no=channel_order_no,
            happened_at=to_instant(paid_at),
        )

    def cancellation(self, node: Mapping[str, Any]) -> ChannelAnswer:
        """Read how Alipay has cancelled an order."""
        action = "retry" if node.get("retry_flag") == "Y" else text(node.get("action"), 64) or "none"
        answer = self.status("cancel_action", action, shown=f"action={action}")
        return replace(answer, channel_order_no=text(node.get("trade_no"), 64))

    def refund(self, node: Mapping[str, Any], refund: RefundRequest, number: str) -> ChannelAnswer:
        """Read a refund's query.

        Args:
            number: The number that was asked for: the refund's, or that of a cancelled order.
        """
        status = text(node.get("refund_status"), 64)
        if status is None:
            # Alipay omits a refund that it has not accepted, and one that has failed; it does not tell them apart.
            return self.status("refund_status", "none", shown="refund_status=none")
        check_same_order(node, refund.order.attempt_no)
        if node.get("out_request_no") != number:
            raise NoAnswer("not_ours", "the answer is about another refund")
        amount_minor = to_minor(node.get("refund_amount"))
        answer = self.refunded(self.status("refund_status", status), node, refund)
        if amount_minor == refund.amount_minor:
            return answer
        if answer.state is not ChannelState.SUCCEEDED or not amount_minor:
            raise NoAnswer("not_ours", "the answer is about another amount")
        return replace(answer, amount_minor=amount_minor)  # money has moved, and persons decide what it was

    def refunded(self, answer: ChannelAnswer, node: Mapping[str, Any], refund: RefundRequest) -> ChannelAnswer:
        """Return an answer with the amount, the number and the time of a refund."""
        return replace(
            answer,
            amount_minor=refund.amount_minor,
            currency=CURRENCY,
            channel_order_no=text(node.get("trade_no"), 64),
            happened_at=to_instant(node.get("gmt_refund_pay")),
        )

    def payout(self, node: Mapping[str, Any], payout: PayoutRequest) -> ChannelAnswer:
        if node.get("out_biz_no") != payout.payout_no:
            raise NoAnswer("not_ours", "the answer is about another transfer")
        status = text(node.get("status"), 64) or ""
        answer = self._answer("transfer_status", status, shown=status, reason=text(node.get("fail_reason"), 256))
        amount_minor = to_minor(node["trans_amount"]) if "trans_amount" in node else payout.amount_minor
        has_moved = answer.state is ChannelState.SUCCEEDED and amount_minor
        if amount_minor != payout.amount_minor and not has_moved:
            raise NoAnswer("not_ours", "the answer is about another amount")
        if answer.state is ChannelState.FAILED and (error := text(node.get("error_code"), 64)) is not None:
            answer = replace(answer, channel_code=error)
        return replace(
            answer,
            amount_minor=amount_minor,
            currency=CURRENCY,
            channel_order_no=text(node.get("order_id"), 64),
            happened_at=to_instant(node.get("pay_date") or node.get("trans_date")),
        )

    def _answer(
        self,
        interface: str,
        code: str,
        sub_code: str = "",
        *,
        shown: str,
        message: str | None = None,
        reason: str | None = None,
    ) -> ChannelAnswer:
        meaning = self._codes.read(interface, code, sub_code, message=message or "")
        return ChannelAnswer(
            meaning.state,
            channel_code=text(shown, 64),
            channel_message=text(message or reason, 256),
            code=meaning.unified_code,
            code_entry=meaning.entry,
            retryable=meaning.retryable,
        )


def to_minor(value: object) -> int | None:
    """Convert an amount in yuan as Alipay writes it to fen; None for a third decimal, an exponent, a sign."""
    if not isinstance(value, str) or not _YUAN.fullmatch(value):
        return None
    return from_major(value, CURRENCY)


def to_instant(value: object) -> datetime | None:
    """Convert a time as Alipay writes it, which is in Beijing's zone."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).replace(tzinfo=BEIJING).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
