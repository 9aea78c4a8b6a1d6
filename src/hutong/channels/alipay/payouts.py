"""Alipay's transfers to an Alipay account.

Source:
    https://opendocs.alipay.com/open/02byuo (transfer), open/02byup (transfer query).
"""

from __future__ import annotations

from datetime import datetime

from hutong.channels.alipay.client import AlipayClient
from hutong.channels.alipay.requests import TRANSFER_PRODUCT, check_number, check_payout, transfer_content
from hutong.channels.alipay.responses import AlipayResponses, succeeded
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, PayoutRequest
from hutong.channels.refusals import confirm_refusal


class AlipayPayouts:
    """The transfers of one application."""

    def __init__(self, client: AlipayClient, responses: AlipayResponses) -> None:
        self._client = client
        self._responses = responses

    async def payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Send the money; repeating it under the same number sends it once."""
        check_payout(payout)
        try:
            node = await self._client.call("alipay.fund.trans.uni.transfer", transfer_content(payout), now=now)
            if succeeded(node):
                return self._responses.payout(node, payout)
        except NoAnswer as error:
            return error.answer
        refusal = self._responses.refusal("transfer", node)
        return await confirm_refusal(refusal, lambda: self.query_payout(payout, now=now), pending=True)

    async def query_payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Query a transfer by our number."""
        check_number(payout.payout_no, "payout_no")
        content = {"out_biz_no": payout.payout_no, **TRANSFER_PRODUCT}
        try:
            node = await self._client.call("alipay.fund.trans.common.query", content, now=now)
            if succeeded(node):
                return self._responses.payout(node, payout)
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("transfer_query", node)
