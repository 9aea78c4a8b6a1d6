"""WeChat Pay's transfers to the balance of a person.

The payee's name is encrypted, differently each time that it is sent: the number identifies a repetition.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4012716434 (transfer, `user_name`);
    github.com/minibear2021/wechatpayv3, mchtransfer.py (from 0.3 yuan on, and required from 2,000).
"""

from __future__ import annotations

from datetime import datetime

from hutong.channels.errors import NoAnswer
from hutong.channels.model import NOT_SENT, ChannelAnswer, PayoutRequest
from hutong.channels.refusals import confirm_refusal
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.credentials import TransferScene, WeChatKeys
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.requests import payee_name, to_bill_no, transfer_content
from hutong.channels.wechat.responses import WeChatResponses, is_paid

_PATH = "/v3/fund-app/mch-transfer/transfer-bills"


class WeChatPayouts:
    """The transfers of one account."""

    def __init__(
        self,
        client: WeChatClient,
        keys: WeChatKeys,
        responses: WeChatResponses,
        merchant: WeChatMerchant,
        scene: TransferScene | None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._responses = responses
        self._merchant, self._scene = merchant, scene

    async def payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        transfer, name = transfer_content(payout, self._merchant, scene=self._scene), payee_name(payout)
        sealed = None if name is None else self._keys.encrypt(name, now=now)
        if name is not None and sealed is None:
            return NoAnswer(NOT_SENT, "no valid key of WeChat Pay's is held to encrypt the payee's name").answer
        encrypted, serial = sealed or (None, None)
        transfer |= {} if encrypted is None else {"user_name": encrypted}
        try:
            status, content = await self._client.call("POST", _PATH, now, transfer, serial=serial)
            if status == 200:
                return self._responses.payout_accepted(content, payout)
        except NoAnswer as error:
            return error.answer
        refusal = self._responses.refusal("payout", status, content)
        return await confirm_refusal(
            refusal, lambda: self.query_payout(payout, now=now), inconclusive=is_paid(refusal), pending=True
        )

    async def query_payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        bill_no = to_bill_no(payout.payout_no)
        try:
            status, content = await self._client.call("GET", f"{_PATH}/out-bill-no/{bill_no}", now)
            if status == 200:
                return self._responses.payout(content, bill_no)
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("query_payout", status, content)
