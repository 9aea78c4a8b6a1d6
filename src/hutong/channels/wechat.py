"""WeChat Pay API v3, Native: the payer scans a QR code.

Nothing final is believed without WeChat's signature over the raw bytes: an answer that is unsigned, wrongly signed,
stale, unreadable, about another order or with a code we do not know is UNKNOWN, and its words are kept.

Source:
    https://pay.weixin.qq.com/docs/merchant/products/native-payment/apilist.html (place),
    https://pay.weixin.qq.com/doc/v3/merchant/4013070356 (query), 4012556398 (close),
    https://pay.weixin.qq.com/wiki/doc/apiv3/apis/chapter3_2_5.shtml (notification).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from typing import Any, ClassVar

import orjson
from pydantic import BaseModel

from hutong.channels.capability import Capabilities, Method
from hutong.channels.codes import Codes
from hutong.channels.errors import ChannelUnreachable, NotificationRefused
from hutong.channels.http import Http
from hutong.channels.model import (
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    Order,
    PayerAction,
    PayRequest,
)
from hutong.channels.protocol import Channel
from hutong.channels.wechat_keys import Unproven, WeChatCredentials, WeChatKeys
from hutong.errors import InvalidParameter
from hutong.money import AMOUNT_MINOR_MAX

_BEIJING = timezone(timedelta(hours=8))
_NUMBER = re.compile(r"[0-9A-Za-z_-]{6,32}")

_TRADE_STATES = {
    "SUCCESS": ChannelState.SUCCEEDED,
    "REFUND": ChannelState.SUCCEEDED,  # it was paid; what was given back is told by the refund's own query
    "NOTPAY": ChannelState.PENDING,
    "USERPAYING": ChannelState.PENDING,
    "ACCEPT": ChannelState.PENDING,
    "CLOSED": ChannelState.CLOSED,
    "REVOKED": ChannelState.CLOSED,
    "PAYERROR": ChannelState.FAILED,
}

_PAID = frozenset({"ORDERPAID", "ORDER_PAID"})


class WeChatPay(Channel):
    """One merchant account, in public-key mode, certificate mode, or on the way from one to the other."""

    capabilities = Capabilities(
        channel="wechat",
        methods={"wechat_native": Method(ActionKind.QR_CODE)},
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=2**31 - 1,
        order_no_length_max=32,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),  # the code that the payer scans lives no longer
        notifies=True,
        resubmits=True,
        subject_length_max=127,
    )
    Credentials: ClassVar[type[BaseModel]] = WeChatCredentials
    code_map = files("hutong.channels") / "code_map" / "wechat.csv"
    documented_codes = files("hutong.channels") / "code_map" / "wechat.documented.csv"

    def __init__(
        self,
        credentials: WeChatCredentials,
        http: Http,
        codes: Codes,
        *,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._mchid = credentials.mchid
        self._appid = credentials.appid
        self._base_url = credentials.base_url
        self._keys = WeChatKeys(credentials)
        self._http = http
        self._codes = codes
        self._nonce = nonce

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order; PENDING carries the text of the QR code."""
        if request.method not in self.capabilities.methods:
            raise InvalidParameter("WeChat Pay does not offer this method", param="method")
        if request.currency not in self.capabilities.currencies:
            raise InvalidParameter("WeChat Pay takes CNY only", param="currency")
        _check_number(request.attempt_no)
        # The payer's address is left out: placing again must repeat the order, and by then the payer may have moved.
        order = {
            "appid": self._appid,
            "mchid": self._mchid,
            "description": request.subject[: self.capabilities.subject_length_max],
            "out_trade_no": request.attempt_no,
            "time_expire": request.expires_at.astimezone(_BEIJING).isoformat(timespec="seconds"),
            "notify_url": request.notify_url,
            "amount": {"total": request.amount_minor, "currency": request.currency},
        }
        try:
            status, answer = await self._call("POST", "/v3/pay/transactions/native", orjson.dumps(order), now)
        except _NoWord as nothing:
            return nothing.answer
        code_url = answer.get("code_url")
        if status == 200 and isinstance(code_url, str) and 0 < len(code_url) <= 512:
            return ChannelAnswer(ChannelState.PENDING, action=PayerAction(ActionKind.QR_CODE, code_url))
        return await self._refused("pay", status, answer, request.attempt_no, now)

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask for the order by our number."""
        return await self._query(order.attempt_no, now)

    async def _query(self, attempt_no: str, now: datetime) -> ChannelAnswer:
        _check_number(attempt_no)
        target = f"/v3/pay/transactions/out-trade-no/{attempt_no}?mchid={self._mchid}"
        try:
            status, answer = await self._call("GET", target, b"", now)
            if status == 200:
                return self._transaction(answer, attempt_no)
        except _NoWord as nothing:
            return nothing.answer
        return self._from_code("query", status, answer)

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Close the order; where WeChat says that it is paid, the answer is what a query then tells."""
        attempt_no = order.attempt_no
        _check_number(attempt_no)
        target = f"/v3/pay/transactions/out-trade-no/{attempt_no}/close"
        try:
            status, answer = await self._call("POST", target, orjson.dumps({"mchid": self._mchid}), now)
        except _NoWord as nothing:
            return nothing.answer
        if status == 204:
            return ChannelAnswer(ChannelState.CLOSED)
        return await self._refused("close", status, answer, attempt_no, now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify, decrypt and read a payment notification; it must be about this merchant and application."""
        try:
            self._keys.verify(headers, body, now=now)
            envelope = _object(body)
            notification_id, resource = _text(envelope.get("id"), 64), envelope.get("resource")
            if notification_id is None or not isinstance(resource, dict):
                raise Unproven("unreadable")
            transaction = _object(self._keys.decrypt(resource))
            attempt_no = transaction.get("out_trade_no")
            if not isinstance(attempt_no, str) or not _NUMBER.fullmatch(attempt_no):
                raise Unproven("unreadable")
            answer = self._transaction(transaction, attempt_no)
        except Unproven as error:
            raise NotificationRefused(f"the notification is refused: {error}") from None
        except _NoWord as nothing:
            raise NotificationRefused(f"the notification is refused: {nothing.answer.channel_code}") from None
        # WeChat signs each repetition anew, so the very same signature is a replay.
        replay_key = hashlib.sha256(headers["wechatpay-signature"].encode()).digest()
        return Notification(notification_id, attempt_no, answer, replay_key=replay_key)

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(204)

    def refuse_notification(self, reason: str) -> HttpAnswer:  # noqa: ARG002 - a forger learns nothing from us
        return HttpAnswer(401, b'{"code":"FAIL","message":"refused"}', {"content-type": "application/json"})

    async def _refused(
        self, interface: str, status: int, answer: Mapping[str, Any], attempt_no: str, now: datetime
    ) -> ChannelAnswer:
        """What a refusal amounts to, once a query has shown what became of the number.

        That the order is paid tells neither amount nor number. And a refusal speaks of one submission: an earlier one
        under the same number, whose reply was lost, may have left an order behind, so only a number that WeChat does
        not know is believed to have failed.
        """
        refusal = self._from_code(interface, status, answer)
        paid = refusal.channel_code in _PAID
        if not paid and refusal.state is not ChannelState.FAILED:
            return refusal
        found = await self._query(attempt_no, now)
        if found.state in (ChannelState.SUCCEEDED, ChannelState.CLOSED, ChannelState.FAILED):
            return found
        if found.state is ChannelState.NOT_FOUND and not paid:
            return refusal
        return replace(refusal, state=ChannelState.UNKNOWN)

    def _from_code(self, interface: str, status: int, answer: Mapping[str, Any]) -> ChannelAnswer:
        code, message = _text(answer.get("code"), 64), _text(answer.get("message"), 256)
        if code is None or status < 400:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code=code or f"http_{status}", channel_message=message)
        meaning = self._codes.read(interface, code, message=message or "")
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            retryable=meaning.retryable,
        )

    async def _call(self, method: str, target: str, body: bytes, now: datetime) -> tuple[int, dict[str, Any]]:
        """Send one request. The answer returned is proven to be WeChat's; anything else raises `_NoWord`."""
        headers = {
            "Accept": "application/json",
            "Authorization": self._keys.authorize(method, target, body, nonce=self._nonce(), now=now),
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self._keys.wanted_serial is not None:
            headers["Wechatpay-Serial"] = self._keys.wanted_serial
        try:
            reply = await self._http.call(method, self._base_url + target, headers=headers, body=body)
        except ChannelUnreachable as error:
            raise _NoWord("no_answer" if error.sent else "not_sent", error.detail) from None
        try:
            self._keys.verify(reply.headers, reply.body, now=now)
            return reply.status, _object(reply.body) if reply.body else {}
        except Unproven as error:
            raise _unproven(reply.status, reply.body, str(error)) from None

    def _transaction(self, transaction: Mapping[str, Any], attempt_no: str) -> ChannelAnswer:
        """What a proven transaction object says; `_NoWord` if it is not about this order of this account."""
        if (transaction.get("mchid"), transaction.get("appid")) != (self._mchid, self._appid):
            raise _NoWord("not_ours", "the answer is about another merchant or application")
        if transaction.get("out_trade_no") != attempt_no:
            raise _NoWord("not_ours", "the answer is about another order")
        word = transaction.get("trade_state")
        state = _TRADE_STATES.get(word, ChannelState.UNKNOWN) if isinstance(word, str) else ChannelState.UNKNOWN
        amount_minor, currency = _amount(transaction.get("amount"))
        channel_order_no = _text(transaction.get("transaction_id"), 64)
        if state is ChannelState.SUCCEEDED and (amount_minor is None or channel_order_no is None):
            raise _NoWord("unreadable", "a success without an amount or without a number")
        return ChannelAnswer(
            state,
            amount_minor=amount_minor,
            currency=currency,
            channel_order_no=channel_order_no,
            channel_code=_text(word, 64),
            channel_message=_text(transaction.get("trade_state_desc"), 256),
            happened_at=_instant(transaction.get("success_time")),
        )


def _check_number(attempt_no: str) -> None:
    if not _NUMBER.fullmatch(attempt_no):
        raise InvalidParameter("WeChat Pay does not take this number", param="attempt_no")


class _NoWord(Exception):
    """WeChat has not said anything that is proven; carries the UNKNOWN answer."""

    def __init__(self, code: str, message: str | None) -> None:
        super().__init__(code)
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN, channel_code=_text(code, 64), channel_message=_text(message, 256)
        )


def _unproven(status: int, body: bytes, reason: str) -> _NoWord:
    """An answer without proof; the code of a refusal is kept for people, but nothing is concluded from it."""
    try:
        answer = _object(body)
    except Unproven:
        answer = {}
    code, message = _text(answer.get("code"), 64), _text(answer.get("message"), 256)
    if status >= 400 and code:
        return _NoWord(code, message)
    return _NoWord(reason, f"an answer with status {status} is not proven to come from WeChat Pay")


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unproven("unreadable") from None
    if not isinstance(value, dict):
        raise Unproven("unreadable")
    return value


def _amount(value: object) -> tuple[int | None, str | None]:
    if not isinstance(value, dict):
        return None, None
    total, currency = value.get("total"), value.get("currency")
    if type(total) is not int or not 0 < total <= AMOUNT_MINOR_MAX:
        return None, None
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        return None, None
    return total, currency


def _text(value: object, length: int) -> str | None:
    """Words as they came, cut, without the one character that PostgreSQL does not keep; None where there are none."""
    return value.replace("\0", "")[:length] or None if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
