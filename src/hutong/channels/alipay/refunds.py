"""Alipay's ways to give money back: a refund, or the cancellation of the payment.

Source:
    https://opendocs.alipay.com/open/02ekfs (refund), open/02ekft (refund query), open/02ekfr (cancel).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hutong.channels.alipay.client import AlipayClient
from hutong.channels.alipay.requests import CURRENCY, check_number, check_refund, check_void, refund_content
from hutong.channels.alipay.responses import AlipayResponses, check_same_order, succeeded, to_minor
from hutong.channels.capability import Capabilities
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, ChannelState, RefundRequest
from hutong.channels.refusals import confirm_refusal


class AlipayRefunds:
    """The refunds and cancellations of one application."""

    def __init__(self, client: AlipayClient, responses: AlipayResponses, capabilities: Capabilities) -> None:
        self._client = client
        self._responses = responses
        self._capabilities = capabilities

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Request a refund; repeating it under the same number gives money back once."""
        rule = self._capabilities.refund
        assert rule is not None
        check_refund(refund, rule)
        try:
            node = await self._client.call("alipay.trade.refund", refund_content(refund), now=now)
            if succeeded(node):
                return await self._accepted(node, refund, now)
        except NoAnswer as error:
            return error.answer
        return await self._confirm("refund", node, refund, now)

    async def _accepted(self, node: Mapping[str, Any], refund: RefundRequest, now: datetime) -> ChannelAnswer:
        check_same_order(node, refund.order.attempt_no)
        # `refund_fee` is the sum of all refunds of the order, so it is at least the amount of this one.
        if node.get("fund_change") == "Y" and (to_minor(node.get("refund_fee")) or 0) >= refund.amount_minor:
            return self._responses.refunded(
                self._responses.status("fund_change", "Y", shown="fund_change=Y"), node, refund
            )
        # Alipay has moved nothing in this call: an earlier one did, or the money is still to move.
        answer = await self.query_refund(refund, now=now)
        if answer.state in (ChannelState.SUCCEEDED, ChannelState.UNKNOWN):
            return answer
        return self._responses.status("fund_change", "N", shown="fund_change=N")

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query a refund by our number; that of a cancelled payment stands under the order's own number."""
        check_number(refund.refund_no, "refund_no")
        check_number(refund.order.attempt_no)
        answer = await self._query(refund, refund.refund_no, now)
        if answer.state is ChannelState.NOT_FOUND and refund.amount_minor == refund.order.amount_minor:
            cancelled = await self._query(refund, refund.order.attempt_no, now)
            if cancelled.state in (ChannelState.SUCCEEDED, ChannelState.UNKNOWN):
                return cancelled
        return answer

    async def _query(self, refund: RefundRequest, number: str, now: datetime) -> ChannelAnswer:
        content = {
            "out_trade_no": refund.order.attempt_no,
            "out_request_no": number,
            "query_options": ["gmt_refund_pay", "refund_detail_item_list"],
        }
        try:
            node = await self._client.call("alipay.trade.fastpay.refund.query", content, now=now)
            if succeeded(node):
                return self._responses.refund(node, refund, number)
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("refund_query", node)

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Cancel a payment, answered like a refund."""
        check_void(refund)
        try:
            node = await self.cancel(refund.order.attempt_no, now=now)
        except NoAnswer as error:
            return error.answer
        if not succeeded(node):
            return await self._confirm("cancel", node, refund, now)
        answer = self._responses.cancellation(node)
        if answer.state is ChannelState.CLOSED:
            # Nobody had paid, so there was nothing to give back.
            return replace(answer, state=ChannelState.FAILED)
        if answer.state is ChannelState.SUCCEEDED:
            return replace(answer, amount_minor=refund.amount_minor, currency=CURRENCY)
        return answer

    async def cancel(self, attempt_no: str, *, now: datetime) -> dict[str, Any]:
        """Cancel an order: an unpaid one is closed, the money of a paid one goes back.

        Errors:
            NoAnswer: no proven answer about this order.
        """
        node = await self._client.call("alipay.trade.cancel", {"out_trade_no": attempt_no}, now=now)
        if succeeded(node):
            check_same_order(node, attempt_no)
        return node

    async def _confirm(
        self, interface: str, node: Mapping[str, Any], refund: RefundRequest, now: datetime
    ) -> ChannelAnswer:
        refusal = self._responses.refusal(interface, node)
        return await confirm_refusal(refusal, lambda: self.query_refund(refund, now=now), pending=True)
