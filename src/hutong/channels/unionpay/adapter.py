"""UnionPay online gateway 5.1.0: gateway and app payment, QR codes shown by either side, agreement collection.

Nothing final is accepted without UnionPay's signature: an answer that is unsigned, wrongly signed, unreadable, about
another order or with an unmapped code is UNKNOWN, and its code and message are kept. UnionPay identifies an order by
its number and its time together, so both are the same in every call about it.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (gateway), ?apiservId=468 (QR),
    ?apiservId=466 (collection); the notes in the public clients of UnionPay on queries, refunds and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel

from hutong.channels.bill import Bill, BillIdentity, BillRow
from hutong.channels.capability import BillRule, Capabilities, PaymentMethod, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.device import Device
from hutong.channels.errors import NoAnswer
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
    PayRequest,
    RefundRequest,
)
from hutong.channels.protocol import AccountFinding, Channel
from hutong.channels.refusals import confirm_refusal
from hutong.channels.unionpay.authorizations import KEPT, UnionPayAuthorizations
from hutong.channels.unionpay.bill import download_bill, read_bill
from hutong.channels.unionpay.client import UnionPayClient
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys
from hutong.channels.unionpay.diagnostics import diagnose
from hutong.channels.unionpay.notifications import parse_notification
from hutong.channels.unionpay.refunds import UnionPayRefunds
from hutong.channels.unionpay.requests import (
    AMOUNT_MINOR_MAX,
    APP,
    CODE,
    COLLECTION,
    FRONT,
    PRODUCTS,
    QR,
    REFUND_WINDOW,
    order_fields,
    order_reference,
    reversal_fields,
)
from hutong.channels.unionpay.responses import UnionPayResponses, is_duplicate
from hutong.errors import InvalidParameter

_CODE_LENGTH_MAX = 512
_CODES = {QR: "qrCode", APP: "tn"}
"""The field of the answer that the payer needs, by method."""
_LIVE_HOST = "gateway.95516.com"
_LIVE_MODE, _TEST_MODE = "00", "01"
"""What UnionPay's SDK calls its two environments."""
_EXPIRY_DELAY = timedelta(minutes=1)
"""How long after an order's expiry its final state may still be on the way."""


class UnionPay(Channel):
    """One merchant account at the online gateway."""

    capabilities = Capabilities(
        channel="unionpay",
        methods={
            QR: PaymentMethod(ActionKind.QR_CODE, closable=False, devices=frozenset({Device.DESKTOP})),
            FRONT: PaymentMethod(ActionKind.FORM, closable=False, manual_capture=True),
            APP: PaymentMethod(ActionKind.SDK, closable=False, manual_capture=True),
            CODE: PaymentMethod(None, requires=frozenset({"auth_code"}), decided_within=timedelta(seconds=45)),
            COLLECTION: PaymentMethod(None, requires=frozenset({"agreement"}), closable=False),
        },
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=AMOUNT_MINOR_MAX,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),
        resubmits=True,
        refund=RefundRule(window=REFUND_WINDOW),
        same_day_void=True,
        partial_capture=True,
        authorization_kept=KEPT,
        bill=BillRule(
            kinds=("trade",),
            format="unionpay_zm",
            ready_hour=9,
            utc_offset=timedelta(hours=8),
            kept=timedelta(days=30),
            cut=timedelta(hours=-1),
        ),
    )
    acceptance = HttpAnswer(200, b"ok", {"content-type": "text/plain"})
    refusal = HttpAnswer(400, b"refused", {"content-type": "text/plain"})
    Credentials: ClassVar[type[BaseModel]] = UnionPayCredentials
    code_map = files("hutong.channels.codes") / "maps" / "unionpay.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "unionpay.documented.csv"

    def __init__(self, credentials: UnionPayCredentials, http: Http, codes: Codes) -> None:
        self._credentials = credentials
        self._codes = codes
        self._keys = UnionPayKeys(credentials)
        self._responses = UnionPayResponses(codes)
        self._client = UnionPayClient(credentials, self._keys, http, self._responses)
        self._authorizations = UnionPayAuthorizations(self._client, self._responses, credentials)
        self._refunds = UnionPayRefunds(self._client, self._responses, credentials, self._authorizations)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order. A gateway payment is a form that the payer's browser posts, so no call is made for it."""
        fields = order_fields(request, self._credentials)
        interface = PRODUCTS[request.method].interface
        if request.method == FRONT:
            form = {"url": self._client.url(interface), "fields": self._keys.sign(fields), "charset": "UTF-8"}
            return ChannelAnswer(ChannelState.PENDING, action=PayerAction(ActionKind.FORM, orjson.dumps(form).decode()))
        try:
            response = await self._client.call(interface, fields, now)
        except NoAnswer as error:
            return error.answer
        answer = self._responses.code("pay", response.get("respCode"), response.get("respMsg"))
        if answer.state is ChannelState.PENDING and request.method in _CODES:
            code = response.get(_CODES[request.method], "")
            if not 0 < len(code) <= _CODE_LENGTH_MAX:
                return replace(answer, state=ChannelState.UNKNOWN)
            return replace(answer, action=self._action(request.method, code))
        duplicate = is_duplicate(answer)
        return await confirm_refusal(
            answer, lambda: self._query_repeated(request, now), inconclusive=duplicate, pending=duplicate
        )

    def _action(self, method: str, code: str) -> PayerAction:
        if method == QR:
            return PayerAction(ActionKind.QR_CODE, code)
        mode = _LIVE_MODE if urlsplit(self._credentials.base_url).hostname == _LIVE_HOST else _TEST_MODE
        return PayerAction(ActionKind.SDK, orjson.dumps({"tn": code, "mode": mode}).decode())

    async def _query_repeated(self, request: PayRequest, now: datetime) -> ChannelAnswer:
        """Query an order whose number was used before: it is the same order only if it has the same amount."""
        answer = await self.query(order_reference(request), now=now)
        if answer.state is ChannelState.PENDING and answer.amount_minor != request.amount_minor:
            return replace(answer, state=ChannelState.UNKNOWN)
        return answer

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the order by our number and its time.

        A payer whose card was declined may use another card, so a decline is not a failure before the order expires.
        """
        product = PRODUCTS.get(order.method)
        if order.capture:
            answer = await self._client.query("trade_state", order.attempt_no, order.placed_at, now=now)
        else:
            answer = await self._authorizations.query(order, now=now)
        payable = order.expires_at is not None and now < order.expires_at + _EXPIRY_DELAY
        declined = answer.state is ChannelState.FAILED and order.capture_requested_at is None
        if declined and payable and product is not None and product.payer_may_retry:
            return replace(answer, state=ChannelState.PENDING)
        return answer

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Release reserved money, or reverse a payment by code that has not ended.

        Any other order is queried instead: UnionPay cannot close it before it expires.
        """
        answer = await self.query(order, now=now)
        if order.method == CODE and answer.state not in FINAL_STATES:
            return await self._reverse(order, now)
        if answer.state is not ChannelState.AUTHORIZED:
            return answer
        return await self._authorizations.release(order, answer, now=now)

    async def _reverse(self, order: OrderReference, now: datetime) -> ChannelAnswer:
        """Reverse a payment by code: an unpaid one ends, the money of a paid one goes back."""
        try:
            response = await self._client.call("backTransReq", reversal_fields(order, self._credentials), now)
        except NoAnswer as error:
            return error.answer
        if response.get("respCode") == "00":
            return ChannelAnswer(ChannelState.CLOSED, channel_code="00", channel_message="reversed")
        # A refusal says nothing about the payment itself.
        return await self.query(order, now=now)

    async def capture(self, order: OrderReference, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Take reserved money, once; the rest is released."""
        return await self._authorizations.capture(order, amount_minor, now=now)

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Request a refund; PENDING once UnionPay has accepted it."""
        return await self._refunds.refund(refund, now=now)

    async def void(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Cancel a whole payment of this clearing day."""
        return await self._refunds.void(refund, now=now)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query the state of a refund or a void."""
        return await self._refunds.query_refund(refund, now=now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:  # noqa: ARG002 - all is in the body
        """Verify and read a notification. It has no time of its own, and UnionPay repeats the same bytes."""
        return parse_notification(self._credentials, self._keys, self._responses, body, now=now)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the file of a clearing day."""
        rule = self.capabilities.bill
        assert rule is not None
        if kind not in rule.kinds:
            raise InvalidParameter("UnionPay has no bill of this kind", param="kind")
        return await download_bill(self._client, self._credentials, self._codes, rule, day, folder, now=now)

    def bill_identity(self) -> BillIdentity:
        return BillIdentity(self._credentials.mer_id, timedelta(hours=self._credentials.bill.cut_hour - 24))

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        """Yield the rows of a ZM file. A ZME file, if there is one, holds manual corrections and is left to people."""
        return read_bill(bill, self._credentials)

    async def diagnose(self, *, now: datetime) -> list[AccountFinding]:
        """Check the certificates, then query an order that cannot exist."""
        return await diagnose(self._credentials, self._keys, self._client, now=now)
