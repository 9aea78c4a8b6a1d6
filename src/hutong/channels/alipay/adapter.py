"""Alipay open platform: order code, payment code, computer page, mobile page, application; refunds and transfers.

Nothing final is believed without Alipay's signature: an answer that is unsigned, wrongly signed, unreadable, about
another order or with a code we do not know is UNKNOWN, and its words are kept.

Source:
    https://opendocs.alipay.com/open/05osv9 (precreate), open/02ekfp (pay), open/028r8t (page), open/02ivbs (wap),
    open/02e7gq (app), open/02ekfq (query), open/02o6e8 (close), open/02ekfr (cancel), open/02ekfs (refund),
    open/02ekft (refund query), open/02byuo (transfer), open/02byup (transfer query), open/02e7gt (bill).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import BaseModel

from hutong.channels.alipay import bill as alipay_bill
from hutong.channels.alipay import notifications as alipay_notification
from hutong.channels.alipay import payouts as alipay_transfer
from hutong.channels.alipay import refunds as alipay_refund
from hutong.channels.alipay.client import BEIJING, Gateway, NoWord, order_string, succeeded
from hutong.channels.alipay.credentials import AlipayCredentials, AlipayKeys
from hutong.channels.alipay.diagnostics import diagnose
from hutong.channels.alipay.requests import METHODS, PRODUCTS, check_number, content_of
from hutong.channels.alipay.responses import check_currency, refusal, trade
from hutong.channels.bill import Bill, BillRow
from hutong.channels.capability import BillRule, Capabilities, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.http import Http
from hutong.channels.model import (
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    Order,
    PayerAction,
    Payout,
    PayRequest,
    Refund,
    after_sending,
)
from hutong.channels.protocol import Channel, Finding
from hutong.errors import InvalidParameter

_FINAL = (ChannelState.SUCCEEDED, ChannelState.CLOSED, ChannelState.FAILED)
_ASK = frozenset({"already_paid", "order_closed"})
"""Refusals that say that the order has ended, but not how."""


class Alipay(Channel):
    """One application of one merchant, in public-key mode, certificate mode, or on the way from one to the other."""

    capabilities = Capabilities(
        channel="alipay",
        methods=METHODS,
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=10_000_000_000,
        order_no_length_max=64,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),  # the code that the payer scans lives no longer
        notifies=True,
        resubmits=True,
        subject_length_max=128,
        refund=RefundRule(window=timedelta(days=365), returns_fee=True),
        same_day_void=True,
        payout_methods=frozenset({"alipay_account"}),
        payee_requires=frozenset({"identity", "identity_type", "name"}),
        bill=BillRule(
            kinds=("trade",),
            format="alipay_csv",
            ready_hour=10,
            utc_offset=timedelta(hours=8),
            kept=timedelta(days=365),
        ),
    )
    Credentials: ClassVar[type[BaseModel]] = AlipayCredentials
    code_map = files("hutong.channels.codes") / "maps" / "alipay.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "alipay.documented.csv"

    def __init__(self, credentials: AlipayCredentials, http: Http, codes: Codes) -> None:
        self._credentials = credentials
        self._keys = AlipayKeys(credentials)
        self._gateway = Gateway(credentials, self._keys, http, codes)
        self._http = http
        self._codes = codes

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order. By page and in an application nothing is sent: the order exists once the payer opens it."""
        if request.method not in self.capabilities.methods:
            raise InvalidParameter("Alipay does not offer this method", param="method")
        check_currency(request.currency)
        if not request.capture:
            raise InvalidParameter("Alipay reserves no money by this method", param="capture")
        method, content = PRODUCTS[request.method].interface, content_of(request, self.capabilities)
        if request.method == "alipay_qr":
            return await self._precreate(method, content, request, now)
        if request.method == "alipay_code":
            return await self._charge(method, content, request, now)
        application = request.method == "alipay_app"
        return_url = None if application else request.return_url
        signed = self._gateway.signed(method, content, now=now, notify_url=request.notify_url, return_url=return_url)
        if application:
            action = PayerAction(ActionKind.SDK, order_string(signed))
        else:
            action = PayerAction(ActionKind.REDIRECT, f"{self._gateway.address}?{urlencode(signed)}")
        return ChannelAnswer(ChannelState.PENDING, action=action)

    async def _precreate(
        self, method: str, content: Mapping[str, Any], request: PayRequest, now: datetime
    ) -> ChannelAnswer:
        try:
            node = await self._gateway.call(method, content, now=now, notify_url=request.notify_url)
            if succeeded(node):
                code = node.get("qr_code")
                _same(node, request.attempt_no)
                if not isinstance(code, str) or not 0 < len(code) <= 1024:
                    raise NoWord("unreadable", "an order without its code")
                return ChannelAnswer(ChannelState.PENDING, action=PayerAction(ActionKind.QR_CODE, code))
        except NoWord as nothing:
            return nothing.answer
        return await self._refused("precreate", node, request.attempt_no, now)

    async def _charge(
        self, method: str, content: Mapping[str, Any], request: PayRequest, now: datetime
    ) -> ChannelAnswer:
        """Take the money by the code that the payer shows. A success may still be rolled back, so it is asked for."""
        try:
            node = await self._gateway.call(method, content, now=now, notify_url=request.notify_url)
            if succeeded(node) or node.get("code") == "10003":
                _same(node, request.attempt_no)
        except NoWord as nothing:
            return nothing.answer
        if not succeeded(node):
            return await self._refused("pay", node, request.attempt_no, now)
        found = after_sending(await self._ask(request.attempt_no, now))
        return replace(found, state=ChannelState.UNKNOWN) if found.state is ChannelState.NOT_FOUND else found

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask for the order by our number. One whose code or page nobody has opened yet is not found."""
        return await self._ask(order.attempt_no, now)

    async def _ask(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        check_number(attempt_no)
        try:
            node = await self._gateway.call("alipay.trade.query", {"out_trade_no": attempt_no}, now=now)
            if succeeded(node):
                return trade(self._codes, node, attempt_no, paid_at=node.get("send_pay_date"))
        except NoWord as nothing:
            return nothing.answer
        return refusal(self._codes, "query", node)

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Close the order; where Alipay says that it has ended, the answer is what a query then tells.

        A payment by code that Alipay does not clearly tell of is cancelled: money that it may have taken goes back.
        """
        check_number(order.attempt_no)
        if order.method == "alipay_code":
            found = await self._ask(order.attempt_no, now)
            if found.state in _FINAL:
                return found
            if found.state is not ChannelState.PENDING:
                return await self._cancel(order.attempt_no, now)
        try:
            node = await self._gateway.call("alipay.trade.close", {"out_trade_no": order.attempt_no}, now=now)
            if succeeded(node):
                _same(node, order.attempt_no)
                return ChannelAnswer(ChannelState.CLOSED)
        except NoWord as nothing:
            return nothing.answer
        return await self._refused("close", node, order.attempt_no, now)

    async def _cancel(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        try:
            node = await alipay_refund.cancel(self._gateway, attempt_no, now=now)
        except NoWord as nothing:
            return nothing.answer
        if not succeeded(node):
            return await self._refused("cancel", node, attempt_no, now)
        answer = alipay_refund.action_of(self._codes, node)
        # Closed unpaid, or paid and given back whole: either way nothing stays taken.
        return replace(answer, state=ChannelState.CLOSED) if answer.state in _FINAL else answer

    async def void(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Cancel a payment on its own day, in Beijing; Alipay gives the whole amount back."""
        if refund.amount_minor != refund.order.amount_minor:
            raise InvalidParameter("Alipay cancels the whole payment only", param="amount_minor")
        if refund.order.placed_at.astimezone(BEIJING).date() != now.astimezone(BEIJING).date():
            raise InvalidParameter("Alipay cancels a payment on its own day only", param="payment")
        check_number(refund.order.attempt_no)
        return await alipay_refund.void(self._gateway, self._codes, refund, now=now)

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Give money back; Alipay answers at once, except for what it must be asked about again."""
        rule = self.capabilities.refund
        assert rule is not None
        alipay_refund.check(refund, rule)
        return await alipay_refund.refund(self._gateway, self._codes, refund, now=now)

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask for a refund. One that Alipay has not taken, or that has failed, is not found."""
        return await alipay_refund.query(self._gateway, self._codes, refund, now=now)

    async def payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Send money to an Alipay account."""
        alipay_transfer.check(payout)
        return await alipay_transfer.transfer(self._gateway, self._codes, payout, now=now)

    async def query_payout(self, payout: Payout, *, now: datetime) -> ChannelAnswer:
        """Ask for a transfer by our number."""
        return await alipay_transfer.query(self._gateway, self._codes, payout, now=now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:  # noqa: ARG002 - all is in the body
        """Verify and read a notification; it must be about this application and this seller."""
        return alipay_notification.parse(self._credentials, self._keys, self._gateway, self._codes, body, now=now)

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(200, b"success", {"content-type": "text/plain"})

    def refuse_notification(self, reason: str) -> HttpAnswer:  # noqa: ARG002 - a forger learns nothing from us
        return HttpAnswer(401, b"failure", {"content-type": "text/plain"})

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the business bill of a day, a zip, and check that it is whole and adds up to its own totals."""
        rule = self.capabilities.bill
        assert rule is not None
        if kind not in rule.kinds:
            raise InvalidParameter("Alipay has no such bill", param="kind")
        return await alipay_bill.download(
            self._gateway, self._codes, self._http, self._credentials, rule, day, folder, now=now
        )

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return alipay_bill.read(bill, self._credentials.seller_id)

    async def diagnose(self, *, now: datetime) -> list[Finding]:
        """Look at the certificates, then ask Alipay for an order that does not exist."""
        return await diagnose(self._gateway, self._keys, now=now)

    async def _refused(self, interface: str, node: Mapping[str, Any], attempt_no: str, now: datetime) -> ChannelAnswer:
        """What a refusal amounts to, once a query has shown what became of the number.

        That the order has ended tells neither amount nor number. And a refusal speaks of one submission: an earlier
        one under the same number, whose reply was lost, may have left an order behind, so only a number that Alipay
        does not know is believed to have failed.
        """
        answer = refusal(self._codes, interface, node)
        if answer.state not in _FINAL and answer.code not in _ASK:
            return answer
        found = await self._ask(attempt_no, now)
        if found.state in _FINAL:
            return found
        if found.state is ChannelState.NOT_FOUND and answer.state is ChannelState.FAILED:
            return answer
        return replace(answer, state=ChannelState.UNKNOWN)


def _same(node: Mapping[str, Any], attempt_no: str) -> None:
    if node.get("out_trade_no") != attempt_no:
        raise NoWord("not_ours", "the answer is about another order")
