"""WeChat Pay's HTTP client: signed requests and proven answers."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from hutong.channels.errors import ChannelUnreachable, NoAnswer, NotAuthentic
from hutong.channels.http import Http, HttpReply, decode_object
from hutong.channels.key_fetches import KeyFetches
from hutong.channels.model import text
from hutong.channels.wechat.credentials import WeChatCredentials, WeChatKeys

_BACKUP_S = 60.0
_SERIAL = re.compile(r"[0-9A-F]{1,40}")


class WeChatClient:
    """The calls of one account.

    Args:
        nonce: Returns a text that no two requests share.
    """

    def __init__(
        self,
        credentials: WeChatCredentials,
        keys: WeChatKeys,
        http: Http,
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._addresses = credentials.addresses
        self._backup_until = 0.0
        self._keys = keys
        self._http = http
        self._key_fetches = KeyFetches(keys.holds)
        self.nonce = nonce

    async def call(
        self,
        method: str,
        target: str,
        now: datetime,
        content: Mapping[str, Any] | None = None,
        *,
        serial: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send one request and return the status and the object of its answer, proven to be WeChat's.

        Args:
            content: The object to send; with None there is no body.
            serial: The key of WeChat's with which parts of the content are encrypted.

        Errors:
            NoAnswer: there is no answer, or it is not proven.
        """
        status, answer, _ = await self._call(method, target, now, content, serial)
        return status, answer

    async def ask(self, target: str, now: datetime) -> tuple[dict[str, Any], datetime] | None:
        """Return what WeChat states under an address, and when it has signed that; None without a proven statement."""
        try:
            status, answer, stated_at = await self._call("GET", target, now)
        except NoAnswer:
            return None
        return (answer, stated_at) if status == 200 else None

    async def _call(
        self,
        method: str,
        target: str,
        now: datetime,
        content: Mapping[str, Any] | None = None,
        serial: str | None = None,
    ) -> tuple[int, dict[str, Any], datetime]:
        reply = await self.send(method, target, now, content, serial)
        try:
            try:
                self._keys.verify(reply.headers, reply.body, now=now)
            except NotAuthentic as error:
                await self._verify_again(reply, error, now)
            answer = decode_object(reply.body) if reply.body else {}
        except NotAuthentic as error:
            raise _unproven(reply.status, reply.body, str(error)) from None
        return reply.status, answer, datetime.fromtimestamp(int(reply.headers["wechatpay-timestamp"]), UTC)

    async def _verify_again(self, reply: HttpReply, error: NotAuthentic, now: datetime) -> None:
        """Verify an answer once more if it names a certificate that is new among those that WeChat lists now."""
        serial = reply.headers.get("wechatpay-serial", "")
        if str(error) != "unknown_key" or not await self.obtain_key(serial, now):
            raise error
        self._keys.verify(reply.headers, reply.body, now=now)

    async def obtain_key(self, serial: str, now: datetime, *, patient: bool = True) -> bool:
        """Return whether this certificate of WeChat's is held by now, after a fetch of their list if one is due.

        Args:
            patient: Wait for a fetch that is in progress.
        """
        if not _SERIAL.fullmatch(serial):
            return False
        return await self._key_fetches.obtain(serial, partial(self._fetch_certificates, now), now=now, patient=patient)

    async def _fetch_certificates(self, now: datetime) -> bool:
        """Adopt the certificates that WeChat lists; return whether the answer was WeChat's.

        They are encrypted with the API v3 key, which only WeChat and the merchant know, in an answer that one of them
        has signed.
        """
        try:
            reply = await self.send("GET", "/v3/certificates", now)
            self._keys.adopt_list(reply.headers, reply.body, now=now)
        except (NoAnswer, NotAuthentic):
            return False
        return True

    async def send(
        self,
        method: str,
        target: str,
        now: datetime,
        content: Mapping[str, Any] | None = None,
        serial: str | None = None,
    ) -> HttpReply:
        """Send one request and return its unverified answer.

        Errors:
            NoAnswer: there is none.
        """
        body = b"" if content is None else orjson.dumps(content)

        async def send_to(address: str) -> HttpReply:
            headers = self._headers(method, target, body, now, serial)
            return await self._http.call(method, address + target, headers=headers, body=body)

        return await self._reach(send_to)

    async def download(self, target: str, now: datetime, *, into: Path, limit: int) -> HttpReply:
        """Write the answer's body to a file. WeChat does not sign it: the caller checks it against a signed hash."""

        async def load_from(address: str) -> HttpReply:
            headers = self._headers("GET", target, b"", now)
            return await self._http.download("GET", address + target, headers=headers, into=into, limit=limit)

        return await self._reach(load_from)

    async def _reach(self, send: Callable[[str], Awaitable[HttpReply]]) -> HttpReply:
        """Send to the second address what could not be sent to the first, and for a minute everything.

        What may have been sent is never sent elsewhere: the caller asks about it.

        Errors:
            NoAnswer: there is no answer.
        """
        prefers_first = monotonic() >= self._backup_until
        addresses = self._addresses if prefers_first else self._addresses[::-1]
        try:
            try:
                return await send(addresses[0])
            except ChannelUnreachable as error:
                if error.sent or len(addresses) == 1:
                    raise
                reply = await send(addresses[1])
                self._backup_until = monotonic() + _BACKUP_S if prefers_first else 0.0
                return reply
        except ChannelUnreachable as error:
            raise NoAnswer.unreachable(error) from None

    def target_of(self, url: object) -> str | None:
        """Return path and query of an address that WeChat names; None if it is not at a host that we call."""
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 2048:
            return None
        host = next((address for address in self._addresses if url.startswith(f"{address}/")), None)
        return None if host is None else url[len(host) :]

    def _headers(
        self, method: str, target: str, body: bytes, now: datetime, serial: str | None = None
    ) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Authorization": self._keys.authorize(method, target, body, nonce=self.nonce(), now=now),
        }
        if body:
            headers["Content-Type"] = "application/json"
        named = serial or self._keys.requested_serial
        if named is not None:
            headers["Wechatpay-Serial"] = named
        return headers


def _unproven(status: int, body: bytes, reason: str) -> NoAnswer:
    """Return the error for an answer without proof; a refusal's code is kept for people and decides nothing."""
    try:
        answer = decode_object(body)
    except NotAuthentic:
        answer = {}
    code, message = text(answer.get("code"), 64), text(answer.get("message"), 256)
    if status >= 400 and code:
        return NoAnswer(code, message)
    return NoAnswer(reason, f"an answer with status {status} is not proven to come from WeChat Pay")
