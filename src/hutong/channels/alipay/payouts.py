"""Alipay: sending money to an Alipay account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hutong.channels.alipay.client import Gateway, NoWord, succeeded
from hutong.channels.alipay.requests import check_number
from hutong.channels.alipay.responses import CURRENCY, check_currency, explain, fen, instant, refusal
from hutong.channels.codes.codes import Codes
from hutong.channels.model import ChannelAnswer, ChannelState, Payout, text
from hutong.errors import InvalidParameter
from hutong.money import to_major

_PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}
_IDENTITY_TYPES = ("ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID")
_AMOUNT_MINOR_MIN = 10
_TITLE = "转账"
_REMARK_LENGTH_MAX = 200


def check(payout: Payout) -> None:
    """Refuse what Alipay could not take; nothing is sent."""
    check_number(payout.payout_no, "payout_no")
    check_currency(payout.currency)
    if payout.amount_minor < _AMOUNT_MINOR_MIN:
        raise InvalidParameter("Alipay sends at least 0.10 yuan", param="amount_minor")
    if payout.payee.get("identity_type") not in _IDENTITY_TYPES:
        raise InvalidParameter(f"must be one of {', '.join(_IDENTITY_TYPES)}", param="payee.identity_type")
    for name in ("identity", "name"):
        if not payout.payee.get(name):
            raise InvalidParameter("Alipay asks for it", param=f"payee.{name}")


async def transfer(gateway: Gateway, codes: Codes, payout: Payout, *, now: datetime) -> ChannelAnswer:
    """Send the money; repeating it under the same number sends it once."""
    content = {
        "out_biz_no": payout.payout_no,
        "trans_amount": to_major(payout.amount_minor, payout.currency),
        "order_title": _TITLE,
        "payee_info": {name: payout.payee[name] for name in ("identity", "identity_type", "name")},
        **_PRODUCT,
    }
    if payout.remark:
        content["remark"] = payout.remark.replace("\0", "")[:_REMARK_LENGTH_MAX]
    try:
        node = await gateway.call("alipay.fund.trans.uni.transfer", content, now=now)
        if succeeded(node):
            return _told(codes, node, payout)
    except NoWord as nothing:
        return nothing.answer
    answer = refusal(codes, "transfer", node)
    if answer.state is not ChannelState.FAILED:
        return answer
    # A refusal speaks of one submission; an earlier one under the same number may stand.
    found = await query(gateway, codes, payout, now=now)
    if found.state in (ChannelState.SUCCEEDED, ChannelState.PENDING, ChannelState.FAILED):
        return found
    return answer if found.state is ChannelState.NOT_FOUND else replace(answer, state=ChannelState.UNKNOWN)


async def query(gateway: Gateway, codes: Codes, payout: Payout, *, now: datetime) -> ChannelAnswer:
    """Ask for a transfer by our number."""
    check_number(payout.payout_no, "payout_no")
    content = {"out_biz_no": payout.payout_no, **_PRODUCT}
    try:
        node = await gateway.call("alipay.fund.trans.common.query", content, now=now)
        if succeeded(node):
            return _told(codes, node, payout)
    except NoWord as nothing:
        return nothing.answer
    return refusal(codes, "transfer_query", node)


def _told(codes: Codes, node: Mapping[str, Any], payout: Payout) -> ChannelAnswer:
    if node.get("out_biz_no") != payout.payout_no:
        raise NoWord("not_ours", "the answer is about another transfer")
    if "trans_amount" in node and fen(node["trans_amount"]) != payout.amount_minor:
        raise NoWord("not_ours", "the answer is about another amount")
    word = text(node.get("status"), 64) or ""
    answer = explain(codes.read("transfer_status", word), word, text(node.get("fail_reason"), 256))
    if answer.state is ChannelState.FAILED and (error := text(node.get("error_code"), 64)) is not None:
        answer = replace(answer, channel_code=error)
    return replace(
        answer,
        amount_minor=payout.amount_minor,
        currency=CURRENCY,
        channel_order_no=text(node.get("order_id"), 64),
        happened_at=instant(node.get("pay_date") or node.get("trans_date")),
    )
