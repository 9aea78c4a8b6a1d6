"""The one way out to channels: bounded in time, bounded in size, following no redirects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from hutong.channels.errors import ChannelUnreachable

BODY_LIMIT = 1 << 20
"""Longest answer read, in bytes; a longer one counts as no answer."""

_NOTHING_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer as it came. Header names are lower case; the body is the raw bytes that signatures cover."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """Calls to channels over one pool of connections. One per process, made by `Http.open`."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, connect_timeout_s: float = 3.0, total_timeout_s: float = 10.0, connections: int = 256
    ) -> AsyncIterator[Http]:
        """Open the pool; it closes with the block.

        Args:
            connect_timeout_s: Longest wait for a connection, from the pool or new.
            total_timeout_s: Longest wait from the start of a call to the last byte of its answer.
            connections: Most connections open at once, to all channels together.
        """
        timeout = aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s)
        async with aiohttp.ClientSession(
            # WeChat Pay drops idle connections after 8 s; one dropped under a call would leave a payment in doubt.
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=5),
            timeout=timeout,
            # A cookie of one merchant's account must not travel with another's call.
            cookie_jar=aiohttp.DummyCookieJar(),
            # Signatures cover the bytes on the wire, and a packed answer could unpack to any size.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "hutong"},
        ) as session:
            yield cls(session)

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> HttpReply:
        """Send one request and read its whole answer.

        Args:
            url: Sent exactly as written, since adapters sign it.

        Errors:
            ChannelUnreachable: no connection, no answer in time, or an answer that breaks off or is too long.
        """
        target = URL(url, encoded=True)
        try:
            async with self._session.request(
                method, target, headers=headers, data=body or None, allow_redirects=False
            ) as response:
                received = await _read(response)
                return HttpReply(
                    response.status, {name.lower(): value for name, value in response.headers.items()}, received
                )
        except _NOTHING_SENT as error:
            raise ChannelUnreachable(f"no connection: {type(error).__name__}", sent=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ChannelUnreachable(f"no answer: {type(error).__name__}", sent=True) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > BODY_LIMIT:
            raise ChannelUnreachable("the answer is too long", sent=True)
    return bytes(received)
