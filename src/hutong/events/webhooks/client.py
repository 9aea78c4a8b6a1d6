"""One try: sign, send, and say what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from hutong import ids
from hutong.errors import ConfigurationError, InvalidParameter
from hutong.events.model import RecordedEvent, Scheme
from hutong.events.webhooks import legacy_form as form
from hutong.events.webhooks.address_guard import AddressRefused, GuardedResolver, check_url, guarded_socket
from hutong.events.webhooks.endpoints import secret_context
from hutong.events.webhooks.signing import signer
from hutong.telemetry import mask
from hutong.vault import Vault

TIMEOUT_S = 10
ANSWER_MAX = 65_536
ANSWER_KEPT = 512
_KEEP_ALIVE_S = 4  # below the 5 s after which common servers close, so that we seldom write to a closing connection
_DESTINATIONS_MAX = 10_000
_NOBODY = UUID(int=0)
_HEADERS = {"User-Agent": "Hutong-Webhooks/1"}

Prepare = Callable[["Message", datetime], tuple[bytes, dict[str, str]]]
"""Makes the body and the headers of one try."""


@dataclass(frozen=True, slots=True)
class Message:
    """What to send where. `sealed_previous` is the secret of before while it signs too."""

    event_id: UUID
    type: str
    object_seq: int
    data: str
    created_at: datetime
    endpoint_id: UUID
    url: str
    sealed_secret: bytes
    version: int = 1
    merchant_id: UUID = _NOBODY
    scheme: Scheme = Scheme.HMAC
    sealed_previous: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a try: a success if there is no error.

    Attributes:
        answer: The beginning of an answer that was no success, without what looks secret.
    """

    status: int | None
    error: str | None
    duration_ms: int
    answer: str | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None


class WebhookClient:
    """An HTTP client for merchants' servers; an async context manager.

    It trusts nothing of them: no redirects, no cookies, no proxies, no decompression, 10 s and 64 KiB at most, and
    unless `allow_private` no address that is not public.
    """

    def __init__(self, vault: Vault, *, allow_private: bool) -> None:
        self._vault = vault
        self._allow_private = allow_private
        self._destinations: dict[tuple[UUID, str, bytes, bytes | None], tuple[URL, Prepare]] = {}

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
            url, prepare = self._destination(message)
        except (InvalidParameter, ConfigurationError) as error:
            return Outcome(None, "url_refused" if isinstance(error, InvalidParameter) else "secret_unavailable", 0)
        body, headers = prepare(message, now)
        begun = time.perf_counter()
        status, said, failure = await self._post(url, body, headers)
        duration_ms = round((time.perf_counter() - begun) * 1000)
        error_name = failure or _judge(message.scheme, status, said)
        kept = None if error_name is None or not said else _excerpt(said)
        return Outcome(status, error_name, duration_ms, kept)

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> tuple[int | None, bytes, str | None]:
        """The status, the beginning of the answer, and what went wrong before there was a status.

        What happens to the answer's body after the status is no failure by itself.
        """
        status, said = None, bytearray()
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                await _drain(answer, said)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if status is None:
                return None, b"", _name_of(error)
        return status, bytes(said), None

    def _destination(self, message: Message) -> tuple[URL, Prepare]:
        key = (message.endpoint_id, message.url, message.sealed_secret, message.sealed_previous)
        found = self._destinations.get(key)
        if found is None:
            url = check_url(message.url, allow_private=self._allow_private)
            context = secret_context(message.endpoint_id)
            sealed = [message.sealed_secret, *([message.sealed_previous] if message.sealed_previous else [])]
            secrets = [self._vault.open(one, context=context).decode() for one in sealed]
            found = url, _form(secrets) if message.scheme is Scheme.RSA2 else _standard(secrets)
            if len(self._destinations) >= _DESTINATIONS_MAX:
                self._destinations.clear()
            self._destinations[key] = found
        return found


def body_of(name: str, message: Message | RecordedEvent) -> bytes:
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


def _standard(secrets: list[str]) -> Prepare:
    """Standard Webhooks: one signature by each secret."""
    signers = [signer(secret) for secret in secrets]

    def prepare(message: Message, now: datetime) -> tuple[bytes, dict[str, str]]:
        name = ids.encode("evt", message.event_id)
        body = body_of(name, message)
        text = body.decode()
        return body, {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(sign(name, now, text) for sign in signers),
        }

    return prepare


def _form(secrets: list[str]) -> Prepare:
    """The legacy mode: one signature has room, and until the overlap ends it is that of the key of before."""
    key = form.load(secrets[-1])

    def prepare(message: Message, now: datetime) -> tuple[bytes, dict[str, str]]:
        name = ids.encode("evt", message.event_id)
        event = orjson.loads(body_of(name, message))
        fields = form.fields_of(event, merchant=ids.encode("mer", message.merchant_id), now=now)
        return form.encode(fields, key), {"Content-Type": form.MEDIA_TYPE, "webhook-id": name}

    return prepare


def _judge(scheme: Scheme, status: int | None, said: bytes) -> str | None:
    """What is wrong with an answer; None if it acknowledges."""
    if status is None or not 200 <= status < 300:
        return "status"
    if scheme is Scheme.RSA2 and said.strip() != form.ACKNOWLEDGED:
        return "not_acknowledged"
    return None


def _excerpt(said: bytes) -> str:
    """The beginning of an answer as text that the database can hold and the log may show."""
    return mask(said.decode(errors="replace").replace("\x00", "\ufffd"))[:ANSWER_KEPT]


async def _drain(answer: aiohttp.ClientResponse, beginning: bytearray) -> None:
    """Read a short answer to its end, so that the connection can serve again; a long one costs its connection."""
    left = ANSWER_MAX
    while left > 0:
        piece = await answer.content.read(left)
        if not piece:
            return
        left -= len(piece)
        beginning += piece[: 2 * ANSWER_KEPT - len(beginning)]
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
