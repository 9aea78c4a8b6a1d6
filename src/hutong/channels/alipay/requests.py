"""Requests to Alipay: the contents of orders, refunds and transfers, and the checks before they are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hutong.channels.capability import Capabilities, PaymentMethod, RefundRule
from hutong.channels.device import Device
from hutong.channels.free_text import FreeText
from hutong.channels.model import ActionKind, PayoutRequest, PayRequest, RefundRequest
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter
from hutong.money import to_major

CURRENCY = "CNY"
TRANSFER_PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}

SUMS_OPTIONS = ["fund_bill_list", "mdiscount_amount"]
"""What a query must ask for, so that it tells whose coupons were used."""

_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_AUTH_CODE = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")
_BILL = {",": "，"}
"""What would end a value in the rows of Alipay's bill."""
SUBJECT = FreeText(256, {**_BILL, "/": "／", "=": "＝", "&": "＆"}, unit="columns")
"""Alipay refuses these three in a subject."""
_REASON = FreeText(256, _BILL, unit="columns")
_REMARK = FreeText(200, _BILL, unit="columns")
_NAME = FreeText(128, unit="columns")
_IDENTITY_MAX = 64
_USER_ID = re.compile(r"2088[0-9]{12}")
_OPEN_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_IDENTITY_TYPES = ("ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID")
_TRANSFER_MINOR_MIN, _TRANSFER_MINOR_MAX = 10, 10_000_000_000
_QUIT_URL_MAX = 400
_URL_MAX = 256
_CODE_END_LATER = timedelta(minutes=1)
_TRANSFER_TITLE = "转账"


@dataclass(frozen=True, slots=True)
class AlipayProduct:
    """A way to pay, by Alipay's own names."""

    interface: str
    content: Mapping[str, str]
    method: PaymentMethod


PRODUCTS: Mapping[str, AlipayProduct] = {
    "alipay_qr": AlipayProduct(
        "alipay.trade.precreate",
        {},
        PaymentMethod(ActionKind.QR_CODE, devices=frozenset({Device.DESKTOP}), closes_unopened=False),
    ),
    "alipay_code": AlipayProduct(
        "alipay.trade.pay",
        {"product_code": "FACE_TO_FACE_PAYMENT", "scene": "bar_code"},
        PaymentMethod(None, requires=frozenset({"auth_code"}), decided_within=timedelta(seconds=45)),
    ),
    "alipay_page": AlipayProduct(
        "alipay.trade.page.pay",
        {"product_code": "FAST_INSTANT_TRADE_PAY"},
        PaymentMethod(ActionKind.REDIRECT, devices=frozenset({Device.DESKTOP}), closes_unopened=False),
    ),
    "alipay_wap": AlipayProduct(
        "alipay.trade.wap.pay",
        {"product_code": "QUICK_WAP_WAY"},
        PaymentMethod(ActionKind.REDIRECT, devices=frozenset({Device.PHONE, Device.ALIPAY}), closes_unopened=False),
    ),
    "alipay_app": AlipayProduct(
        "alipay.trade.app.pay",
        {"product_code": "QUICK_MSECURITY_PAY"},
        PaymentMethod(ActionKind.SDK, closes_unopened=False),
    ),
    "alipay_jsapi": AlipayProduct(
        "alipay.trade.create",
        {"product_code": "JSAPI_PAY"},
        PaymentMethod(ActionKind.SDK, requires=frozenset({"buyer_id"})),
    ),
}

"""An order exists at Alipay once a payer has scanned its code or opened its page; before, it can neither be found nor
closed (`ACQ.TRADE_NOT_EXIST`). WeChat's browser does not open Alipay's pages; Alipay's opens that for phones. A payment
by code is to be queried every three to six seconds, for a minute at most, and cancelled right after the last query.

Source:
    https://developer.aliyun.com/article/707654 (when an order of each product begins),
    https://opendocs.alipay.com/open/02ivbs (wap), https://opendocs.alipay.com/support/01rfnt (payments by code).
"""

_PAGES = frozenset({"alipay_page", "alipay_wap"})
"""The methods whose payer returns to an address."""

METHODS: Mapping[str, PaymentMethod] = {name: product.method for name, product in PRODUCTS.items()}


def check_number(number: str, param: str = "attempt_no") -> None:
    """Check that Alipay takes a number.

    Errors:
        InvalidParameter: it does not.
    """
    if not _NUMBER.fullmatch(number):
        raise InvalidParameter("Alipay does not take this number", param=param)


def check_order(request: PayRequest, capabilities: Capabilities) -> None:
    """Check that Alipay could take an order.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    if request.method not in METHODS:
        raise InvalidParameter("Alipay does not offer this method", param="method")
    _check_currency(request.currency)
    if not request.capture:
        raise InvalidParameter("Alipay cannot reserve money by this method", param="capture")
    check_number(request.attempt_no)
    if not capabilities.amount_minor_min <= request.amount_minor <= capabilities.amount_minor_max:
        raise InvalidParameter("Alipay does not take this amount", param="amount_minor")
    _check_address(request.notify_url, "notify_url")
    if request.method in _PAGES:
        _check_address(request.return_url or "", "return_url")


def order_content(request: PayRequest, *, qr_product: str, mini_app_id: str) -> dict[str, Any]:
    """Return the order as Alipay takes it. The same request gives the same content, however often it is sent.

    Args:
        qr_product: The product of `alipay_qr`, as in the credentials.
        mini_app_id: The mini program that opens Alipay's page for an order of `alipay_jsapi`.

    Errors:
        InvalidParameter: the payer's code or number is missing or malformed.
    """
    # Alipay's own end of a payment by code comes after ours, for the case that ours does not reach it.
    end = request.expires_at + (_CODE_END_LATER if request.method == "alipay_code" else timedelta(0))
    content = {
        "out_trade_no": request.attempt_no,
        "total_amount": to_major(request.amount_minor, request.currency),
        "subject": SUBJECT.fit(request.subject) or request.attempt_no,
        "time_expire": end.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
        **PRODUCTS[request.method].content,
    }
    if request.method == "alipay_code":
        auth_code = request.payer.get("auth_code", "")
        if not _AUTH_CODE.fullmatch(auth_code):
            raise InvalidParameter("`payer.auth_code` is not one of Alipay's payment codes", param="payer.auth_code")
        content["auth_code"] = auth_code
    elif request.method == "alipay_qr":
        content["product_code"] = qr_product
    elif request.method == "alipay_jsapi":
        content |= {"op_app_id": mini_app_id, **_buyer(request.payer.get("buyer_id", ""))}
    elif request.method == "alipay_wap" and request.return_url and len(request.return_url) <= _QUIT_URL_MAX:
        content["quit_url"] = request.return_url  # the way back for a payer who does not pay
    return content


def _buyer(number: str) -> dict[str, str]:
    """Return the payer by the name that Alipay has for a number of this form: a user id, or an open id."""
    if _USER_ID.fullmatch(number):
        return {"buyer_id": number}
    if _OPEN_ID.fullmatch(number):
        return {"buyer_open_id": number}
    raise InvalidParameter("`payer.buyer_id` is neither a user id nor an open id of Alipay's", param="payer.buyer_id")


def check_refund(refund: RefundRequest, rule: RefundRule) -> None:
    """Check that Alipay could take a refund.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    check_number(refund.refund_no, "refund_no")
    check_number(refund.order.attempt_no)
    _check_currency(refund.order.currency)
    if not 0 < refund.amount_minor <= refund.order.amount_minor:
        raise InvalidParameter("a refund is at most the order's amount", param="amount_minor")
    # A refund that was begun in time is still repeated afterwards, since only that reveals its outcome.
    if refund.created_at - refund.order.placed_at > rule.window:
        raise InvalidParameter("Alipay refunds within a year only", param="payment")


def check_void(refund: RefundRequest) -> None:
    """Check that Alipay could cancel a payment: the whole, as asked for on its own day in Beijing.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    if refund.amount_minor != refund.order.amount_minor:
        raise InvalidParameter("Alipay cancels whole payments only", param="amount_minor")
    if refund.order.placed_at.astimezone(BEIJING).date() != refund.created_at.astimezone(BEIJING).date():
        raise InvalidParameter("Alipay cancels a payment on its own day only", param="payment")
    check_number(refund.order.attempt_no)


def refund_content(refund: RefundRequest) -> dict[str, Any]:
    """Return a refund as Alipay takes it."""
    content = {
        "out_trade_no": refund.order.attempt_no,
        "out_request_no": refund.refund_no,
        "refund_amount": to_major(refund.amount_minor, refund.order.currency),
        "query_options": ["refund_detail_item_list"],
    }
    reason = _REASON.fit(refund.reason)
    if reason:
        content["refund_reason"] = reason
    return content


def check_payout(payout: PayoutRequest) -> None:
    """Check that Alipay could take a transfer.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    check_number(payout.payout_no, "payout_no")
    _check_currency(payout.currency)
    if payout.amount_minor < _TRANSFER_MINOR_MIN:
        raise InvalidParameter("Alipay sends at least 0.10 yuan", param="amount_minor")
    if payout.amount_minor > _TRANSFER_MINOR_MAX:
        raise InvalidParameter("Alipay sends at most 100,000,000 yuan", param="amount_minor")
    if payout.payee.get("identity_type") not in _IDENTITY_TYPES:
        raise InvalidParameter(
            f"identity_type must be one of {', '.join(_IDENTITY_TYPES)}", param="payee.identity_type"
        )
    for name in ("identity", "name"):
        if not payout.payee.get(name):
            raise InvalidParameter(f"Alipay requires the payee's {name}", param=f"payee.{name}")
    if len(payout.payee["identity"]) > _IDENTITY_MAX:
        raise InvalidParameter(f"Alipay takes at most {_IDENTITY_MAX} characters", param="payee.identity")
    if _NAME.size(payout.payee["name"]) > _NAME.length_max:
        raise InvalidParameter("Alipay takes at most 128 characters, 64 Chinese ones", param="payee.name")


def transfer_content(payout: PayoutRequest) -> dict[str, Any]:
    """Return a transfer as Alipay takes it."""
    content = {
        "out_biz_no": payout.payout_no,
        "trans_amount": to_major(payout.amount_minor, payout.currency),
        "order_title": _TRANSFER_TITLE,
        "payee_info": {name: payout.payee[name] for name in ("identity", "identity_type", "name")},
        **TRANSFER_PRODUCT,
    }
    remark = _REMARK.fit(payout.remark)
    if remark:
        content["remark"] = remark
    return content


def _check_address(value: str, param: str) -> None:
    if len(value) > _URL_MAX:
        raise InvalidParameter(f"Alipay takes an address of at most {_URL_MAX} characters", param=param)


def _check_currency(currency: str) -> None:
    if currency != CURRENCY:
        raise InvalidParameter("Alipay takes CNY only", param="currency")
