"""The validation of signed requests by UnionPay's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from hutong.clock import BEIJING
from hutong.sandbox.unionpay.keys import MER_ID, TERM_ID

_TIME = r"20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"
_URL = r"https?://[^\s]{1,247}"
_FORMS = {
    "version": r"5\.1\.0",
    "encoding": "UTF-8",
    "signMethod": "01",
    "certId": "[0-9]{1,20}",
    "signature": "[0-9A-Za-z+/=]{1,1024}",
    "txnType": "[0-9]{2}",
    "txnSubType": "[0-9]{2}",
    "bizType": "[0-9]{6}",
    "channelType": "0[78]",
    "accessType": "0",
    "merId": MER_ID,
    "orderId": "[0-9A-Za-z]{8,40}",
    "txnTime": _TIME,
    "txnAmt": "[1-9][0-9]{0,11}",
    "currencyCode": "156",
    "backUrl": _URL,
    "frontUrl": _URL,
    "payTimeout": _TIME,
    "orderDesc": r"[^&={}\[\]\"']{1,32}",
    "origQryId": "[0-9]{21}",
    "qrNo": "[0-9]{16,24}",
    "termId": TERM_ID,
    "bindId": "[0-9A-Za-z]{1,128}",
    "fileType": "00",
    "settleDate": "(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])",
}
_ALWAYS = frozenset(
    {"version", "encoding", "signMethod", "certId", "signature", "txnType", "txnSubType", "bizType", "accessType"}
    | {"merId", "txnTime"}
)
_PAYMENT = frozenset({"channelType", "orderId", "txnAmt", "currencyCode", "backUrl"})
_REQUIRED = {
    ("01", "01"): _PAYMENT,
    ("02", "01"): _PAYMENT,
    ("01", "06"): _PAYMENT | {"qrNo", "termId"},
    ("01", "07"): _PAYMENT,
    ("11", "00"): _PAYMENT | {"bindId"},
    **{
        (txn_type, "00"): frozenset({"channelType", "orderId", "txnAmt", "backUrl", "origQryId"})
        for txn_type in ("03", "04", "31", "32", "33")
    },
    ("00", "00"): frozenset({"orderId"}),
    ("76", "01"): frozenset({"fileType", "settleDate"}),
}
_BIZ_TYPES = {
    ("01", "01"): {"000201"},
    ("02", "01"): {"000201"},
    ("03", "00"): {"000201"},
    ("32", "00"): {"000201"},
    ("33", "00"): {"000201"},
    ("01", "06"): {"000000"},
    ("01", "07"): {"000000"},
    ("11", "00"): {"000501"},
    ("04", "00"): {"000201", "000000", "000501"},
    ("31", "00"): {"000201", "000000", "000501"},
    ("00", "00"): {"000000"},
    ("76", "01"): {"000000"},
}


class UnionPayRefusal(Exception):
    """A refusal by UnionPay: a code, and a message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_fields(fields: Mapping[str, str]) -> None:
    """Check the fields of a request.

    Errors:
        Refusal: a field is missing, unknown, or not of its form.
    """
    kind = (fields.get("txnType", ""), fields.get("txnSubType", ""))
    required = _REQUIRED.get(kind)
    if required is None:
        raise UnionPayRefusal("10", "报文格式错误，交易类型不正确")
    missing = (_ALWAYS | required) - fields.keys()
    if missing:
        raise UnionPayRefusal("13", f"报文交易要素缺失，缺少{min(missing)}")
    for name, value in fields.items():
        form = _FORMS.get(name)
        if form is None or not re.fullmatch(form, value):
            raise UnionPayRefusal("10", f"报文格式错误，{name}格式不正确")
    if fields["bizType"] not in _BIZ_TYPES[kind]:
        raise UnionPayRefusal("10", "报文格式错误，bizType格式不正确")
    if "payTimeout" in fields and fields["payTimeout"] <= fields["txnTime"]:
        raise UnionPayRefusal("10", "报文格式错误，payTimeout格式不正确")


def read_time(text: str) -> datetime:
    """Read a time in UnionPay's format, as Beijing time."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
