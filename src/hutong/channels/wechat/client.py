"""WeChat Pay's wire: signed requests, proven answers, and the words in them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from hutong.channels.errors import ChannelUnreachable
from hutong.channels.http import Http, HttpReply
from hutong.channels.model import ChannelAnswer, ChannelState, text
from hutong.channels.wechat.credentials import PUBLIC_KEY_PREFIX, Unproven, WeChatCredentials, WeChatKeys
from hutong.money import AMOUNT_MINOR_MAX

_ASK_AGAIN_AFTER = timedelta(minutes=10)


class NoWord(Exception):
    """WeChat has not said anything that is proven; carries the UNKNOWN answer."""

    def __init__(self, code: str, message: str | None) -> None:
        super().__init__(code)
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN, channel_code=text(code, 64), channel_message=text(message, 256)
        )


class Wire:
    """One account's calls.

    Args:
        nonce: Makes the text that no two requests share.
    """

    def __init__(
        self,
        credentials: WeChatCredentials,
        keys: WeChatKeys,
        http: Http,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._base_url = credentials.base_url
        self._keys = keys
        self._http = http
        self._asked_at: datetime | None = None
        self.nonce = nonce

    async def call(
        self, method: str, target: str, now: datetime, content: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send one request. The answer returned is proven to be WeChat's; anything else raises `NoWord`.

        Args:
            content: The object to send; with None there is no body.
        """
        reply = await self.send(method, target, now, content)
        try:
            await self._verify(reply, now)
            return reply.status, read_object(reply.body) if reply.body else {}
        except Unproven as error:
            raise _unproven(reply.status, reply.body, str(error)) from None

    async def _verify(self, reply: HttpReply, now: datetime) -> None:
        """Prove an answer. One that names a certificate we do not hold makes us ask WeChat for its certificates."""
        try:
            self._keys.verify(reply.headers, reply.body, now=now)
        except Unproven as error:
            serial = reply.headers.get("wechatpay-serial", "")
            if str(error) != "unknown_key" or serial.startswith(PUBLIC_KEY_PREFIX) or not await self._learn(now):
                raise
            self._keys.verify(reply.headers, reply.body, now=now)

    async def _learn(self, now: datetime) -> bool:
        """Take over the certificates that WeChat lists, at most every ten minutes; whether there was a new one.

        They come encrypted with the API v3 key, which WeChat and we alone know, in an answer signed by one of them.
        """
        if self._asked_at is not None and now - self._asked_at < _ASK_AGAIN_AFTER:
            return False
        self._asked_at = now
        try:
            reply = await self.send("GET", "/v3/certificates", now)
            return self._keys.learn(reply.headers, reply.body, now=now)
        except (NoWord, Unproven):
            return False

    async def send(
        self, method: str, target: str, now: datetime, content: Mapping[str, Any] | None = None
    ) -> HttpReply:
        """Send one request; its answer is not proven. `NoWord` where there is none."""
        body = b"" if content is None else orjson.dumps(content)
        headers = self._headers(method, target, body, now)
        try:
            return await self._http.call(method, self._base_url + target, headers=headers, body=body)
        except ChannelUnreachable as error:
            raise NoWord("no_answer" if error.sent else "not_sent", error.detail) from None

    async def download(self, target: str, now: datetime, *, into: Path, limit: int) -> HttpReply:
        """Write the answer's body to a file. WeChat does not sign it: the caller checks it against a signed hash."""
        headers = self._headers("GET", target, b"", now)
        try:
            return await self._http.download("GET", self._base_url + target, headers=headers, into=into, limit=limit)
        except ChannelUnreachable as error:
            raise NoWord("no_answer" if error.sent else "not_sent", error.detail) from None

    def target_of(self, url: object) -> str | None:
        """Path and query of an address that WeChat names; None if it is not at the host that we call."""
        if not isinstance(url, str) or not url.startswith(f"{self._base_url}/") or not url.isascii():
            return None
        return url[len(self._base_url) :] if url.isprintable() and len(url) <= 2048 else None

    def _headers(self, method: str, target: str, body: bytes, now: datetime) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Authorization": self._keys.authorize(method, target, body, nonce=self.nonce(), now=now),
        }
        if body:
            headers["Content-Type"] = "application/json"
        if self._keys.wanted_serial is not None:
            headers["Wechatpay-Serial"] = self._keys.wanted_serial
        return headers


def _unproven(status: int, body: bytes, reason: str) -> NoWord:
    """An answer without proof; the code of a refusal is kept for people, but nothing is concluded from it."""
    try:
        answer = read_object(body)
    except Unproven:
        answer = {}
    code, message = text(answer.get("code"), 64), text(answer.get("message"), 256)
    if status >= 400 and code:
        return NoWord(code, message)
    return NoWord(reason, f"an answer with status {status} is not proven to come from WeChat Pay")


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Errors:
        Unproven: it is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unproven("unreadable") from None
    if not isinstance(value, dict):
        raise Unproven("unreadable")
    return value


def read_amount(value: object) -> int | None:
    """A positive number of fen; None for anything else."""
    return value if type(value) is int and 0 < value <= AMOUNT_MINOR_MAX else None


def read_currency(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value) else None


def read_instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
