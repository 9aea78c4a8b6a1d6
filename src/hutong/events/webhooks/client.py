"""The HTTP client of one delivery attempt: signs, sends, and judges the answer."""

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

from hutong import ids, outgoing
from hutong.clock import instant
from hutong.errors import ConfigurationError, InvalidParameter
from hutong.events.model import RecordedEvent, Scheme, event_name
from hutong.events.webhooks import legacy_form
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

Prepare = Callable[["Webhook", datetime], tuple[bytes, dict[str, str]]]
"""Makes the body and the headers of one attempt."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An event and the endpoint that it is sent to.

    Attributes:
        sealed_previous: The previous secret while it signs too.
        is_test: Nothing has happened; the body says so.
    """

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
    public_id: UUID | None = None
    is_test: bool = False

    @property
    def name(self) -> str:
        """The id by which receivers know the event."""
        return event_name(self.event_id, self.public_id)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The outcome of one attempt: a success if there is no error.

    Attributes:
        answer: The beginning of an unsuccessful answer, with what looks secret masked.
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

    It trusts nothing about these servers: no redirects, no cookies, no proxies, no decompression, 10 s and 64 KiB at
    most, and unless `allow_private` no address that is not public.
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
        self._session = outgoing.open_session(
            aiohttp.ClientTimeout(total=TIMEOUT_S), connector=connector, headers=_HEADERS
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def send(self, webhook: Webhook, *, now: datetime) -> WebhookResponse:
        """Send once. Never raises for anything that a merchant's server may do."""
        try:
            url, prepare = self._destination(webhook)
        except (InvalidParameter, ConfigurationError) as error:
            name = "url_refused" if isinstance(error, InvalidParameter) else "secret_unavailable"
            return WebhookResponse(None, name, 0)
        body, headers = prepare(webhook, now)
        begun = time.perf_counter()
        status, answer, failure = await self._post(url, body, headers)
        duration_ms = round((time.perf_counter() - begun) * 1000)
        error_name = failure or _judge(webhook.scheme, status, answer)
        kept = None if error_name is None or not answer else _excerpt(answer)
        return WebhookResponse(status, error_name, duration_ms, kept)

    async def _post(self, url: URL, body: bytes, headers: dict[str, str]) -> tuple[int | None, bytes, str | None]:
        """Return the status, the beginning of the answer, and the failure if there was no status.

        A failure while reading the answer's body, after the status, does not fail the attempt.
        """
        status, beginning = None, bytearray()
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                await _drain(answer, beginning)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if status is None:
                return None, b"", _name_of(error)
        return status, bytes(beginning), None

    def _destination(self, webhook: Webhook) -> tuple[URL, Prepare]:
        key = (webhook.endpoint_id, webhook.url, webhook.sealed_secret, webhook.sealed_previous)
        destination = self._destinations.get(key)
        if destination is None:
            url = check_url(webhook.url, allow_private=self._allow_private)
            context = secret_context(webhook.endpoint_id)
            sealed = [webhook.sealed_secret, *([webhook.sealed_previous] if webhook.sealed_previous else [])]
            secrets = [self._vault.open(secret, context=context).decode() for secret in sealed]
            prepare = _prepare_form if webhook.scheme is Scheme.RSA2 else _prepare_standard
            destination = url, prepare(secrets)
            if len(self._destinations) >= _DESTINATIONS_MAX:
                self._destinations.clear()
            self._destinations[key] = destination
        return destination


def webhook_body(name: str, event: Webhook | RecordedEvent, *, is_test: bool = False) -> bytes:
    """Return the JSON text that is signed and sent: the same bytes for every attempt and every endpoint.

    Args:
        name: The event's id, `evt_…`.
        is_test: Whether to mark it as a test event; others have no such field.
    """
    return orjson.dumps(
        ({"test": True} if is_test else {})
        | {
            "id": name,
            "type": event.type,
            "version": event.version,
            "created_at": instant(event.created_at),
            "object_seq": event.object_seq,
            "data": orjson.Fragment(event.data),
        }
    )


def _prepare_standard(secrets: list[str]) -> Prepare:
    """Prepare requests by the rules of Standard Webhooks, with one signature per secret."""
    signers = [signer(secret) for secret in secrets]

    def prepare(webhook: Webhook, now: datetime) -> tuple[bytes, dict[str, str]]:
        name = webhook.name
        body = webhook_body(name, webhook, is_test=webhook.is_test)
        text = body.decode()
        return body, {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(sign(name, now, text) for sign in signers),
        }

    return prepare


def _prepare_form(secrets: list[str]) -> Prepare:
    """Prepare requests in the legacy form, which carries one signature.

    During a rotation it is made with the previous key, the last of the secrets.
    """
    key = legacy_form.load(secrets[-1])

    def prepare(webhook: Webhook, now: datetime) -> tuple[bytes, dict[str, str]]:
        name = webhook.name
        event = orjson.loads(webhook_body(name, webhook, is_test=webhook.is_test))
        fields = legacy_form.fields_of(event, merchant=ids.encode("mer", webhook.merchant_id), now=now)
        return legacy_form.encode(fields, key), {"Content-Type": legacy_form.MEDIA_TYPE, "webhook-id": name}

    return prepare


def _judge(scheme: Scheme, status: int | None, answer: bytes) -> str | None:
    """Return the error of an answer, or None if it acknowledges the event."""
    if status is None or not 200 <= status < 300:
        return "status"
    if scheme is Scheme.RSA2 and answer.strip() != legacy_form.ACKNOWLEDGED:
        return "not_acknowledged"
    return None


def _excerpt(answer: bytes) -> str:
    """Return the beginning of an answer as text that the database can hold and the log may show."""
    return mask(answer.decode(errors="replace").replace("\x00", "\ufffd"))[:ANSWER_KEPT]


async def _drain(answer: aiohttp.ClientResponse, beginning: bytearray) -> None:
    """Read a short answer to its end, so that the connection can be reused; close the connection of a long one."""
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
        return "address_refused"  # one name for both, so that nobody finds out which hosts exist in our network
    if isinstance(error, asyncio.TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientSSLError):
        return "tls_failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "connection_failed"
    return "protocol_error"
