"""Whether a refund comes in time is decided by when it was asked for, however late it is sent or repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hutong.channels import OrderReference, RefundRequest
from hutong.channels.alipay import requests as alipay
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.unionpay import requests as unionpay
from hutong.channels.wechat import requests as wechat
from hutong.channels.wechat.adapter import WeChatPay
from hutong.errors import InvalidParameter

PAID = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
HOURS = timedelta(hours=1)
assert Alipay.capabilities.refund is not None


def refund(method: str, created_at: datetime) -> RefundRequest:
    order = OrderReference("att_01kas0000000000000000000aa", method, 8800, "CNY", PAID)
    return RefundRequest("ref_01kas0000000000000000000aa", order, 8800, "refund", "https://pay.example/n", created_at)


RULES: list[tuple[str, timedelta, Callable[[RefundRequest], object]]] = [
    ("wechat_native", timedelta(days=365), lambda r: wechat.check_refund(r, WeChatPay.capabilities)),
    ("alipay_qr", timedelta(days=365), lambda r: alipay.check_refund(r, Alipay.capabilities.refund)),  # type: ignore[arg-type]
    ("unionpay_front", unionpay.PRODUCTS["unionpay_front"].refund_window, unionpay.check_refund),
    ("alipay_qr", timedelta(hours=11), alipay.check_void),
    ("unionpay_front", timedelta(hours=10), lambda r: unionpay.check_void(r, 23)),
]


@pytest.mark.parametrize(("method", "window", "check"), RULES, ids=range(len(RULES)))
def test_a_window_is_counted_to_when_the_refund_was_asked_for(
    method: str, window: timedelta, check: Callable[[RefundRequest], object]
) -> None:
    edge = refund(method, PAID + window)
    check(edge)
    with pytest.raises(InvalidParameter):
        check(replace(edge, created_at=PAID + window + 3 * HOURS))
