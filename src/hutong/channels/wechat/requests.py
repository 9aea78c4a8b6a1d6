"""Requests to WeChat Pay: the contents of orders, refunds and transfers, and the checks before they are sent.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791877 (Native), 4012791856 (JSAPI), 4012791834 (H5),
    4013070176 (App), 4012382150 (code payment), 4012791862 (refund), 4012716434 (transfer).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hutong.channels.capability import Capabilities, PaymentMethod
from hutong.channels.device import Device
from hutong.channels.free_text import FreeText
from hutong.channels.model import ActionKind, PayoutRequest, PayRequest, RefundRequest
from hutong.channels.wechat.credentials import TransferScene
from hutong.channels.wechat.merchant import TRANSFER, WeChatMerchant
from hutong.clock import BEIJING
from hutong.errors import InvalidParameter

_BILL = {"`": "'", ",": "，"}
"""What would end a value in the rows of WeChat's bill."""
SUBJECT = FreeText(127, _BILL, basic_only=True, unit="bytes")
_REASON = FreeText(80, _BILL, basic_only=True, unit="bytes")
_REMARK = FreeText(32, _BILL, basic_only=True)

METHODS: Mapping[str, PaymentMethod] = {
    "wechat_native": PaymentMethod(ActionKind.QR_CODE, devices=frozenset({Device.DESKTOP})),
    "wechat_jsapi": PaymentMethod(ActionKind.SDK, requires=frozenset({"openid"}), devices=frozenset({Device.WECHAT})),
    "wechat_h5": PaymentMethod(
        ActionKind.REDIRECT,
        requires=frozenset({"client_ip"}),
        devices=frozenset({Device.PHONE}),
        action_life=timedelta(minutes=5),
    ),
    "wechat_app": PaymentMethod(ActionKind.SDK),
    "wechat_code": PaymentMethod(None, requires=frozenset({"auth_code"}), decided_within=timedelta(seconds=30)),
}

"""WeChat's own browser opens no H5 link, a code is not recognized in a picture or on the same screen, and JSAPI needs
the payer's openid. An H5 link works for five minutes, from a page that states where it is (`Referer`). A payment by
code is to be queried every five seconds and reversed after 30; WeChat itself revokes it after 45.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012791845 (H5), 4012791890 (Native);
    https://developers.weixin.qq.com/community/pay/doc/000600727847f06be4ce9c58851c00 and
    https://pay.weixin.qq.com/wiki/doc/api/wxpay/en/guide/pos/Closed-loop_Transactions.shtml (payments by code).
"""

PRODUCTS: Mapping[str, str] = {
    "wechat_native": "native",
    "wechat_jsapi": "jsapi",
    "wechat_h5": "h5",
    "wechat_app": "app",
    "wechat_code": "codepay",
}
"""The last part of each product's address."""

REVERSED_AFTER = timedelta(seconds=15)
"""How soon after a payment by code WeChat takes its reversal.

Source:
    https://pay.weixin.qq.com/wiki/doc/api/wxpay/ch/pay/QuickPay/chapter3_4.shtml.
"""
_NUMBER = re.compile(r"[0-9A-Za-z_-]{6,32}")
_PAYOUT_NO = re.compile(r"([a-z]{3})_([0-9a-z]{1,29})")
_NOTIFY_URL = re.compile(r"https?://[^\s?#\[\]@]+")
_NOTIFY_URL_MAX, _LATER_NOTIFY_URL_MAX = 255, 256
_ADDRESS_MAX = 45
_BILL_NO = re.compile(r"([a-z]{3})([0-9a-z]{1,29})")
_NAMED_MINOR_MIN, _UNNAMED_MINOR_MAX = 30, 199_999
"""From 2,000 yuan on WeChat requires the payee's name, and below 0.3 yuan it takes none."""
_NAME_BYTES_MAX = 214
"""What RSAES-OAEP encrypts under a key of 2048 bits."""
_AMOUNT_MINOR_MAX = 2**31 - 1


def check_number(number: str, param: str = "attempt_no") -> None:
    """Check that a number may stand in an address of WeChat Pay.

    Errors:
        InvalidParameter: it may not.
    """
    if not _NUMBER.fullmatch(number):
        raise InvalidParameter("WeChat Pay does not take this number", param=param)


def check_order(request: PayRequest) -> None:
    """Check that WeChat Pay could take an order.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    if request.method not in METHODS:
        raise InvalidParameter("WeChat Pay does not offer this method", param="method")
    _check_currency(request.currency)
    if not request.capture:
        raise InvalidParameter("WeChat Pay cannot reserve money", param="capture")
    check_number(request.attempt_no)


def order_content(request: PayRequest, merchant: WeChatMerchant) -> dict[str, Any]:
    """Return the order as WeChat takes it. Placing again must repeat it, so nothing in it depends on when it is sent.

    Errors:
        InvalidParameter: the payer's part is missing or malformed, or WeChat cannot notify this address.
    """
    app = merchant.app_of(request.method, request.payer)
    order: dict[str, Any] = {
        **merchant.order_fields(app),
        "description": SUBJECT.fit(request.subject) or request.attempt_no,
        "out_trade_no": request.attempt_no,
        "amount": {"total": request.amount_minor, "currency": request.currency},
    }
    if request.method == "wechat_code":
        # WeChat does not notify of a code payment, and the code itself lives for a minute only.
        order["payer"] = {"auth_code": _payer(request, "auth_code")}
        order["scene_info"] = {"store_info": {"out_id": "online"}}
        return order
    order["time_expire"] = request.expires_at.astimezone(BEIJING).isoformat(timespec="seconds")
    order["notify_url"] = _notify_url(request.notify_url, _NOTIFY_URL_MAX)
    if request.method == "wechat_jsapi":
        order["payer"] = merchant.payer_fields(app, _payer(request, "openid"))
    elif request.method == "wechat_h5":
        # The address stored with the attempt, which placing again repeats even if the payer has moved.
        order["scene_info"] = {"payer_client_ip": _payer(request, "client_ip"), "h5_info": {"type": "Wap"}}
    return order


def _payer(request: PayRequest, name: str) -> str:
    value = request.payer.get(name, "")
    if name == "auth_code":
        valid = value.isascii() and value.isdigit() and len(value) == 18 and "10" <= value[:2] <= "15"
    elif name == "client_ip":
        valid = _is_address(value)
    else:
        valid = value.isascii() and 0 < len(value) <= 128 and value.isprintable()
    if not valid:
        raise InvalidParameter(f"this method needs the payer's {name}", param=f"payer.{name}")
    return value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return len(value) <= _ADDRESS_MAX


def _notify_url(value: str, length_max: int) -> str:
    if len(value) > length_max or not _NOTIFY_URL.fullmatch(value):
        raise InvalidParameter(
            f"WeChat Pay notifies an address of at most {length_max} characters without a query", param="notify_url"
        )
    return value


def check_refund(refund: RefundRequest, capabilities: Capabilities) -> None:
    """Check that WeChat Pay could take a refund.

    Errors:
        InvalidParameter: it could not; `param` names the field.
    """
    check_number(refund.refund_no, "refund_no")
    check_number(refund.order.attempt_no)
    rule = capabilities.refund
    assert rule is not None
    _check_currency(refund.order.currency)
    if not 0 < refund.amount_minor <= refund.order.amount_minor:
        raise InvalidParameter("a refund is at most the order's amount", param="amount_minor")
    # A refund that was begun in time is still repeated afterwards, since only that reveals its outcome.
    if refund.created_at - refund.order.placed_at > rule.window + capabilities.expiry_max:
        raise InvalidParameter("WeChat Pay refunds an order within a year only", param="order")


def refund_content(refund: RefundRequest, merchant: WeChatMerchant) -> dict[str, Any]:
    """Return a refund as WeChat takes it.

    Errors:
        InvalidParameter: WeChat cannot notify this address.
    """
    return merchant.sub_fields | {
        "out_trade_no": refund.order.attempt_no,
        "out_refund_no": refund.refund_no,
        "reason": _REASON.fit(refund.reason) or "refund",
        "notify_url": _notify_url(refund.notify_url, _LATER_NOTIFY_URL_MAX),
        "amount": {"refund": refund.amount_minor, "total": refund.order.amount_minor, "currency": "CNY"},
    }


def transfer_content(payout: PayoutRequest, merchant: WeChatMerchant, *, scene: TransferScene | None) -> dict[str, Any]:
    """Return a transfer as WeChat takes it.

    Errors:
        InvalidParameter: WeChat could not take it; `param` names the field.
    """
    openid = payout.payee.get("openid", "")
    if scene is None:
        raise InvalidParameter("this account has no transfer scene", param="transfer_scene")
    _check_currency(payout.currency)
    if not 0 < payout.amount_minor <= _AMOUNT_MINOR_MAX:
        raise InvalidParameter("`amount_minor` is not what one transfer can be of", param="amount_minor")
    if not (openid.isascii() and openid.isprintable() and 0 < len(openid) <= 64):
        raise InvalidParameter("a transfer needs the payee's openid", param="payee.openid")
    return {
        "appid": merchant.app_of(TRANSFER, payout.payee),
        "out_bill_no": to_bill_no(payout.payout_no),
        "transfer_scene_id": scene.id,
        "openid": openid,
        "transfer_amount": payout.amount_minor,
        "transfer_remark": _REMARK.fit(payout.remark) or "payout",
        "notify_url": _notify_url(payout.notify_url, _LATER_NOTIFY_URL_MAX),
        "transfer_scene_report_infos": [
            {"info_type": kind, "info_content": content} for kind, content in scene.report.items()
        ],
    }


def payee_name(payout: PayoutRequest) -> str | None:
    """Return the name against which WeChat checks the payee; None if it is not to be sent.

    Errors:
        InvalidParameter: WeChat requires a name, or could not take this one.
    """
    name = payout.payee.get("name", "").strip()
    if not name and payout.amount_minor > _UNNAMED_MINOR_MAX:
        raise InvalidParameter("`payee.name` is required for a transfer of 2,000 yuan or more", param="payee.name")
    if not name or payout.amount_minor < _NAMED_MINOR_MIN:
        return None
    if not name.isprintable() or len(name.encode()) > _NAME_BYTES_MAX:
        raise InvalidParameter("`payee.name` is no name that WeChat Pay takes", param="payee.name")
    return name


def to_bill_no(payout_no: str) -> str:
    """Return our number of a payout without its underscore, which WeChat does not take here.

    Errors:
        InvalidParameter: not a number of this kind.
    """
    match = _PAYOUT_NO.fullmatch(payout_no)
    if match is None:
        raise InvalidParameter("WeChat Pay does not take this number", param="payout_no")
    return match[1] + match[2]


def to_payout_no(bill_no: str) -> str:
    """Reverse `to_bill_no`; a number of another form is returned unchanged."""
    match = _BILL_NO.fullmatch(bill_no)
    return f"{match[1]}_{match[2]}" if match else bill_no


def _check_currency(currency: str) -> None:
    if currency != "CNY":
        raise InvalidParameter("WeChat Pay takes CNY only", param="currency")
