"""UnionPay online gateway 5.1.0: gateway payment, QR codes shown by either side, agreement collection.

Nothing final is believed without UnionPay's signature: an answer that is unsigned, wrongly signed, unreadable, about
another order or with a code we do not know is UNKNOWN, and its words are kept. An order is its number and its time
together, so both are the same in every call about it.

Source:
    https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=448 (gateway), ?apiservId=468 (QR),
    ?apiservId=466 (collection); the notes in the public clients of UnionPay on queries, refunds and files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel

from hutong.channels.bill import Bill, BillRow, BillState
from hutong.channels.capability import BillRule, Capabilities, Method, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import ChannelUnreachable, NotificationRefused
from hutong.channels.http import Http
from hutong.channels.model import (
    About,
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    Order,
    PayerAction,
    PayRequest,
    Refund,
    text,
)
from hutong.channels.protocol import Channel, Finding
from hutong.channels.unionpay.bill import download_bill, read_bill
from hutong.channels.unionpay.client import BEIJING, Unreadable, from_short_time, read_answer, read_form, to_our_number
from hutong.channels.unionpay.credentials import UnionPayCredentials, UnionPayKeys, Unproven
from hutong.channels.unionpay.diagnostics import diagnose
from hutong.channels.unionpay.requests import (
    AMOUNT_MINOR_MAX,
    COLLECTION,
    FRONT,
    PRODUCTS,
    QR,
    REFUND_WINDOW,
    RETRIED,
    SUBJECT_LENGTH_MAX,
    WALLET,
    bill_fields,
    check_refund,
    check_void,
    order_fields,
    order_of,
    query_fields,
    refund_fields,
)
from hutong.errors import InvalidParameter

_NOTICE_LIMIT = 1 << 16
_CODE_LENGTH_MAX = 512
_LATE = timedelta(minutes=1)
"""How long after an order's end its state may still be on the way."""


class UnionPay(Channel):
    """One merchant account at the online gateway."""

    capabilities = Capabilities(
        channel="unionpay",
        methods={
            FRONT: Method(ActionKind.FORM, closable=False),
            QR: Method(ActionKind.QR_CODE, closable=False),
            WALLET: Method(None, requires=frozenset({"auth_code"}), closable=False),
            COLLECTION: Method(None, requires=frozenset({"agreement"}), closable=False),
        },
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=AMOUNT_MINOR_MAX,
        order_no_length_max=33,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),
        notifies=True,
        resubmits=True,
        subject_length_max=SUBJECT_LENGTH_MAX,
        refund=RefundRule(window=REFUND_WINDOW, notifies=True),
        same_day_void=True,
        bill=BillRule(
            kinds=("trade",),
            format="unionpay_zm",
            ready_hour=9,
            utc_offset=timedelta(hours=8),
            kept=timedelta(days=30),
        ),
    )
    Credentials: ClassVar[type[BaseModel]] = UnionPayCredentials
    code_map = files("hutong.channels.codes") / "maps" / "unionpay.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "unionpay.documented.csv"

    def __init__(self, credentials: UnionPayCredentials, http: Http, codes: Codes) -> None:
        self._credentials = credentials
        self._keys = UnionPayKeys(credentials)
        self._http = http
        self._codes = codes

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order. The gateway's is a form that the payer's browser posts, for which no call is made."""
        fields = order_fields(request, self._credentials)
        if request.method == FRONT:
            form = {"url": self._url("frontTransReq"), "fields": self._keys.sign(fields), "charset": "UTF-8"}
            return ChannelAnswer(ChannelState.PENDING, action=PayerAction(ActionKind.FORM, orjson.dumps(form).decode()))
        try:
            answer = await self._call(self._url("backTransReq"), fields, now)
        except _NoWord as nothing:
            return nothing.answer
        said = self._said("pay", answer.get("respCode"), answer.get("respMsg"))
        if said.state is ChannelState.PENDING and request.method == QR:
            code = answer.get("qrCode", "")
            if not 0 < len(code) <= _CODE_LENGTH_MAX:
                return replace(said, state=ChannelState.UNKNOWN)
            return replace(said, action=PayerAction(ActionKind.QR_CODE, code))
        return await _settled(said, lambda: self.query(order_of(request), now=now), request.amount_minor)

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask for the order by our number and its time.

        A payer whose card was declined may try another one, so until the order's end that is not a failure.
        """
        product = PRODUCTS.get(order.method)
        answer = await self._query("trade_state", order.attempt_no, order.placed_at, now)
        payable = order.expires_at is not None and now < order.expires_at + _LATE
        if answer.state is ChannelState.FAILED and payable and product is not None and product.payer_may_retry:
            return replace(answer, state=ChannelState.PENDING)
        return answer

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """What a query tells: UnionPay has no way to close an order before its end."""
        return await self.query(order, now=now)

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask to give money back; PENDING once UnionPay has accepted it."""
        return await self._give_back("04", refund, now)

    async def void(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Cancel a payment of this clearing day, whole."""
        check_void(refund, now, self._credentials.bill.cut_hour)
        return await self._give_back("31", refund, now)

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask what became of a refund or a void."""
        answer = await self._query("refund_state", refund.refund_no, refund.created_at, now)
        if answer.amount_minor not in (None, refund.amount_minor):
            return replace(answer, state=ChannelState.UNKNOWN)
        return answer

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:  # noqa: ARG002
        """Verify and read a notification. It has no time of its own, and UnionPay repeats the same bytes."""
        try:
            if len(body) > _NOTICE_LIMIT:
                raise Unreadable("unreadable")
            fields = read_form(body)
            self._keys.verify(fields, now=now)
            if fields.get("merId") != self._credentials.mer_id:
                raise Unproven("not_ours")
            about = {"01": About.PAYMENT, "11": About.PAYMENT, "04": About.REFUND, "31": About.REFUND}.get(
                fields.get("txnType", ""), About.NOTHING
            )
            number = to_our_number(fields.get("orderId", "")) or ""
            if about is About.NOTHING or not number:
                about, number, answer = About.NOTHING, "", ChannelAnswer(ChannelState.UNKNOWN)
            else:
                interface = "trade_state" if about is About.PAYMENT else "refund_state"
                answer = self._outcome(interface, fields, fields.get("respCode"), fields.get("respMsg"), now)
        except (Unproven, Unreadable) as error:
            raise NotificationRefused(f"the notification is refused: {error}") from None
        except _NoWord as nothing:
            raise NotificationRefused(f"the notification is refused: {nothing.answer.channel_code}") from None
        if answer.state is ChannelState.FAILED and (fields["txnType"], fields.get("txnSubType")) in RETRIED:
            answer = replace(answer, state=ChannelState.PENDING)
        return Notification(hashlib.sha256(body).hexdigest()[:32], number, answer, about)

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(200, b"ok", {"content-type": "text/plain"})

    def refuse_notification(self, reason: str) -> HttpAnswer:  # noqa: ARG002 - a forger learns nothing from us
        return HttpAnswer(400, b"refused", {"content-type": "text/plain"})

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the file of a clearing day."""
        if kind != "trade":
            raise InvalidParameter("UnionPay has no such bill", param="kind")
        rule = self.capabilities.bill
        assert rule is not None
        ready_at = datetime(day.year, day.month, day.day, rule.ready_hour, tzinfo=BEIJING) + timedelta(days=1)
        return await download_bill(
            self._http,
            self._keys,
            self._credentials,
            self._codes,
            self._body(bill_fields(day, self._credentials, now)),
            Bill(BillState.UNKNOWN, kind, day),
            folder,
            now=now,
            ready=now >= ready_at,
        )

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        """The rows of a ZM file; ZME, if there is one, holds corrections and is left to people."""
        return read_bill(bill, self._credentials)

    async def diagnose(self, *, now: datetime) -> list[Finding]:
        """Look at the certificates, then ask for an order that cannot exist."""
        absent = query_fields("att_00000", now, self._credentials)
        return await diagnose(self._credentials, self._keys, self._http, self._body(absent), now)

    async def _give_back(self, txn_type: str, refund: Refund, now: datetime) -> ChannelAnswer:
        check_refund(refund, now)
        order = refund.order
        original = order.channel_order_no or (await self.query(order, now=now)).channel_order_no
        if original is None:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code="not_sent")
        fields = refund_fields(refund, txn_type, original, self._credentials)
        try:
            answer = await self._call(self._url("backTransReq"), fields, now)
        except _NoWord as nothing:
            return nothing.answer
        said = self._said("refund", answer.get("respCode"), answer.get("respMsg"))
        return await _settled(said, lambda: self.query_refund(refund, now=now), refund.amount_minor)

    async def _query(self, interface: str, our_no: str, placed_at: datetime, now: datetime) -> ChannelAnswer:
        fields = query_fields(our_no, placed_at, self._credentials)
        try:
            answer = await self._call(self._url("queryTrans"), fields, now)
            if answer.get("respCode") != "00":
                return self._said("query", answer.get("respCode"), answer.get("respMsg"))
            return self._outcome(interface, answer, answer.get("origRespCode"), answer.get("origRespMsg"), placed_at)
        except _NoWord as nothing:
            return nothing.answer

    def _body(self, fields: Mapping[str, str]) -> bytes:
        return urlencode(self._keys.sign(fields)).encode()

    def _url(self, interface: str) -> str:
        return f"{self._credentials.base_url}/gateway/api/{interface}.do"

    async def _call(self, url: str, fields: Mapping[str, str], now: datetime) -> dict[str, str]:
        """Send one request. The answer returned is proven to be UnionPay's and about this order, or `_NoWord`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        try:
            reply = await self._http.call("POST", url, headers=headers, body=self._body(fields))
        except ChannelUnreachable as error:
            raise _NoWord("no_answer" if error.sent else "not_sent", error.detail) from None
        try:
            answer = read_answer(reply.body)
            self._keys.verify(answer, now=now)
        except (Unproven, Unreadable) as error:
            words = f"an answer with status {reply.status} is not proven to come from UnionPay"
            raise _NoWord(str(error), words) from None
        if reply.status != 200:
            raise _NoWord(answer.get("respCode") or f"http_{reply.status}", answer.get("respMsg"))
        accepted = answer.get("respCode") == "00"
        for name in ("merId", "orderId", "txnTime"):
            # A refusal need not repeat what it refuses, but whatever it repeats must be ours.
            if answer.get(name) != fields[name] and (accepted or name in answer):
                raise _NoWord("not_ours", "the answer is about another order or merchant")
        return answer

    def _said(self, interface: str, code: str | None, message: str | None) -> ChannelAnswer:
        """What a code of an interface amounts to. The message ends in a finer code of seven digits."""
        code, message = text(code, 64), text(message, 256)
        if code is None:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code="unreadable", channel_message=message)
        finer = re.search(r"\[([0-9]{7})\]$", message or "")
        meaning = self._codes.read(interface, code, finer[1] if finer else "", message=message or "")
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            retryable=meaning.retryable,
        )

    def _outcome(
        self, interface: str, fields: Mapping[str, str], code: str | None, message: str | None, near: datetime
    ) -> ChannelAnswer:
        """What proven fields say of a payment or a refund; `_NoWord` for a success without amount or number."""
        said = self._said(interface, code, message)
        amount, number = fields.get("txnAmt", ""), text(fields.get("queryId"), 64)
        told = re.fullmatch("[0-9]{1,12}", amount) is not None and fields.get("currencyCode", "156") == "156"
        amount_minor = int(amount) if told and int(amount) > 0 else None
        if said.state is ChannelState.SUCCEEDED and (amount_minor is None or number is None):
            raise _NoWord("unreadable", "a success without an amount or without a number")
        return replace(
            said,
            amount_minor=amount_minor,
            currency="CNY" if amount_minor is not None else None,
            channel_order_no=number,
            happened_at=from_short_time(fields.get("traceTime"), near),
        )


async def _settled(
    said: ChannelAnswer, ask: Callable[[], Awaitable[ChannelAnswer]], amount_minor: int
) -> ChannelAnswer:
    """What a submission's answer amounts to, once a query has shown what became of the number where it was refused.

    A refusal speaks of one submission: an earlier one under the same number, whose reply was lost, may stand. That a
    number was used before tells nothing but that.
    """
    used = said.code == "duplicate_number"
    if not used and said.state is not ChannelState.FAILED:
        return said
    found = await ask()
    if found.state in (ChannelState.SUCCEEDED, ChannelState.FAILED):
        return found
    if used and found.state is ChannelState.PENDING and found.amount_minor == amount_minor:
        return found
    if not used and found.state is ChannelState.NOT_FOUND:
        return said
    return replace(said, state=ChannelState.UNKNOWN)


class _NoWord(Exception):
    """UnionPay has not said anything that is proven; carries the UNKNOWN answer."""

    def __init__(self, code: str, message: str | None) -> None:
        super().__init__(code)
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN, channel_code=text(code, 64), channel_message=text(message, 256)
        )
