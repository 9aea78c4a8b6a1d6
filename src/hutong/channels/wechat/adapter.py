"""WeChat Pay API v3: Native, JSAPI, H5, App and code payment; refunds; transfers; bills.

Nothing final is believed without WeChat's signature over the raw bytes: an answer that is unsigned, wrongly signed,
stale, unreadable, about another order or with a code we do not know is UNKNOWN, and its words are kept.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (query), 4012556398 (close), 4012525110 (notification),
    4012791862 (refund), 4013071041 (query a refund), 4012791865 (refund notification),
    4012716434 (transfer), 4012716437 (query a transfer), 4012712115 (transfer notification).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from hutong.channels.bill import Bill, BillRow
from hutong.channels.capability import BillRule, Capabilities, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NotificationRefused
from hutong.channels.http import Http
from hutong.channels.model import (
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    Order,
    Payout,
    PayRequest,
    Refund,
)
from hutong.channels.protocol import Channel, Finding
from hutong.channels.wechat import bill as wechat_bill
from hutong.channels.wechat import diagnostics as wechat_diagnosis
from hutong.channels.wechat import requests as wechat_order
from hutong.channels.wechat import responses as wechat_said
from hutong.channels.wechat.client import NoWord, Wire
from hutong.channels.wechat.credentials import Unproven, WeChatCredentials, WeChatKeys
from hutong.errors import InvalidParameter

_NUMBER = re.compile(r"[0-9A-Za-z_-]{6,32}")
_PAID = frozenset({"ORDERPAID", "ORDER_PAID"})
_FINAL = (ChannelState.SUCCEEDED, ChannelState.CLOSED, ChannelState.FAILED)

Ask = Callable[[], Awaitable[ChannelAnswer]]


class WeChatPay(Channel):
    """One merchant account, in public-key mode, certificate mode, or on the way from one to the other."""

    capabilities = Capabilities(
        channel="wechat",
        methods=wechat_order.METHODS,
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=2**31 - 1,
        order_no_length_max=32,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),  # the code that the payer scans lives no longer
        notifies=True,
        resubmits=True,
        subject_length_max=wechat_order.SUBJECT_LENGTH_MAX,
        refund=RefundRule(window=timedelta(days=365), count_max=50, returns_fee=True, notifies=True),
        payout_methods=frozenset({"wechat_balance"}),
        payee_requires=frozenset({"openid"}),
        bill=BillRule(
            kinds=("trade", "fund_flow"),
            format="wechat_csv",
            ready_hour=10,
            utc_offset=timedelta(hours=8),
            kept=timedelta(days=90),
        ),
    )
    Credentials: ClassVar[type[BaseModel]] = WeChatCredentials
    code_map = files("hutong.channels.codes") / "maps" / "wechat.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "wechat.documented.csv"

    def __init__(
        self,
        credentials: WeChatCredentials,
        http: Http,
        codes: Codes,
        *,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._credentials = credentials
        self._mchid, self._appid = credentials.mchid, credentials.appid
        self._keys = WeChatKeys(credentials)
        self._wire = Wire(credentials, self._keys, http, nonce)
        self._said = wechat_said.Reader(self._mchid, self._appid, codes)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order; PENDING carries what the payer does. A code payment is decided at once, or PENDING while
        the payer is asked for his password."""
        if request.method not in self.capabilities.methods:
            raise InvalidParameter("WeChat Pay does not offer this method", param="method")
        if request.currency not in self.capabilities.currencies:
            raise InvalidParameter("WeChat Pay takes CNY only", param="currency")
        if not request.capture:
            raise InvalidParameter("WeChat Pay cannot reserve money", param="capture")
        _check_number(request.attempt_no)
        content = wechat_order.content(request, mchid=self._mchid, appid=self._appid)
        try:
            status, answer = await self._wire.call("POST", wechat_order.PATHS[request.method], now, content)
            if status == 200 and request.method == "wechat_code":
                return self._said.order(answer, request.attempt_no)
        except NoWord as nothing:
            return nothing.answer
        if status == 200:
            action = wechat_order.action(request, answer, self._keys, now=now, nonce=self._wire.nonce)
            if action is not None:
                return ChannelAnswer(ChannelState.PENDING, action=action)
        refusal = self._said.refusal("pay", status, answer)
        return await self._verified(refusal, lambda: self._query(request.attempt_no, now))

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask for the order by our number."""
        _check_number(order.attempt_no)
        return await self._query(order.attempt_no, now)

    async def _query(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        target = f"/v3/pay/transactions/out-trade-no/{attempt_no}?mchid={self._mchid}"
        return await self._ask("query", target, now, lambda answer: self._said.order(answer, attempt_no))

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Close the order, or reverse a code payment that is not paid; where WeChat says that it is paid, the answer
        is what a query then tells."""
        _check_number(order.attempt_no)
        if order.method == "wechat_code":
            # A reversal gives back what was taken: only an order that a query shows unpaid may be reversed.
            found = await self._query(order.attempt_no, now)
            if found.state is not ChannelState.PENDING:
                return found
        verb = "reverse" if order.method == "wechat_code" else "close"
        target = f"/v3/pay/transactions/out-trade-no/{order.attempt_no}/{verb}"
        content = {"mchid": self._mchid} | ({"appid": self._appid} if verb == "reverse" else {})
        try:
            status, answer = await self._wire.call("POST", target, now, content)
        except NoWord as nothing:
            return nothing.answer
        if (verb, status) == ("reverse", 200):
            return await self._query(order.attempt_no, now)
        if status == 204:
            return ChannelAnswer(ChannelState.CLOSED)
        refusal = self._said.refusal("close", status, answer)
        return await self._verified(refusal, lambda: self._query(order.attempt_no, now))

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask for a refund; WeChat accepts it first and tells the outcome later."""
        self._check_refund(refund, now)
        content = {
            "out_trade_no": refund.order.attempt_no,
            "out_refund_no": refund.refund_no,
            "reason": refund.reason[:80] or "refund",
            "notify_url": refund.notify_url,
            "amount": {"refund": refund.amount_minor, "total": refund.order.amount_minor, "currency": "CNY"},
        }
        try:
            status, answer = await self._wire.call("POST", "/v3/refund/domestic/refunds", now, content)
            if status == 200:
                return self._said.refund(answer, refund.refund_no)
        except NoWord as nothing:
            return nothing.answer
        refusal = self._said.refusal("refund", status, answer)
        return await self._verified(refusal, lambda: self.query_refund(refund, now=now))

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask for the refund by our number."""
        _check_number(refund.refund_no, "refund_no")
        target = f"/v3/refund/domestic/refunds/{refund.refund_no}"
        return await self._ask("query_refund", target, now, lambda answer: self._said.refund(answer, refund.refund_no))

    async def payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Send money to a payer's WeChat balance. He confirms it first; until then it is PENDING, and the action is
        what his page needs for that."""
        content = wechat_said.transfer(payout, appid=self._appid, scene=self._credentials.transfer_scene)
        try:
            status, answer = await self._wire.call("POST", "/v3/fund-app/mch-transfer/transfer-bills", now, content)
            if status == 200:
                return self._said.payout_accepted(answer, payout)
        except NoWord as nothing:
            return nothing.answer
        refusal = self._said.refusal("payout", status, answer)
        return await self._verified(refusal, lambda: self.query_payout(payout, now=now))

    async def query_payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Ask for the transfer by our number."""
        number = wechat_said.bill_no(payout.payout_no)
        target = f"/v3/fund-app/mch-transfer/transfer-bills/out-bill-no/{number}"
        return await self._ask("query_payout", target, now, lambda answer: self._said.payout(answer, number))

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify, decrypt and read a notification; it must be about this merchant."""
        try:
            self._keys.verify(headers, body, now=now)
            about, number, notification_id, answer = self._said.notification(body, self._keys.decrypt)
        except Unproven as error:
            raise NotificationRefused(f"the notification is refused: {error}") from None
        except NoWord as nothing:
            raise NotificationRefused(f"the notification is refused: {nothing.answer.channel_code}") from None
        # WeChat signs each repetition anew, so the very same signature is a replay.
        replay_key = hashlib.sha256(headers["wechatpay-signature"].encode()).digest()
        return Notification(notification_id, number, answer, about, replay_key)

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(204)

    def refuse_notification(self, reason: str) -> HttpAnswer:  # noqa: ARG002 - a forger learns nothing from us
        return HttpAnswer(401, b'{"code":"FAIL","message":"refused"}', {"content-type": "application/json"})

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Ask for the bill's one-time address and its hash, fetch it, unpack it, and check it against the hash."""
        return await wechat_bill.download(self._wire, self._said, kind, day, folder, now=now)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return wechat_bill.read(bill)

    async def diagnose(self, *, now: datetime) -> list[Finding]:
        return await wechat_diagnosis.diagnose(self._credentials, self._keys, self._wire, now=now)

    async def _ask(
        self, interface: str, target: str, now: datetime, read: Callable[[Mapping[str, Any]], ChannelAnswer]
    ) -> ChannelAnswer:
        try:
            status, answer = await self._wire.call("GET", target, now)
            return read(answer) if status == 200 else self._said.refusal(interface, status, answer)
        except NoWord as nothing:
            return nothing.answer

    async def _verified(self, refusal: ChannelAnswer, ask: Ask) -> ChannelAnswer:
        """What a refusal amounts to, once a query has shown what became of the number.

        That an order is paid tells neither amount nor number. And a refusal speaks of one submission: an earlier one
        under the same number, whose reply was lost, may have left something behind, so only a number that WeChat does
        not know is believed to have failed.
        """
        paid = refusal.channel_code in _PAID
        if not paid and refusal.state is not ChannelState.FAILED:
            return refusal
        found = await ask()
        if found.state in _FINAL:
            return found
        if found.state is ChannelState.NOT_FOUND and not paid:
            return refusal
        return replace(refusal, state=ChannelState.UNKNOWN)

    def _check_refund(self, refund: Refund, now: datetime) -> None:
        _check_number(refund.refund_no, "refund_no")
        _check_number(refund.order.attempt_no)
        rule = self.capabilities.refund
        assert rule is not None
        if refund.order.currency != "CNY":
            raise InvalidParameter("WeChat Pay takes CNY only", param="currency")
        if not 0 < refund.amount_minor <= refund.order.amount_minor:
            raise InvalidParameter("not more than the order can be given back", param="amount_minor")
        if now - refund.order.placed_at > rule.window + self.capabilities.expiry_max:
            raise InvalidParameter("WeChat Pay gives money back within a year", param="order")


def _check_number(number: str, param: str = "attempt_no") -> None:
    if not _NUMBER.fullmatch(number):
        raise InvalidParameter("WeChat Pay does not take this number", param=param)
