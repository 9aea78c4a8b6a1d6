"""The parts that UnionPay's answers and notifications share: codes, numbers and traces."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hutong.clock import BEIJING, to_ns
from hutong.sandbox.store import Store
from hutong.sandbox.unionpay.bill import settle_date

Fields = dict[str, str]

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


def traces(at: datetime | None, channel_no: str) -> Fields:
    """Return the trace fields of a transaction; none before it is processed."""
    if at is None:
        return {}
    local = at.astimezone(BEIJING)
    return {"traceNo": channel_no[-6:], "traceTime": f"{local:%m%d%H%M%S}", "settleDate": f"{settle_date(at):%m%d}"}


def new_query_id(store: Store) -> str:
    """Return 21 digits that no other run of the sandbox produces."""
    count = len(store.orders) + len(store.refunds)
    return f"{to_ns(store.clock.now()) // 1000:016d}{count % 100_000:05d}"
