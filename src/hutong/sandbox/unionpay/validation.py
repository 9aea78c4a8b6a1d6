"""The validation of signed requests by UnionPay's rules, which are in `rules.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hutong.clock import BEIJING
from hutong.sandbox.rules import Fault, PublishedRules
from hutong.sandbox.unionpay.keys import MER_ID, TERM_ID

RULES = PublishedRules.load("unionpay")


class UnionPayRefusal(Exception):
    """A refusal by UnionPay: a code, and a message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check(fields: Mapping[str, str], *, strict: bool) -> None:
    """Check the fields of a request by the rules of its transaction type.

    Errors:
        UnionPayRefusal: a field is missing, unknown, not of its form, or another merchant's.
    """
    interface = f"{fields.get('txnType', '')}-{fields.get('txnSubType', '')}"
    if interface not in RULES.interfaces:
        raise UnionPayRefusal("10", "报文格式错误，交易类型不正确")
    found = RULES.violation(interface, fields, strict=strict)
    if found is not None and found.fault is Fault.MISSING:
        raise UnionPayRefusal("13", f"报文交易要素缺失，缺少{found.path[0]}")
    wrong = [] if found is None else [found.path[0]]
    wrong += [name for name, own in (("merId", MER_ID), ("termId", TERM_ID)) if fields.get(name, own) != own]
    if fields.get("payTimeout", "9") <= fields["txnTime"]:
        wrong.append("payTimeout")
    if wrong:
        raise UnionPayRefusal("10", f"报文格式错误，{wrong[0]}格式不正确")


def read_time(text: str) -> datetime:
    """Read a time in UnionPay's format, as Beijing time."""
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
