"""WeChat Pay's refunds."""

from __future__ import annotations

from datetime import datetime

from hutong.channels.capability import Capabilities
from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, RefundRequest
from hutong.channels.refusals import confirm_refusal
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.requests import check_number, check_refund, refund_content
from hutong.channels.wechat.responses import WeChatResponses, given_back, is_paid

_PATH = "/v3/refund/domestic/refunds"


class WeChatRefunds:
    """The refunds of one account."""

    def __init__(
        self,
        client: WeChatClient,
        responses: WeChatResponses,
        merchant: WeChatMerchant,
        capabilities: Capabilities,
        funds_account: str | None,
    ) -> None:
        self._client = client
        self._responses = responses
        self._merchant = merchant
        self._source = {} if funds_account is None else {"funds_account": funds_account}
        self._capabilities = capabilities

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        check_refund(refund, self._capabilities)
        try:
            status, content = await self._client.call(
                "POST", _PATH, now, refund_content(refund, self._merchant) | self._source
            )
            if status == 200:
                return self._responses.refund(content, refund.refund_no)
        except NoAnswer as error:
            return error.answer
        refusal = self._responses.refusal("refund", status, content)
        return await confirm_refusal(
            given_back(refusal), lambda: self.query_refund(refund, now=now), inconclusive=is_paid(refusal), pending=True
        )

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        check_number(refund.refund_no, "refund_no")
        sub_mchid = self._merchant.sub_mchid
        target = f"{_PATH}/{refund.refund_no}" + ("" if sub_mchid is None else f"?sub_mchid={sub_mchid}")
        try:
            status, content = await self._client.call("GET", target, now)
            if status == 200:
                return self._responses.refund(content, refund.refund_no)
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("query_refund", status, content)
