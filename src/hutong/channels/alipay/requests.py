"""What an order consists of at each of Alipay's ways to pay."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hutong.channels.alipay.client import BEIJING
from hutong.channels.capability import Capabilities, Method
from hutong.channels.model import ActionKind, PayRequest
from hutong.errors import InvalidParameter
from hutong.money import to_major

_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_AUTH_CODE = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")
_SUBJECT = str.maketrans({"/": "／", "=": "＝", "&": "＆", ",": "，", "\t": " ", "\r": " ", "\n": " ", "\0": ""})
"""Alipay refuses the first three in a subject; the others would break the rows of its bill."""


@dataclass(frozen=True, slots=True)
class Product:
    """A way to pay as Alipay calls it."""

    interface: str
    content: Mapping[str, str]
    method: Method


PRODUCTS: Mapping[str, Product] = {
    "alipay_qr": Product("alipay.trade.precreate", {"product_code": "QR_CODE_OFFLINE"}, Method(ActionKind.QR_CODE)),
    "alipay_code": Product(
        "alipay.trade.pay",
        {"product_code": "FACE_TO_FACE_PAYMENT", "scene": "bar_code"},
        Method(None, requires=frozenset({"auth_code"})),
    ),
    "alipay_page": Product(
        "alipay.trade.page.pay", {"product_code": "FAST_INSTANT_TRADE_PAY"}, Method(ActionKind.REDIRECT)
    ),
    "alipay_wap": Product("alipay.trade.wap.pay", {"product_code": "QUICK_WAP_WAY"}, Method(ActionKind.REDIRECT)),
    "alipay_app": Product("alipay.trade.app.pay", {"product_code": "QUICK_MSECURITY_PAY"}, Method(ActionKind.SDK)),
}

METHODS: Mapping[str, Method] = {name: product.method for name, product in PRODUCTS.items()}


def content_of(request: PayRequest, can: Capabilities) -> dict[str, Any]:
    """The order as Alipay takes it. The same request gives the same order, however often it is sent."""
    check_number(request.attempt_no)
    if not can.amount_minor_min <= request.amount_minor <= can.amount_minor_max:
        raise InvalidParameter("Alipay does not take this amount", param="amount_minor")
    # The payer's address is left out: placing again must repeat the order, and by then the payer may have moved.
    content = {
        "out_trade_no": request.attempt_no,
        "total_amount": to_major(request.amount_minor, request.currency),
        "subject": request.subject.translate(_SUBJECT)[: can.subject_length_max],
        "time_expire": request.expires_at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
        **PRODUCTS[request.method].content,
    }
    if request.method == "alipay_code":
        auth_code = request.payer.get("auth_code", "")
        if not _AUTH_CODE.fullmatch(auth_code):
            raise InvalidParameter("this is not a payment code of Alipay's", param="payer.auth_code")
        content["auth_code"] = auth_code
    return content


def check_number(number: str, param: str = "attempt_no") -> None:
    if not _NUMBER.fullmatch(number):
        raise InvalidParameter("Alipay does not take this number", param=param)
