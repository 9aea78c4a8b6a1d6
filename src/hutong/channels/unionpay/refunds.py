"""UnionPay's ways to give money back: a refund, or the cancellation of a payment on its clearing day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hutong.channels.errors import NoAnswer
from hutong.channels.model import NOT_SENT, ChannelAnswer, ChannelState, RefundRequest
from hutong.channels.refusals import confirm_refusal
from hutong.channels.unionpay.authorizations import UnionPayAuthorizations
from hutong.channels.unionpay.client import UnionPayClient
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.channels.unionpay.requests import (
    COMPLETION_VOID_TYPE,
    REFUND_TYPE,
    VOID_TYPE,
    check_refund,
    check_void,
    refund_fields,
)
from hutong.channels.unionpay.responses import UnionPayResponses, is_duplicate


class UnionPayRefunds:
    """The refunds and cancellations of one account."""

    def __init__(
        self,
        client: UnionPayClient,
        responses: UnionPayResponses,
        credentials: UnionPayCredentials,
        authorizations: UnionPayAuthorizations,
    ) -> None:
        self._client = client
        self._responses = responses
        self._credentials = credentials
        self._authorizations = authorizations

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        return await self._submit(REFUND_TYPE, refund, now)

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        check_void(refund, self._credentials.bill.cut_hour)
        return await self._submit(VOID_TYPE if refund.order.capture else COMPLETION_VOID_TYPE, refund, now)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        answer = await self._client.query("refund_state", refund.refund_no, refund.created_at, now=now)
        is_other = answer.amount_minor not in (None, refund.amount_minor)
        if is_other and answer.state is not ChannelState.SUCCEEDED:
            return replace(answer, state=ChannelState.UNKNOWN)
        return answer

    async def _submit(self, txn_type: str, refund: RefundRequest, now: datetime) -> ChannelAnswer:
        check_refund(refund)
        original_no = refund.order.channel_order_no or await self._find_original(refund, now)
        if original_no is None:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code=NOT_SENT)
        fields = refund_fields(refund, txn_type, original_no, self._credentials)
        try:
            response = await self._client.call("backTransReq", fields, now)
        except NoAnswer as error:
            return error.answer
        answer = self._responses.code("refund", response.get("respCode"), response.get("respMsg"))
        return await confirm_refusal(
            answer, lambda: self.query_refund(refund, now=now), inconclusive=is_duplicate(answer), pending=True
        )

    async def _find_original(self, refund: RefundRequest, now: datetime) -> str | None:
        order = refund.order
        if not order.capture:
            return await self._authorizations.find_completion(order, now=now)
        return (await self._client.query("trade_state", order.attempt_no, order.placed_at, now=now)).channel_order_no
