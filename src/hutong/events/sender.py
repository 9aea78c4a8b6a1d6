"""One try: sign, send, and say what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import aiohttp
import orjson
from standardwebhooks import Webhook
from yarl import URL

from hutong import ids
from hutong.errors import ConfigurationError, InvalidParameter
from hutong.events.address import AddressRefused, GuardedResolver, check_url, guarded_socket
from hutong.events.endpoint import secret_context
from hutong.vault import Vault

TIMEOUT_S = 10
ANSWER_MAX = 65_536
_KEEP_ALIVE_S = 4  # below the 5 s after which common servers close, so that we seldom write to a closing connection
_DESTINATIONS_MAX = 10_000
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Hutong-Webhooks/1"}


@dataclass(frozen=True, slots=True)
class Message:
    """What to send where."""

    event_id: UUID
    type: str
    object_seq: int
    data: str
    created_at: datetime
    endpoint_id: UUID
    url: str
    sealed_secret: bytes
    version: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try. Only a 2xx status is a success, whatever happens to the answer's body after it."""

    status: int | None
    error: str | None
    duration_ms: int

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """An HTTP client for merchants' servers; an async context manager.

    It trusts nothing of them: no redirects, no cookies, no proxies, no decompression, 10 s and 64 KiB at most, and
    unless `allow_private` no address that is not public.
    """

    def __init__(self, vault: Vault, *, allow_private: bool) -> None:
        self._vault = vault
        self._allow_private = allow_private
        self._destinations: dict[tuple[UUID, str, bytes], tuple[URL, Webhook]] = {}

    async def __aenter__(self) -> Self:
        self._resolver = None if self._allow_private else GuardedResolver()
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=self._resolver,
            socket_factory=None if self._allow_private else guarded_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, message: Message, *, now: datetime) -> Outcome:
        """Send once. Never raises for what a merchant's server may do."""
        try:
            url, webhook = self._destination(message)
        except (InvalidParameter, ConfigurationError) as error:
            return Outcome(None, "url_refused" if isinstance(error, InvalidParameter) else "secret_unavailable", 0)
        name = ids.encode("evt", message.event_id)
        body = body_of(name, message)
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(name, now, body.decode()),
        }
        begun = time.perf_counter()
        status, error_name = await self._post(url, body, headers)
        return Outcome(status, error_name, round((time.perf_counter() - begun) * 1000))

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
        status = None
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                await _drain(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if status is None:
                return None, _name_of(error)
        return status, None if status is not None and 200 <= status < 300 else "status"

    def _destination(self, message: Message) -> tuple[URL, Webhook]:
        key = (message.endpoint_id, message.url, message.sealed_secret)
        found = self._destinations.get(key)
        if found is None:
            url = check_url(message.url, allow_private=self._allow_private)
            secret = self._vault.open(message.sealed_secret, context=secret_context(message.endpoint_id))
            found = url, Webhook(secret.decode())
            if len(self._destinations) >= _DESTINATIONS_MAX:
                self._destinations.clear()
            self._destinations[key] = found
        return found


def body_of(name: str, message: Message) -> bytes:
    """The JSON text that is signed and sent: the same bytes for every try and every endpoint."""
    return orjson.dumps(
        {
            "id": name,
            "type": message.type,
            "version": message.version,
            "created_at": message.created_at,
            "object_seq": message.object_seq,
            "data": orjson.Fragment(message.data),
        },
        option=orjson.OPT_UTC_Z,
    )


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end, so that the connection can serve again; a long one costs its connection."""
    left = ANSWER_MAX
    while left > 0:
        piece = await answer.content.read(left)
        if not piece:
            return
        left -= len(piece)
    answer.close()


def _name_of(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused) or isinstance(error, aiohttp.ClientConnectorDNSError):
        return "address_refused"  # one word for both, so that nobody learns which names exist inside
    if isinstance(error, asyncio.TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls_failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection_failed"
    return "protocol_error"
