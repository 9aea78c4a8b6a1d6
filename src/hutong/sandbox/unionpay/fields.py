"""The parts that UnionPay's answers and notifications share: codes, numbers and traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from hutong.clock import to_ns
from hutong.sandbox.records import SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.bill import settle_date, trace_time
from hutong.sandbox.unionpay.keys import MER_ID

Fields = dict[str, str]

_SPONSORS = {"channel": "00010000", "platform": "03080000", "merchant": MER_ID}
"""The sponsor of a coupon: UnionPay, the payer's bank, or the merchant."""

MESSAGES = {
    "00": "成功[0000000]",
    "05": "交易已受理，请稍后查询交易结果[6000005]",
    "60": "交易失败，详情请咨询您的发卡行[1000060]",
    "64": "卡上的余额不足[1000051]",
    "69": "您的输入超时，交易失败[2069000]",
}
"""The messages of the response codes."""


def response(code: str) -> Fields:
    """Return the fields of a response code."""
    return {"respCode": code, "respMsg": MESSAGES[code]}


def transaction_fields(content: Mapping[str, str]) -> Fields:
    """Return the fields of a request that identify its transaction's kind and time."""
    return {name: content[name] for name in ("txnType", "txnSubType", "bizType", "accessType", "txnTime")}


def traces(at: datetime | None, channel_no: str, content: Mapping[str, str]) -> Fields:
    """Return the trace fields of a transaction; none before it is processed."""
    if at is None:
        return {}
    return {"traceNo": channel_no[-6:], "traceTime": trace_time(content), "settleDate": f"{settle_date(at):%m%d}"}


def settlement(settled_minor: int) -> Fields:
    """Return the fields of what is settled, before the fee."""
    return {"settleAmt": str(settled_minor), "settleCurrencyCode": "156"}


def discounts(order: SandboxOrder, parts: Sequence[int], ordered_minor: int) -> Fields:
    """Return the fields of a transaction with coupons: what was ordered, and who bears which part."""
    kind = {"type": "DD01", "id": "cupcp01000023"}
    coupons = [
        kind | {"spnsrId": _SPONSORS[coupon.funder], "offstAmt": str(part), "desc": coupon.name}
        for coupon, part in zip(order.coupons, parts, strict=True)
        if part
    ]
    return {"origTxnAmt": str(ordered_minor)} | ({"couponInfo": orjson.dumps(coupons).decode()} if coupons else {})


def new_query_id(store: Store, others: int = 0) -> str:
    """Return 21 digits that no other run of the sandbox produces.

    Args:
        others: How many transactions there are beside orders and refunds.
    """
    count = len(store.orders) + len(store.refunds) + others
    return f"{to_ns(store.clock.now()) // 1000:016d}{count % 100_000:05d}"
