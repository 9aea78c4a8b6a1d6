"""Alipay's answers about trades, refunds and transfers, read into the terms of all channels.

Source:
    https://opendocs.alipay.com/open/02ekfh (query: `receipt_amount`, `fund_bill_list`, `mdiscount_amount`), open/05osv8
    (notification: the lists are JSON, with other names), open/02ekft (refund query: `send_back_fee`);
    https://docs.taro.zone/docs/apis/alipay/tradePay (`tradeNO`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from hutong.channels.alipay.client import SUCCESS
from hutong.channels.alipay.requests import CURRENCY
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NoAnswer
from hutong.channels.model import (
    ActionKind,
    ChannelAnswer,
    ChannelState,
    PayerAction,
    PayoutRequest,
    RefundRequest,
    text,
)
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums, SumsContradict
from hutong.clock import BEIJING
from hutong.money import from_major

_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,12})(?:\.[0-9]{1,2})?")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_CODE_LENGTH_MAX = 1024
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


def payer_action(node: Mapping[str, Any], method: str) -> PayerAction:
    """Return what the payer needs for a placed order: its code to scan, or what a mini program's `my.tradePay` takes.

    Errors:
        NoAnswer: the answer has none.
    """
    if method == "alipay_qr":
        code = node.get("qr_code")
        if not isinstance(code, str) or not 0 < len(code) <= _CODE_LENGTH_MAX:
            raise NoAnswer("unreadable", "an order without its code")
        return PayerAction(ActionKind.QR_CODE, code)
    trade_no = text(node.get("trade_no"), 64)
    if trade_no is None:
        raise NoAnswer("unreadable", "an order without its number")
    return PayerAction(ActionKind.SDK, orjson.dumps({"tradeNO": trade_no}).decode())


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
            sums=_sums(fields, amount_minor or 0) if answer.state is ChannelState.SUCCEEDED else None,
        )

    def cancellation(self, node: Mapping[str, Any]) -> ChannelAnswer:
        """Read how Alipay has cancelled an order."""
        action = "retry" if node.get("retry_flag") == "Y" else text(node.get("action"), 64) or "none"
        answer = self.status("cancel_action", action, shown=f"action={action}")
        return replace(answer, channel_order_no=text(node.get("trade_no"), 64))

    def refund(self, node: Mapping[str, Any], refund: RefundRequest, number: str) -> ChannelAnswer:
        """Read a refund's query.

        Without a status, a number and an amount Alipay has not accepted the refund, or it has failed. What has the
        refund's number or amount and no status is in doubt: Alipay's documents once called it a success, and now call
        it a failure.

        Args:
            number: The number that was asked for: the refund's, or that of a cancelled order.

        Source:
            https://github.com/alipay/alipay-sdk-java-all (v2, `AlipayTradeFastpayRefundQueryResponse`: now),
            https://docs.open.alipay.com/api_1/alipay.trade.fastpay.refund.query (once).
        """
        status = text(node.get("refund_status"), 64)
        if status is None:
            is_stated = not {"out_request_no", "refund_amount"}.isdisjoint(node)
            return self._answer("refund_status", "none", "stated" if is_stated else "", shown="refund_status=none")
        check_same_order(node, refund.order.attempt_no)
        if node.get("out_request_no") != number:
            raise NoAnswer("not_ours", "the answer is about another refund")
        amount_minor = to_minor(node.get("refund_amount"))
        answer = self.status("refund_status", status)
        if amount_minor != refund.amount_minor and (answer.state is not ChannelState.SUCCEEDED or not amount_minor):
            raise NoAnswer("not_ours", "the answer is about another amount")
        # Of another amount money has moved as well, and persons decide what it was.
        return self.refunded(answer, node, refund, amount_minor)

    def refunded(
        self, answer: ChannelAnswer, node: Mapping[str, Any], refund: RefundRequest, amount_minor: int | None = None
    ) -> ChannelAnswer:
        """Return an answer with the amount, the parts, the number and the time of a refund.

        Args:
            amount_minor: The amount that has moved, if it is not the one that was asked for.
        """
        amount_minor = refund.amount_minor if amount_minor is None else amount_minor
        return replace(
            answer,
            amount_minor=amount_minor,
            returned=_returned(node, amount_minor) if answer.state is ChannelState.SUCCEEDED else None,
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


_BORNE = frozenset({"MDISCOUNT"})
"""Means of payment that the merchant bears now: discounts of its own. They are not settled."""
_DISCOUNTS: Mapping[str, DiscountFunder] = {
    "MDISCOUNT": DiscountFunder.MERCHANT,
    "MCOUPON": DiscountFunder.MERCHANT,
    "DISCOUNT": DiscountFunder.CHANNEL,
    "COUPON": DiscountFunder.CHANNEL,
}
"""Means of payment that are not the payer's money. The merchant has paid for MCOUPON, its red packets, in advance."""


def _sums(fields: Mapping[str, Any], total: int) -> Sums | None:
    """Return the sums of a paid trade; None if all are equal.

    Of what a page or an application has brought, a query states 0.00 for both sums, which is nothing stated: then the
    means of payment tell. Discounts that Alipay does not list are its own, such as points of the payer's.

    Errors:
        NoAnswer: they contradict each other, or one of them cannot be read.
    """
    try:
        settled, paid = _stated(fields, "receipt_amount"), _stated(fields, "buyer_pay_amount")
        if not settled and not paid:
            settled = paid = None
        listed = [(channel, part) for channel, part in _fund_bills(fields) if channel in _DISCOUNTS and part]
        known, merchants = (
            sum(part for channel, part in listed if channel in _BORNE),
            _stated(fields, "mdiscount_amount"),
        )
        borne = max(known, merchants or 0) if settled is None else total - settled
        if known > borne or merchants not in (None, borne):
            raise SumsContradict("the merchant's discounts are not what will not settle")
        listed += [("MDISCOUNT", borne - known)] if borne > known else []
        rest = 0 if paid is None else total - paid - sum(part for _, part in listed)
        listed += [("", rest)] if rest else []
        discounts = tuple(
            ChannelDiscount(channel, _DISCOUNTS.get(channel, DiscountFunder.CHANNEL), part, channel not in _BORNE)
            for channel, part in listed
        )
        sums = Sums(total, total - sum(part for _, part in listed), total - borne, discounts)
    except SumsContradict as error:
        raise NoAnswer("sums_contradict", str(error)) from None
    return sums if discounts else None


def _stated(fields: Mapping[str, Any], name: str) -> int | None:
    """Return an amount in fen; None where Alipay does not state it. SumsContradict: it cannot be read."""
    value = fields.get(name)
    if value in (None, ""):
        return None
    amount_minor = to_minor(value)
    if amount_minor is None:
        raise SumsContradict(f"{name} is not an amount")
    return amount_minor


def _fund_bills(fields: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the means of payment and their amounts: a list in an answer, JSON with other names in a notification."""
    bills = fields.get("fund_bill_list") or []
    try:
        bills = orjson.loads(bills) if isinstance(bills, str) else bills
        parts = [(str(bill.get("fund_channel", bill.get("fundChannel"))), _stated(bill, "amount")) for bill in bills]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        raise SumsContradict("fund_bill_list cannot be read") from None
    return [(channel, part or 0) for channel, part in parts]


def _returned(node: Mapping[str, Any], amount_minor: int) -> ReturnedSums | None:
    """Return the parts of a refund, as far as Alipay states them.

    Errors:
        NoAnswer: they contradict each other, or one of them cannot be read.
    """
    try:
        paid, settled = (_stated(node, name) for name in ("present_refund_buyer_amount", "send_back_fee"))
        return None if paid is settled is None else ReturnedSums(amount_minor, paid, settled)
    except SumsContradict as error:
        raise NoAnswer("sums_contradict", str(error)) from None


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
