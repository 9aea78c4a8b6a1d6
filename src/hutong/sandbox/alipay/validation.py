"""The validation of requests by Alipay's rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hutong.clock import BEIJING
from hutong.money import from_major

_NUMBER = re.compile(r"[0-9A-Za-z_]{1,64}")
_YUAN = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,2})?")
_AMOUNT_MINOR_MAX = 10_000_000_000
_MESSAGES = {"40004": "Business Failed", "40001": "Missing Required Arguments"}


class AlipayRefusal(Exception):
    """A refusal by Alipay: its answer to a request that it does not fulfill."""

    def __init__(self, code: str, sub_code: str, sub_msg: str, *, msg: str | None = None) -> None:
        super().__init__(sub_code)
        message = msg or {"40004": "Business Failed", "40001": "Missing Required Arguments"}.get(
            code, "Invalid Arguments"
        )
        self.node: dict[str, Any] = {"code": code, "msg": message, "sub_code": sub_code, "sub_msg": sub_msg}


def check_order(content: Mapping[str, Any]) -> tuple[int, datetime | None]:
    """Check an order; return its amount and its expiry.

    Errors:
        AlipayRefusal: a field is missing, or has a value that Alipay does not accept.
    """
    number, subject = content.get("out_trade_no"), content.get("subject")
    if not isinstance(number, str) or not _NUMBER.fullmatch(number):
        raise invalid("out_trade_no")
    if not isinstance(subject, str) or not 0 < len(subject) <= 256 or set(subject) & set("/=&"):
        raise invalid("subject")
    end = content.get("time_expire")
    try:
        expires_at = datetime.fromisoformat(end).replace(tzinfo=BEIJING).astimezone(UTC) if end else None
    except (ValueError, TypeError):
        raise invalid("time_expire") from None
    return yuan(content.get("total_amount"), "total_amount"), expires_at


def invalid(name: str) -> AlipayRefusal:
    """Make the refusal of an invalid parameter."""
    return AlipayRefusal("40004", "ACQ.INVALID_PARAMETER", f"参数无效：{name}")


def yuan(value: object, name: str) -> int:
    """Read a positive amount in yuan with at most two decimals; refuse any other value."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # some SDKs send a number
    if not isinstance(value, str) or not _YUAN.fullmatch(value):
        raise invalid(name)
    amount_minor = from_major(value, "CNY")
    if not 0 < amount_minor <= _AMOUNT_MINOR_MAX:
        raise AlipayRefusal("40004", "ACQ.TOTAL_FEE_EXCEED", "订单总金额不在允许范围内")
    return amount_minor
