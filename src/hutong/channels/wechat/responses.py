"""WeChat Pay's answers about orders, refunds and transfers, read into the terms of all channels.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4013071041 (query a refund), 4012716437 (query a transfer);
    4012365341 and 4013070351 (the parameters that pages and apps sign); 4012525110 (`promotion_detail`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ActionKind, ChannelAnswer, ChannelState, PayerAction, PayoutRequest, PayRequest, text
from hutong.channels.sums import ChannelDiscount, DiscountFunder, ReturnedSums, Sums, SumsContradict
from hutong.channels.wechat.credentials import WeChatKeys
from hutong.channels.wechat.merchant import TRANSFER, WeChatMerchant
from hutong.channels.wechat.requests import to_bill_no
from hutong.money import AMOUNT_MINOR_MAX

_PAYER_ACTS = (202, "USERPAYING")
_PAID = frozenset({"ORDERPAID", "ORDER_PAID"})
_UNFIT = frozenset({"INVALID_REQUEST", "PARAM_ERROR"})
_GIVEN_BACK = ("全额退款", "可退金额", "可退款金额")


def is_paid(refusal: ChannelAnswer) -> bool:
    """Return whether WeChat refuses because the order is paid."""
    return refusal.channel_code in _PAID


def given_back(refusal: ChannelAnswer) -> ChannelAnswer:
    """Return a refusal; with a code of its own if the order's money was given back already, as its text alone says.

    Source:
        Public clients that read the text 订单已全额退款; 4012791862 has one code for whatever a refund does not fit.
    """
    says_so = any(phrase in (refusal.channel_message or "") for phrase in _GIVEN_BACK)
    return replace(refusal, code="refund_exceeds") if refusal.channel_code in _UNFIT and says_so else refusal


class WeChatResponses:
    """A reader of messages that are proven to be WeChat's.

    Errors:
        NoAnswer: the message is not about this account or not about this number, or a success is not complete.
    """

    def __init__(self, merchant: WeChatMerchant, codes: Codes) -> None:
        self._merchant = merchant
        self._codes = codes

    def refusal(self, interface: str, status: int, content: Mapping[str, Any]) -> ChannelAnswer:
        """Look up a refusal's code; without the status of a refusal the code decides nothing.

        WeChat says with status 202 that a payer has to enter a password (4012382150); that is no refusal, and known.
        """
        code, message = text(content.get("code"), 64), text(content.get("message"), 256)
        if code is None or (status < 400 and (status, code) != _PAYER_ACTS):
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code=code or f"http_{status}", channel_message=message)
        return self._answer(interface, code, message)

    def order(self, content: Mapping[str, Any], attempt_no: str) -> ChannelAnswer:
        if not self._merchant.owns_order(content):
            raise NoAnswer("not_ours", "the answer is about another merchant or application")
        _check_same(content.get("out_trade_no"), attempt_no, "order")
        amount = _amount_object(content)
        answer = self._answer(
            "trade_state",
            text(content.get("trade_state"), 64),
            text(content.get("trade_state_desc"), 256),
            amount_minor=amount_of(amount.get("total")),
            currency=_currency(amount),
            channel_order_no=text(content.get("transaction_id"), 64),
            happened_at=instant(content.get("success_time")),
        )
        return replace(answer, sums=_sums(content)) if answer.state is ChannelState.SUCCEEDED else answer

    def refund(self, content: Mapping[str, Any], refund_no: str) -> ChannelAnswer:
        _check_same(content.get("out_refund_no"), refund_no, "refund")
        amount = _amount_object(content)
        answer = self._answer(
            "refund_status",
            text(content.get("status", content.get("refund_status")), 64),
            None,
            amount_minor=amount_of(amount.get("refund")),
            currency=_currency(amount),
            channel_order_no=text(content.get("refund_id"), 64),
            happened_at=instant(content.get("success_time")),
        )
        return replace(answer, returned=_returned(amount)) if answer.state is ChannelState.SUCCEEDED else answer

    def notified_refund(self, content: Mapping[str, Any], refund_no: str) -> ChannelAnswer:
        """Read a refund's notification, which unlike an answer names the merchant."""
        if not self._merchant.owns(content):
            raise NoAnswer("not_ours", "the message is about another merchant")
        return self.refund(content, refund_no)

    def payout(self, content: Mapping[str, Any], bill_no: str) -> ChannelAnswer:
        _check_same(content.get("out_bill_no"), bill_no, "transfer")
        apps = self._merchant.known_apps
        if content.get("mch_id") != self._merchant.mchid or content.get("appid", apps[0]) not in apps:
            raise NoAnswer("not_ours", "the answer is about another merchant or application")
        return self._answer(
            "transfer_state",
            text(content.get("state"), 64),
            text(content.get("fail_reason"), 256),
            amount_minor=amount_of(content.get("transfer_amount")),
            currency="CNY",
            channel_order_no=text(content.get("transfer_bill_no"), 64),
            happened_at=instant(content.get("update_time")),
        )

    def payout_accepted(self, content: Mapping[str, Any], payout: PayoutRequest) -> ChannelAnswer:
        """Read the answer to a transfer's submission: nothing in it is final, whatever its state."""
        _check_same(content.get("out_bill_no"), to_bill_no(payout.payout_no), "transfer")
        package, state = text(content.get("package_info"), 512), text(content.get("state"), 64)
        action = None
        if package is not None:
            app = self._merchant.app_of(TRANSFER, payout.payee)
            parameters = {"mchId": self._merchant.mchid, "appId": app, "package": package}
            action = PayerAction(ActionKind.SDK, orjson.dumps(parameters).decode())
        meaning = self._codes.read("transfer_state", state or "")
        pending = meaning.state is ChannelState.PENDING
        return ChannelAnswer(
            ChannelState.PENDING if pending else ChannelState.UNKNOWN,
            channel_order_no=text(content.get("transfer_bill_no"), 64),
            channel_code=state,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            action=action if pending else None,
        )

    def _answer(self, interface: str, code: str | None, message: str | None, **fields: Any) -> ChannelAnswer:
        meaning = self._codes.read(interface, code or "", message=message or "")
        complete = all(fields.get(name) is not None for name in ("amount_minor", "currency", "channel_order_no"))
        if fields and meaning.state is ChannelState.SUCCEEDED and not complete:
            raise NoAnswer("unreadable", "a success without an amount or without a number")
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            retryable=meaning.retryable,
            **fields,
        )


def payer_action(
    request: PayRequest,
    content: Mapping[str, Any],
    merchant: WeChatMerchant,
    keys: WeChatKeys,
    *,
    now: datetime,
    nonce: Callable[[], str],
) -> PayerAction | None:
    """Return the payer's action for a placed order; None if the answer does not hold it."""
    if request.method == "wechat_native":
        code_url = _short_text(content, "code_url", 512)
        return PayerAction(ActionKind.QR_CODE, code_url) if code_url else None
    if request.method == "wechat_h5":
        address = _short_text(content, "h5_url", 512)
        if not address or not address.startswith(("https://", "http://")):
            return None
        if request.return_url is not None:
            address += ("&" if "?" in address else "?") + urlencode({"redirect_url": request.return_url})
        return PayerAction(ActionKind.REDIRECT, address)
    prepay_id = _short_text(content, "prepay_id", 64)
    if not prepay_id or not prepay_id.isascii() or not prepay_id.isprintable():
        return None
    app = merchant.signing_app(merchant.app_of(request.method, request.payer))
    timestamp = str(int(now.timestamp()))
    if request.method == "wechat_jsapi":
        parameters = _page_parameters(keys, app, prepay_id, timestamp, nonce())
    else:
        parameters = _app_parameters(keys, app, merchant.mchid, prepay_id, timestamp, nonce())
    return PayerAction(ActionKind.SDK, orjson.dumps(parameters).decode())


def _page_parameters(keys: WeChatKeys, app: str, prepay_id: str, timestamp: str, nonce: str) -> dict[str, str]:
    package = f"prepay_id={prepay_id}"
    return {
        "appId": app,
        "timeStamp": timestamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": keys.sign_lines(app, timestamp, nonce, package),
    }


def _app_parameters(
    keys: WeChatKeys, app: str, mchid: str, prepay_id: str, timestamp: str, nonce: str
) -> dict[str, str]:
    return {
        "appid": app,
        "partnerid": mchid,
        "prepayid": prepay_id,
        "package": "Sign=WXPay",
        "noncestr": nonce,
        "timestamp": timestamp,
        "sign": keys.sign_lines(app, timestamp, nonce, prepay_id),
    }


def _short_text(content: Mapping[str, Any], name: str, length: int) -> str | None:
    value = content.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= length else None


def _check_same(value: object, number: str, subject: str) -> None:
    if value != number:
        raise NoAnswer("not_ours", f"the answer is about another {subject}")


def _amount_object(content: Mapping[str, Any]) -> Mapping[str, Any]:
    amount = content.get("amount")
    return amount if isinstance(amount, dict) else {}


def amount_of(value: object) -> int | None:
    """Return a positive number of fen; None for anything else."""
    return value if type(value) is int and 0 < value <= AMOUNT_MINOR_MAX else None


_CONTRIBUTIONS = {
    "wechatpay_contribute": DiscountFunder.CHANNEL,
    "merchant_contribute": DiscountFunder.MERCHANT,
    "other_contribute": DiscountFunder.PLATFORM,
}


def _sums(content: Mapping[str, Any]) -> Sums | None:
    """Return the sums of a paid order; None if it has no coupons.

    A coupon of type NOCASH is not settled, independent of who bears it. The merchant has paid for one of type CASH in
    advance.

    Errors:
        NoAnswer: the sums contradict each other.
    """
    amount, coupons = _amount_object(content), content.get("promotion_detail") or []
    total, paid = amount.get("total"), amount.get("payer_total", amount.get("total"))
    if not coupons and paid == total:
        return None
    try:
        discounts = [discount for coupon in coupons for discount in _discounts(coupon)]
        borne = sum(discount.amount_minor for discount in discounts if not discount.settles)
        return Sums(_fen(total), _fen(paid), _fen(total) - borne, tuple(discounts))
    except (SumsContradict, TypeError, AttributeError) as error:
        raise NoAnswer("sums_contradict", str(error)) from None


def _discounts(coupon: Mapping[str, Any]) -> list[ChannelDiscount]:
    """Return each contributor's part of a coupon."""
    settles = {"CASH": True, "NOCASH": False}.get(str(coupon.get("type")))
    if settles is None:
        raise SumsContradict("a coupon is neither CASH nor NOCASH")
    name, whole = text(coupon.get("name"), 64) or "", _fen(coupon.get("amount"))
    parts = {funder: _fen(coupon.get(field) or 0) for field, funder in _CONTRIBUTIONS.items()}
    if not any(parts.values()):
        return [ChannelDiscount(name, None if settles else DiscountFunder.MERCHANT, whole, settles)]
    if sum(parts.values()) != whole:
        raise SumsContradict("the contributions do not add up to the coupon")
    return [ChannelDiscount(name, funder, part, settles) for funder, part in parts.items() if part]


def _returned(amount: Mapping[str, Any]) -> ReturnedSums | None:
    """Return the parts of a refund, as far as they are stated; a notification has only the payer's.

    Errors:
        NoAnswer: they contradict each other.
    """
    parts = [amount.get("payer_refund"), amount.get("settlement_refund")]
    if parts == [None, None]:
        return None
    try:
        return ReturnedSums(_fen(amount.get("refund")), *(None if part is None else _fen(part) for part in parts))
    except SumsContradict as error:
        raise NoAnswer("sums_contradict", str(error)) from None


def _fen(value: object) -> int:
    """Return a number of fen, or zero. SumsContradict: it is anything else."""
    if type(value) is not int or not 0 <= value <= AMOUNT_MINOR_MAX:
        raise SumsContradict("a sum is not a number of fen")
    return value


def _currency(amount: Mapping[str, Any]) -> str | None:
    """Return the currency of an amount, which is CNY where none is named: an account at WeChat Pay has no other."""
    value = amount.get("currency")
    value = "CNY" if value is None else value
    return value if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) else None


def instant(value: object) -> datetime | None:
    """Return a time that WeChat states; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
