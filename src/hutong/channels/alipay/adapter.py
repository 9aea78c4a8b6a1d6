"""Alipay open platform: order code, payment code, pages, application, mini program; refunds, transfers, complaints.

Nothing final is accepted without Alipay's signature: an answer that is unsigned, wrongly signed, unreadable, about
another order or with an unmapped code is UNKNOWN, and its code and message are kept.

Source:
    https://opendocs.alipay.com/open/05osv9 (precreate), open/02ekfp (pay), open/028r8t (page), open/02ivbs (wap),
    open/02e7gq (app), open/02ekfq (query), open/02o6e8 (close), open/02ekfr (cancel);
    https://docs.open.alipay.com/api_1/alipay.trade.create and https://help.aliyun.com/document_detail/2978207.html
    (mini program).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import BaseModel

from hutong.channels.alipay.bill import download_bill, read_bill
from hutong.channels.alipay.client import AlipayClient, order_string
from hutong.channels.alipay.credentials import AlipayCredentials, AlipayKeys
from hutong.channels.alipay.diagnostics import diagnose
from hutong.channels.alipay.disputes import RULE, AlipayDisputes
from hutong.channels.alipay.notifications import named_certificate, parse_notification
from hutong.channels.alipay.payouts import AlipayPayouts
from hutong.channels.alipay.refunds import AlipayRefunds
from hutong.channels.alipay.requests import METHODS, PRODUCTS, SUMS_OPTIONS, check_number, check_order, order_content
from hutong.channels.alipay.responses import AlipayResponses, check_same_order, has_ended, payer_action, succeeded
from hutong.channels.bill import Bill, BillIdentity, BillRow
from hutong.channels.capability import BillRule, Capabilities, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.disputes import DisputeReport, DisputeResponse, ResponseAnswer
from hutong.channels.errors import NoAnswer, NotAuthentic
from hutong.channels.http import Http
from hutong.channels.model import (
    FINAL_STATES,
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    OrderReference,
    PayerAction,
    PayoutRequest,
    PayRequest,
    RefundRequest,
    after_sending,
)
from hutong.channels.protocol import AccountFinding, Channel
from hutong.channels.refusals import confirm_refusal
from hutong.errors import InvalidParameter


class Alipay(Channel):
    """One application of one merchant, in public-key mode, certificate mode, or on the way from one to the other."""

    capabilities = Capabilities(
        channel="alipay",
        methods=METHODS,
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=10_000_000_000,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),  # the code that the payer scans lives no longer
        resubmits=True,
        refund=RefundRule(window=timedelta(days=365), returns_fee=True),
        same_day_void=True,
        payout_methods=frozenset({"alipay_account"}),
        payee_requires=frozenset({"identity", "identity_type", "name"}),
        bill=BillRule(
            kinds=("trade",),
            format="alipay_business_detail",
            ready_hour=10,
            utc_offset=timedelta(hours=8),
            kept=timedelta(days=365),
        ),
        disputes=RULE,
    )
    acceptance = HttpAnswer(200, b"success", {"content-type": "text/plain"})
    refusal = HttpAnswer(401, b"failure", {"content-type": "text/plain"})
    Credentials: ClassVar[type[BaseModel]] = AlipayCredentials
    code_map = files("hutong.channels.codes") / "maps" / "alipay.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "alipay.documented.csv"

    def __init__(self, credentials: AlipayCredentials, http: Http, codes: Codes) -> None:
        self._credentials = credentials
        self._keys = AlipayKeys(credentials)
        self._http = http
        self._client = AlipayClient(credentials, self._keys, http, codes)
        self._responses = AlipayResponses(codes)
        self._refunds = AlipayRefunds(self._client, self._responses, self.capabilities)
        self._payouts = AlipayPayouts(self._client, self._responses)
        self._disputes = AlipayDisputes(self._client, self._responses, credentials.seller_id)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order.

        For a page or an application nothing is sent: the order exists once the payer opens it.
        """
        check_order(request, self.capabilities)
        interface = PRODUCTS[request.method].interface
        mini_app_id = self._credentials.mini_app_id or self._credentials.merchant_app_id
        content = order_content(request, qr_product=self._credentials.qr_product, mini_app_id=mini_app_id)
        if request.method in ("alipay_qr", "alipay_jsapi"):
            return await self._place(interface, content, request, now)
        if request.method == "alipay_code":
            return await self._charge(interface, content, request, now)
        application = request.method == "alipay_app"
        return_url = None if application else request.return_url
        signed = self._client.signed(interface, content, now=now, notify_url=request.notify_url, return_url=return_url)
        if application:
            action = PayerAction(ActionKind.SDK, order_string(signed))
        else:
            action = PayerAction(ActionKind.REDIRECT, f"{self._client.address}?{urlencode(signed)}")
        return ChannelAnswer(ChannelState.PENDING, action=action)

    async def _place(
        self, interface: str, content: Mapping[str, Any], request: PayRequest, now: datetime
    ) -> ChannelAnswer:
        """Place an order of which Alipay answers what the payer needs: a code, or the trade's number."""
        try:
            node = await self._client.call(interface, content, now=now, notify_url=request.notify_url)
            if succeeded(node):
                check_same_order(node, request.attempt_no)
                return ChannelAnswer(ChannelState.PENDING, action=payer_action(node, request.method))
        except NoAnswer as error:
            return error.answer
        return await self._confirm(interface.rpartition(".")[2], node, request.attempt_no, now)

    async def _charge(
        self, interface: str, content: Mapping[str, Any], request: PayRequest, now: datetime
    ) -> ChannelAnswer:
        """Take the money with the code that the payer shows, then query: Alipay may still roll a success back."""
        try:
            node = await self._client.call(interface, content, now=now, notify_url=request.notify_url)
            if succeeded(node) or node.get("code") == "10003":
                check_same_order(node, request.attempt_no)
        except NoAnswer as error:
            return error.answer
        if not succeeded(node):
            return await self._confirm("pay", node, request.attempt_no, now)
        answer = after_sending(await self._query(request.attempt_no, now))
        return replace(answer, state=ChannelState.UNKNOWN) if answer.state is ChannelState.NOT_FOUND else answer

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the order by our number. An order whose code or page nobody has opened yet is not found."""
        return await self._query(order.attempt_no, now)

    async def _query(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        check_number(attempt_no)
        try:
            content = {"out_trade_no": attempt_no, "query_options": SUMS_OPTIONS}
            node = await self._client.call("alipay.trade.query", content, now=now)
            if succeeded(node):
                return self._responses.trade(node, attempt_no, paid_at=node.get("send_pay_date"))
        except NoAnswer as error:
            return error.answer
        return self._responses.refusal("query", node)

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Close the order; where Alipay refuses because it has ended, the answer is that of a query.

        A payment by code is cancelled unless a query proves how it has ended: if Alipay has taken the money since, it
        goes back.
        """
        check_number(order.attempt_no)
        if order.method == "alipay_code":
            current = await self._query(order.attempt_no, now)
            if current.state in FINAL_STATES:
                return current
            return await self._cancel(order.attempt_no, now)
        try:
            node = await self._client.call("alipay.trade.close", {"out_trade_no": order.attempt_no}, now=now)
            if succeeded(node):
                check_same_order(node, order.attempt_no)
                return ChannelAnswer(ChannelState.CLOSED)
        except NoAnswer as error:
            return error.answer
        return await self._confirm("close", node, order.attempt_no, now)

    async def _cancel(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        try:
            node = await self._refunds.cancel(attempt_no, now=now)
        except NoAnswer as error:
            return error.answer
        if not succeeded(node):
            return await self._confirm("cancel", node, attempt_no, now)
        answer = self._responses.cancellation(node)
        # Closed unpaid, or paid and given back whole: either way the payer keeps the money.
        return replace(answer, state=ChannelState.CLOSED) if answer.state in FINAL_STATES else answer

    async def _confirm(self, interface: str, node: Mapping[str, Any], attempt_no: str, now: datetime) -> ChannelAnswer:
        refusal = self._responses.refusal(interface, node)
        return await confirm_refusal(refusal, lambda: self._query(attempt_no, now), inconclusive=has_ended(refusal))

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Cancel a payment on its own day, in Beijing; Alipay gives the whole amount back."""
        return await self._refunds.void(refund, now=now)

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Refund; Alipay answers at once, except where it must be queried."""
        return await self._refunds.refund(refund, now=now)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query a refund. A refund that Alipay has not accepted, or that has failed, is not found."""
        return await self._refunds.query_refund(refund, now=now)

    async def payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Send money to an Alipay account."""
        return await self._payouts.payout(payout, now=now)

    async def query_payout(self, payout: PayoutRequest, *, now: datetime) -> ChannelAnswer:
        """Query a transfer by our number."""
        return await self._payouts.query_payout(payout, now=now)

    async def query_dispute(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query a complaint by either interface, which its number tells."""
        return await self._disputes.query(dispute_no, now=now)

    async def list_disputes(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the complaints of a day in Beijing."""
        return await self._disputes.list_day(day, now=now)

    async def respond_to_dispute(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Answer a complaint, or state that it is settled with the payer."""
        return await self._disputes.respond(response, now=now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:  # noqa: ARG002 - all is in the body
        """Verify and read a notification; it must be about these applications and this seller."""
        return parse_notification(self._credentials, self._keys, self._responses, body, now=now)

    async def fetch_named_key(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:  # noqa: ARG002 - all is in the body
        certificate_sn = named_certificate(body)
        return certificate_sn is not None and await self._client.obtain_certificate(certificate_sn, now)

    def adopted_keys(self) -> Mapping[str, str]:
        return self._keys.adopted

    def adopt_keys(self, keys: Mapping[str, str]) -> None:
        for certificate_sn, pem in keys.items():
            with suppress(NotAuthentic):  # it is verified again
                self._keys.adopt_certificate(certificate_sn, pem)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the business bill of a day, a zip, and check that it is whole and adds up to its own totals."""
        rule = self.capabilities.bill
        assert rule is not None
        if kind not in rule.kinds:
            raise InvalidParameter("Alipay has no bill of this kind", param="kind")
        return await download_bill(
            self._client, self._responses, self._http, self._credentials, rule, day, folder, now=now
        )

    def bill_identity(self) -> BillIdentity:
        return BillIdentity(self._credentials.seller_id)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return read_bill(bill, self._credentials.seller_id)

    async def diagnose(self, *, now: datetime) -> list[AccountFinding]:
        """Check the certificates, then query an order that does not exist, and whose the token and the bills are."""
        return await diagnose(self._client, self._keys, self._credentials, self._disputes, now=now)
