"""Tealeaf Pay, a fictitious channel in a package of its own.

Its API is JSON over HTTPS: POST /tealeaf/pay, /query, /close. Requests, answers and notifications carry the headers
`tealeaf-time`, `tealeaf-nonce` and `tealeaf-signature`: HMAC-SHA256, in hexadecimal, over time, nonce, path (empty in
answers and notifications) and body, one per line.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hutong.channels import (
    ActionKind,
    Capabilities,
    Channel,
    ChannelAnswer,
    ChannelState,
    ChannelUnreachable,
    Codes,
    Http,
    HttpAnswer,
    Notification,
    NotificationRefused,
    OrderReference,
    PayerAction,
    PaymentMethod,
    PayRequest,
    confirm_refusal,
)
from hutong.errors import InvalidParameter

_WINDOW_S = 300
_SUBJECT_LENGTH_MAX = 64
_NUMBER = re.compile(r"[0-9a-z_]{1,32}")


class TealeafCredentials(BaseModel):
    """One shop at Tealeaf Pay."""

    # Unknown fields are refused, and an error never repeats the input.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    shop: Annotated[str, Field(pattern=r"^[0-9]{1,16}$")]
    secret: Annotated[SecretStr, Field(min_length=32)]
    base_url: str = "https://api.tealeaf.example"


class TealeafPay(Channel):
    """One shop. It holds its credentials and no other state."""

    capabilities = Capabilities(
        channel="tealeaf",
        methods={"tealeaf_qr": PaymentMethod(ActionKind.QR_CODE)},
        currencies=frozenset({"CNY"}),
        amount_minor_min=1,
        amount_minor_max=100_000_00,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=2),
        resubmits=True,
    )
    acceptance = HttpAnswer(200, b"taken")
    refusal = HttpAnswer(401)
    Credentials: ClassVar[type[BaseModel]] = TealeafCredentials
    code_map = files(__package__) / "tealeaf.csv"
    documented_codes = files(__package__) / "tealeaf.documented.csv"

    def __init__(self, credentials: TealeafCredentials, http: Http, codes: Codes) -> None:
        self._shop = credentials.shop
        self._secret = credentials.secret.get_secret_value().encode()
        self._base_url = credentials.base_url
        self._http = http
        self._codes = codes

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Place the order; PENDING carries the text of the QR code."""
        if request.method not in self.capabilities.methods:
            raise InvalidParameter("Tealeaf Pay does not offer this method", param="method")
        if request.currency not in self.capabilities.currencies:
            raise InvalidParameter("Tealeaf Pay takes CNY only", param="currency")
        # Only values that never change: placing again must repeat the order.
        order = {
            "amount": request.amount_minor,
            "currency": request.currency,
            "subject": request.subject[:_SUBJECT_LENGTH_MAX],
            "expires_at": request.expires_at.isoformat(),
            "notify_url": request.notify_url,
        }
        answer = await self._call("pay", request.attempt_no, order, now)
        # A refusal concerns this submission. An earlier one, whose reply was lost, may have placed the order.
        return await confirm_refusal(answer, lambda: self._call("query", request.attempt_no, {}, now))

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the order by our number."""
        return await self._call("query", order.attempt_no, {}, now)

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Close the order; a paid one is answered as SUCCEEDED."""
        return await self._call("close", order.attempt_no, {}, now)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify and read a notification; it must be about this shop."""
        try:
            order = self._read(headers, body, now).get("order")
            if not isinstance(order, dict) or not isinstance(number := order.get("no"), str):
                raise _NotAuthentic("unreadable")
            answer = self._order(order, number)
        except _NotAuthentic as error:
            raise NotificationRefused(f"the notification is refused: {error}") from None
        # Tealeaf signs each repetition separately, so the very same signature is a replay.
        replay_key = hashlib.sha256(headers["tealeaf-signature"].encode()).digest()
        return Notification(number, answer, replay_key=replay_key)

    async def _call(self, interface: str, number: str, fields: Mapping[str, Any], now: datetime) -> ChannelAnswer:
        """Send one request. An answer that is not proven to be Tealeaf's is UNKNOWN, with the reason as its code."""
        if not _NUMBER.fullmatch(number):
            raise InvalidParameter("Tealeaf Pay does not take this number", param="attempt_no")
        path = f"/tealeaf/{interface}"
        body = json.dumps({"shop": self._shop, "no": number, **fields}).encode()
        headers = {"Content-Type": "application/json", **self.sign(path, body, now)}
        try:
            reply = await self._http.call("POST", self._base_url + path, headers=headers, body=body)
            return self._meaning(interface, number, self._read(reply.headers, reply.body, now))
        except ChannelUnreachable as error:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code="no_answer" if error.sent else "not_sent")
        except _NotAuthentic as error:
            return ChannelAnswer(ChannelState.UNKNOWN, channel_code=str(error))

    def _meaning(self, interface: str, number: str, content: Mapping[str, Any]) -> ChannelAnswer:
        order = content.get("order")
        if isinstance(order, dict):
            return self._order(order, number)
        code, message = _text(content.get("code"), 64), _text(content.get("message"), 256)
        meaning = self._codes.read(interface, code, message=message)
        return ChannelAnswer(
            meaning.state,
            channel_code=code,
            channel_message=message,
            code=meaning.unified_code,
            retryable=meaning.retryable,
        )

    def _order(self, order: Mapping[str, Any], number: str) -> ChannelAnswer:
        """Read a proven order object. Its state is a code like any other: an unmapped one is UNKNOWN."""
        if (order.get("shop"), order.get("no")) != (self._shop, number):
            raise _NotAuthentic("not_ours")
        state = _text(order.get("state"), 64)
        meaning = self._codes.read("state", state)
        amount, currency, qr = order.get("amount"), order.get("currency"), order.get("qr")
        if type(amount) is not int or amount <= 0 or not isinstance(currency, str):
            raise _NotAuthentic("unreadable")
        payable = meaning.state is ChannelState.PENDING and isinstance(qr, str)
        return ChannelAnswer(
            meaning.state,
            amount_minor=amount,
            currency=currency,
            channel_order_no=_text(order.get("id"), 64) or None,
            channel_code=state,
            code=meaning.unified_code,
            retryable=meaning.retryable,
            happened_at=_instant(order.get("paid_at")),
            action=PayerAction(ActionKind.QR_CODE, qr) if payable else None,
        )

    def sign(self, path: str, body: bytes, now: datetime) -> dict[str, str]:
        """Return the headers that prove a message."""
        time, nonce = str(int(now.timestamp())), secrets.token_hex(16)
        return {
            "tealeaf-time": time,
            "tealeaf-nonce": nonce,
            "tealeaf-signature": _signature(self._secret, time, nonce, path, body),
        }

    def _read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> dict[str, Any]:
        """Verify first, over the bytes as received; then read."""
        time, nonce = headers.get("tealeaf-time", ""), headers.get("tealeaf-nonce", "")
        signature = headers.get("tealeaf-signature", "")
        if not (signature.isascii() and signature and nonce and re.fullmatch("[0-9]{1,12}", time)):
            raise _NotAuthentic("unsigned")
        if not hmac.compare_digest(_signature(self._secret, time, nonce, "", body), signature):
            raise _NotAuthentic("bad_signature")
        if abs(int(time) - now.timestamp()) > _WINDOW_S:
            raise _NotAuthentic("stale")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise _NotAuthentic("unreadable")
        return content


class _NotAuthentic(Exception):
    """A message is not proven to be Tealeaf's about this order of this shop; the text is the reason."""


def _signature(secret: bytes, time: str, nonce: str, path: str, body: bytes) -> str:
    return hmac.new(secret, f"{time}\n{nonce}\n{path}\n".encode() + body, hashlib.sha256).hexdigest()


def _text(value: object, length: int) -> str:
    """Return a text cut to a length, without the one character that PostgreSQL does not store."""
    return value.replace("\0", "")[:length] if isinstance(value, str) else ""


def _instant(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None
