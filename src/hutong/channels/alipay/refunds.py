"""Alipay: giving money back, by a refund or by cancelling the payment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hutong.channels.alipay.client import Gateway, NoWord, succeeded
from hutong.channels.alipay.requests import check_number
from hutong.channels.alipay.responses import CURRENCY, check_currency, explain, fen, instant, refusal
from hutong.channels.capability import RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.model import ChannelAnswer, ChannelState, Refund, text
from hutong.errors import InvalidParameter
from hutong.money import to_major

_REASON_LENGTH_MAX = 256


def check(refund: Refund, rule: RefundRule) -> None:
    """Refuse what Alipay could not take; nothing is sent."""
    check_number(refund.refund_no, "refund_no")
    check_number(refund.order.attempt_no)
    check_currency(refund.order.currency)
    if not 0 < refund.amount_minor <= refund.order.amount_minor:
        raise InvalidParameter("a refund is at most what was paid", param="amount_minor")
    # One that was begun in time is still repeated afterwards, since only that tells what became of it.
    if refund.created_at - refund.order.placed_at > rule.window:
        raise InvalidParameter("Alipay refunds within a year only", param="payment")


async def refund(gateway: Gateway, codes: Codes, asked: Refund, *, now: datetime) -> ChannelAnswer:
    """Ask for a refund; repeating it under the same number gives money back once."""
    content = {
        "out_trade_no": asked.order.attempt_no,
        "out_request_no": asked.refund_no,
        "refund_amount": to_major(asked.amount_minor, asked.order.currency),
    }
    if asked.reason:
        content["refund_reason"] = asked.reason.replace("\0", "")[:_REASON_LENGTH_MAX]
    try:
        node = await gateway.call("alipay.trade.refund", content, now=now)
        if succeeded(node):
            _same(node, asked)
            # `refund_fee` is the sum of all refunds of the order; less than this one it cannot be.
            if node.get("fund_change") == "Y" and (fen(node.get("refund_fee")) or 0) >= asked.amount_minor:
                return replace(
                    explain(codes.read("fund_change", "Y"), "fund_change=Y"),
                    amount_minor=asked.amount_minor,
                    currency=CURRENCY,
                    channel_order_no=text(node.get("trade_no"), 64),
                    happened_at=instant(node.get("gmt_refund_pay")),
                )
            # Alipay has moved nothing in this call: it did in an earlier one, or has yet to.
            found = await query(gateway, codes, asked, now=now)
            told = found.state in (ChannelState.SUCCEEDED, ChannelState.UNKNOWN)
            return found if told else explain(codes.read("fund_change", "N"), "fund_change=N")
    except NoWord as nothing:
        return nothing.answer
    return await _refused(gateway, codes, "refund", node, asked, now=now)


async def query(gateway: Gateway, codes: Codes, asked: Refund, *, now: datetime) -> ChannelAnswer:
    """Ask for a refund by our number; a payment that was cancelled has one under the order's own number."""
    check_number(asked.refund_no, "refund_no")
    check_number(asked.order.attempt_no)
    found = await _ask(gateway, codes, asked, asked.refund_no, now=now)
    if found.state is ChannelState.NOT_FOUND and asked.amount_minor == asked.order.amount_minor:
        cancelled = await _ask(gateway, codes, asked, asked.order.attempt_no, now=now)
        if cancelled.state is ChannelState.SUCCEEDED:
            return cancelled
    return found


async def _ask(gateway: Gateway, codes: Codes, asked: Refund, number: str, *, now: datetime) -> ChannelAnswer:
    content = {
        "out_trade_no": asked.order.attempt_no,
        "out_request_no": number,
        "query_options": ["gmt_refund_pay"],
    }
    try:
        node = await gateway.call("alipay.trade.fastpay.refund.query", content, now=now)
        if not succeeded(node):
            return refusal(codes, "refund_query", node)
        word = text(node.get("refund_status"), 64)
        if word is None:
            # Alipay says nothing of a refund that it has not taken or that has failed; which one, it does not tell.
            return explain(codes.read("refund_status", "none"), "refund_status=none")
        _same(node, asked)
        if node.get("out_request_no") != number:
            raise NoWord("not_ours", "the answer is about another refund")
        amount_minor = fen(node.get("refund_amount"))
        if amount_minor != asked.amount_minor:
            raise NoWord("not_ours", "the answer is about another amount")
    except NoWord as nothing:
        return nothing.answer
    return replace(
        explain(codes.read("refund_status", word), word),
        amount_minor=amount_minor,
        currency=CURRENCY,
        channel_order_no=text(node.get("trade_no"), 64),
        happened_at=instant(node.get("gmt_refund_pay")),
    )


async def cancel(gateway: Gateway, attempt_no: str, *, now: datetime) -> dict[str, Any]:
    """Cancel an order: unpaid it is closed, paid its money goes back."""
    node = await gateway.call("alipay.trade.cancel", {"out_trade_no": attempt_no}, now=now)
    if succeeded(node) and node.get("out_trade_no") != attempt_no:
        raise NoWord("not_ours", "the answer is about another order")
    return node


def action_of(codes: Codes, node: Mapping[str, Any]) -> ChannelAnswer:
    """What Alipay did to cancel."""
    word = "retry" if node.get("retry_flag") == "Y" else text(node.get("action"), 64) or "none"
    return replace(
        explain(codes.read("cancel_action", word), f"action={word}"), channel_order_no=text(node.get("trade_no"), 64)
    )


async def void(gateway: Gateway, codes: Codes, asked: Refund, *, now: datetime) -> ChannelAnswer:
    """Cancel a payment, answered like a refund."""
    try:
        node = await cancel(gateway, asked.order.attempt_no, now=now)
    except NoWord as nothing:
        return nothing.answer
    if not succeeded(node):
        return await _refused(gateway, codes, "cancel", node, asked, now=now)
    answer = action_of(codes, node)
    if answer.state is ChannelState.CLOSED:
        # Nobody had paid, so there was nothing to give back.
        return replace(answer, state=ChannelState.FAILED)
    if answer.state is ChannelState.SUCCEEDED:
        return replace(answer, amount_minor=asked.amount_minor, currency=CURRENCY)
    return answer


async def _refused(
    gateway: Gateway, codes: Codes, interface: str, node: Mapping[str, Any], asked: Refund, *, now: datetime
) -> ChannelAnswer:
    """What a refusal amounts to: an earlier request under the same number may stand, so it is asked for."""
    answer = refusal(codes, interface, node)
    if answer.state is not ChannelState.FAILED:
        return answer
    found = await query(gateway, codes, asked, now=now)
    if found.state in (ChannelState.SUCCEEDED, ChannelState.PENDING):
        return found
    return answer if found.state is ChannelState.NOT_FOUND else replace(answer, state=ChannelState.UNKNOWN)


def _same(node: Mapping[str, Any], asked: Refund) -> None:
    if node.get("out_trade_no") != asked.order.attempt_no:
        raise NoWord("not_ours", "the answer is about another order")
