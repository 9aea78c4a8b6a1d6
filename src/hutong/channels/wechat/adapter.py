"""WeChat Pay API v3: Native, JSAPI, H5, App and code payment; refunds; transfers; complaints; bills.

Nothing final is accepted without WeChat's signature over the raw bytes: an answer that is unsigned, wrongly signed,
stale, unreadable, about another order or with an unmapped code is UNKNOWN, and its code and message are kept.

Source:
    https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (query), 4012556398 (close).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from hutong.channels.bill import Bill, BillIdentity, BillRow
from hutong.channels.capability import BillRule, Capabilities, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.disputes import DisputeReport, DisputeResponse, ResponseAnswer
from hutong.channels.errors import NoAnswer, NotOffered
from hutong.channels.http import Http
from hutong.channels.model import (
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    OrderReference,
    PayoutRequest,
    PayRequest,
    RefundRequest,
)
from hutong.channels.protocol import AccountFinding, Channel
from hutong.channels.refusals import confirm_refusal
from hutong.channels.wechat.bill import download_bill, read_bill
from hutong.channels.wechat.client import WeChatClient
from hutong.channels.wechat.credentials import WeChatCredentials, WeChatKeys
from hutong.channels.wechat.diagnostics import diagnose, register_address
from hutong.channels.wechat.disputes import RULE, WeChatDisputes
from hutong.channels.wechat.identity import METHOD, WeChatIdentity
from hutong.channels.wechat.merchant import WeChatMerchant
from hutong.channels.wechat.notifications import parse_notification
from hutong.channels.wechat.payouts import WeChatPayouts
from hutong.channels.wechat.refunds import WeChatRefunds
from hutong.channels.wechat.requests import METHODS, PRODUCTS, REVERSED_AFTER, check_number, check_order, order_content
from hutong.channels.wechat.responses import WeChatResponses, is_paid, payer_action

_BILL = BillRule(
    kinds=("trade", "fund_flow"),
    format="wechat_trade",
    ready_hour=10,
    utc_offset=timedelta(hours=8),
    kept=timedelta(days=90),
)


class WeChatPay(Channel):
    """One merchant account, in public-key mode, certificate mode, or on the way from one to the other.

    The merchant calls on its own, or a service provider calls for it.
    """

    capabilities = Capabilities(
        channel="wechat",
        methods=METHODS,
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=2**31 - 1,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),  # the code that the payer scans lives no longer
        resubmits=True,
        refund=RefundRule(window=timedelta(days=365), count_max=50, returns_fee=True),
        payout_methods=frozenset({"wechat_balance"}),
        payee_requires=frozenset({"openid"}),
        bill=_BILL,
        disputes=RULE,
    )
    acceptance = HttpAnswer(204)
    refusal = HttpAnswer(401, b'{"code":"FAIL","message":"refused"}', {"content-type": "application/json"})
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
        self._merchant = merchant = WeChatMerchant.of(credentials)
        if merchant.sub_mchid is not None:
            self.capabilities = _UNDER_A_PROVIDER
        self._identity = WeChatIdentity(credentials, merchant, http)
        if self._identity.is_offered:
            methods = dict(self.capabilities.methods)
            methods[METHOD] = replace(methods[METHOD], identifies=methods[METHOD].requires)
            self.capabilities = replace(self.capabilities, methods=methods)
        self._keys = WeChatKeys(credentials)
        self._client = WeChatClient(credentials, self._keys, http, nonce)
        self._responses = WeChatResponses(merchant, codes)
        self._refunds = WeChatRefunds(
            self._client, self._responses, merchant, self.capabilities, credentials.funds_account
        )
        self._payouts = WeChatPayouts(self._client, self._keys, self._responses, merchant, credentials.transfer_scene)
        self._disputes = WeChatDisputes(self._client, self._responses, merchant)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order.

        Returns:
            PENDING with the payer's action. A code payment is decided at once, or PENDING while WeChat asks the payer
            for the password.
        """
        check_order(request)
        content = order_content(request, self._merchant)
        target = f"{self._merchant.orders_path}/{PRODUCTS[request.method]}"
        try:
            status, answer = await self._client.call("POST", target, now, content)
            if status == 200 and request.method == "wechat_code":
                return self._responses.order(answer, request.attempt_no)
        except NoAnswer as error:
            return error.answer
        if status == 200:
            action = payer_action(request, answer, self._merchant, self._keys, now=now, nonce=self._client.nonce)
            if action is not None:
                return ChannelAnswer(ChannelState.PENDING, action=action)
        refusal = self._responses.refusal("pay", status, answer)
        return await self._confirm(refusal, request.attempt_no, now)

    def identify_url(self, method: str, return_url: str, state: str) -> str:
        """Return the address by which WeChat's browser tells us the payer's openid."""
        self._check_identified(method)
        return self._identity.url(return_url, state)

    async def identify(self, method: str, code: str) -> Mapping[str, str] | None:
        """Return the openid behind a code of WeChat's browser."""
        self._check_identified(method)
        return await self._identity.ask(code)

    def _check_identified(self, method: str) -> None:
        if method != METHOD or not self._identity.is_offered:
            raise NotOffered("the app's secret is not in app_secrets")

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the order by our number."""
        check_number(order.attempt_no)
        return await self._query(order.attempt_no, now)

    async def _query(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        try:
            status, answer = await self._client.call("GET", self._merchant.order_target(attempt_no), now)
            if status == 200:
                return self._responses.order(answer, attempt_no)
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("query", status, answer)

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Close the order, or reverse a code payment unless a query proves how it has ended.

        Where WeChat refuses because the order is paid, the answer is that of a query. WeChat asks to reverse no sooner
        than 15 seconds after the payment; until then the answer is that of a query, too.
        """
        check_number(order.attempt_no)
        if order.method == "wechat_code":
            # A reversal gives back money that was taken: an order that a query shows paid is not reversed.
            current = await self._query(order.attempt_no, now)
            is_known = current.state not in (ChannelState.PENDING, ChannelState.UNKNOWN)
            if is_known or now - order.placed_at < REVERSED_AFTER:
                return current
        verb = "reverse" if order.method == "wechat_code" else "close"
        merchant, target = self._merchant, f"{self._merchant.orders_path}/out-trade-no/{order.attempt_no}/{verb}"
        content = merchant.party_fields
        if verb == "reverse":
            content = merchant.order_fields(merchant.app_of(order.method, {}))
        try:
            status, answer = await self._client.call("POST", target, now, content)
        except NoAnswer as error:
            return error.answer
        if (verb, status) == ("reverse", 200):
            return await self._query(order.attempt_no, now)
        if status == 204:
            return ChannelAnswer(ChannelState.CLOSED)
        return await self._confirm(self._responses.refusal("close", status, answer), order.attempt_no, now)

    async def _confirm(self, refusal: ChannelAnswer, attempt_no: str, now: datetime) -> ChannelAnswer:
        # The refusal of a paid order carries neither its amount nor its number.
        return await confirm_refusal(refusal, lambda: self._query(attempt_no, now), inconclusive=is_paid(refusal))

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Request a refund; WeChat accepts it first and reports the outcome later."""
        return await self._refunds.refund(refund, now=now)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query the refund by our number."""
        return await self._refunds.query_refund(refund, now=now)

    async def payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Send money to a WeChat balance.

        Returns:
            PENDING until the payee confirms the transfer; the action is what their page needs for that.
        """
        self._check_payouts()
        return await self._payouts.payout(payout, now=now)

    async def query_payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Query the transfer by our number."""
        self._check_payouts()
        return await self._payouts.query_payout(payout, now=now)

    def _check_payouts(self) -> None:
        if not self.capabilities.payout_methods:
            raise NotOffered("a service provider sends no transfers")

    async def query_dispute(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query a complaint, also one against another merchant under the same service provider."""
        return await self._disputes.query(dispute_no, now=now)

    async def list_disputes(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the complaints of a day in Beijing."""
        return await self._disputes.list_day(day, now=now)

    async def respond_to_dispute(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Reply to a complaint, or report it as settled, or both."""
        return await self._disputes.respond(response, now=now)

    async def register_address(self, url: str, *, now: datetime) -> AccountFinding:
        """Register where WeChat notifies of complaints, one address for all merchants under a service provider."""
        return await register_address(self._client, url, now=now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify, decrypt and read a notification; it must be about this merchant."""
        return parse_notification(self._keys, self._responses, headers, body, now=now)

    async def fetch_named_key(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:  # noqa: ARG002 - the key is in a header
        return await self._client.obtain_key(headers.get("wechatpay-serial", ""), now, patient=False)

    def adopted_keys(self) -> Mapping[str, str]:
        return self._keys.adopted

    def adopt_keys(self, keys: Mapping[str, str]) -> None:
        self._keys.adopt(keys)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Request the bill's one-time address and its hash, fetch the bill, unpack it, and check it."""
        return await download_bill(self._client, self._responses, self._merchant, kind, day, folder, now=now)

    def bill_identity(self) -> BillIdentity:
        return BillIdentity(self._merchant.sub_mchid or self._merchant.mchid)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return read_bill(bill, self._merchant.sub_mchid)

    async def diagnose(self, *, now: datetime) -> list[AccountFinding]:
        return await diagnose(self._credentials, self._merchant, self._keys, self._client, now=now)


_UNDER_A_PROVIDER = replace(
    WeChatPay.capabilities,
    payout_methods=frozenset(),
    payee_requires=frozenset(),
    bill=replace(_BILL, kinds=("trade",)),
)
"""A merchant under a service provider: transfers and the plain fund-flow bill are for merchants on their own."""
