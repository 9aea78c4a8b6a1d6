"""HTTP calls to channels, the only ones: bounded in time, bounded in size, following no redirects.

Messages are decoded strictly: each has one reading, and each byte sequence one spelling.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from hutong import outgoing
from hutong.channels.errors import ChannelUnreachable, NotAuthentic

BODY_LIMIT = 1 << 20
"""Longest body that is read, in bytes; a longer one counts as no answer."""

_DOWNLOAD_TIMEOUT_S = 300.0
_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A raw HTTP answer. Header names are lower case; the body is the bytes that signatures cover."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """A client for channels over a bounded pool of connections. `Http.open` makes the one of a process, and
    `for_account` those of its accounts: no account waits for another one's connections.
    """

    def __init__(self, session: aiohttp.ClientSession, open_session: Callable[[], aiohttp.ClientSession]) -> None:
        self._session = session
        self._open_session = open_session
        self._accounts: dict[UUID, Http] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, connect_timeout_s: float = 3.0, total_timeout_s: float = 10.0, connections: int = 128
    ) -> AsyncIterator[Http]:
        """Open the pools; they close with the block.

        Args:
            connect_timeout_s: Longest wait for a connection, from the pool or new.
            total_timeout_s: Longest wait from the start of a call to the last byte of its answer.
            connections: Most connections of one pool, that is of one account, open at once.
        """
        timeout = aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s)

        def open_session() -> aiohttp.ClientSession:
            # No cookies: one of one merchant's account must not travel with another's call. Nothing is unpacked:
            # signatures cover the bytes on the wire.
            return outgoing.open_session(
                timeout,
                # WeChat Pay drops idle connections after 8 s; one dropped under a call would leave a payment in doubt.
                connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=5),
                headers={"Accept-Encoding": "identity", "User-Agent": "hutong"},
            )

        http = cls(open_session(), open_session)
        try:
            yield http
        finally:
            for each in (http, *http._accounts.values()):
                await each._session.close()

    def for_account(self, account_id: UUID) -> Http:
        """Return the client of one account, which has a pool of its own."""
        if account_id not in self._accounts:
            self._accounts[account_id] = Http(self._open_session(), self._open_session)
        return self._accounts[account_id]

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        """Send one request and read its whole answer.

        Args:
            url: Sent exactly as written, since adapters sign it.

        Errors:
            ChannelUnreachable: no connection, no answer in time, or an answer that is cut off or too long.
        """
        async with self._request(method, url, headers=headers, body=body) as response:
            return HttpReply(response.status, _lower(response.headers), await _read(response))

    async def download(
        self, method: str, url: str, *, headers: Mapping[str, str], into: Path, limit: int, body: bytes = b""
    ) -> HttpReply:
        """Send one request and write the body of its answer to a file, which exists only if it is complete.

        Args:
            limit: Longest body, in bytes.

        Returns:
            The answer; with status 200 the body is in the file instead.

        Errors:
            ChannelUnreachable: as for `call`.
        """
        timeout = aiohttp.ClientTimeout(total=_DOWNLOAD_TIMEOUT_S, connect=self._session.timeout.connect, sock_read=30)
        async with self._request(method, url, headers=headers, body=body, timeout=timeout) as response:
            if response.status != 200:
                return HttpReply(response.status, _lower(response.headers), await _read(response))
            partial = into.with_name(f"{into.name}.part")
            try:
                with await asyncio.to_thread(partial.open, "wb") as file:
                    await _copy(response, file, limit)
                await asyncio.to_thread(partial.replace, into)
            finally:
                await asyncio.to_thread(partial.unlink, missing_ok=True)
            return HttpReply(response.status, _lower(response.headers), b"")

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method, target, headers=headers, data=body or None, allow_redirects=False, **options
            ) as response:
                yield response
        except _NOTHING_SENT as error:
            raise ChannelUnreachable(f"no connection: {type(error).__name__}", sent=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ChannelUnreachable(f"no answer: {type(error).__name__}", sent=True) from error


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def _read(response: aiohttp.ClientResponse) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > BODY_LIMIT:
            raise ChannelUnreachable("the answer is longer than the limit", sent=True)
    return bytes(received)


async def _copy(response: aiohttp.ClientResponse, file: BinaryIO, limit: int) -> None:
    length = 0
    async for chunk in response.content.iter_chunked(1 << 18):
        length += len(chunk)
        if length > limit:
            raise ChannelUnreachable("the answer is longer than the limit", sent=True)
        await asyncio.to_thread(file.write, chunk)


def decode_base64(value: str) -> bytes:
    """Decode base64; of the several spellings of the same bytes only the canonical one is accepted.

    Errors:
        ValueError: not base64, or not its canonical spelling.
    """
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if base64.b64encode(decoded).decode() != value:
        raise ValueError("not canonical base64")
    return decoded


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Errors:
        NotAuthentic: "unreadable".
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotAuthentic("unreadable") from None
    if not isinstance(value, dict):
        raise NotAuthentic("unreadable")
    return value
