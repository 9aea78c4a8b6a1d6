"""Webhooks past the queue: a merchant's events followed to a developer's address, and test events.

Nothing here is recorded or repeated. The requests are those of the worker, byte for byte but for the mark of a test.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from hutong import db
from hutong.errors import NotFound
from hutong.events.archive import outbox_key
from hutong.events.model import RecordedEvent, Scheme
from hutong.events.outbox import read_event
from hutong.events.statements import sql
from hutong.events.webhooks.address_guard import check_url
from hutong.events.webhooks.client import Webhook, WebhookClient, WebhookResponse
from hutong.events.webhooks.endpoints import secret_context
from hutong.events.webhooks.signing import new_key
from hutong.vault import Vault

__all__ = ["Follower", "Sender", "WebhookResponse", "local_secret", "send_test"]

PAGE = 1_000
_SPREAD_MS = 60_000
"""How much earlier than one committed before it an event's id may have been made."""
_LOCAL = UUID(int=0)


def local_secret() -> str:
    """Return a new secret by which a developer verifies what `Sender` sends, as for an endpoint with `hmac`."""
    return new_key(Scheme.HMAC, secrets.token_bytes).secret


class Follower:
    """Reads a merchant's events as they are committed, each once, an object's events in order.

    Args:
        types: Exact names; none means all.
    """

    def __init__(self, merchant_id: UUID, types: Sequence[str] = ()) -> None:
        self._merchant_id = merchant_id
        self._types = list(types)
        self._last = _LOCAL
        self._known: set[UUID] = set()

    async def begin(self, tx: db.Tx, after: UUID | None) -> None:
        """Choose where to begin: after this event of the merchant, or by default after what is there now.

        Errors:
            NotFound: the merchant has no such event, or it is in the archive.
        """
        if after is None:
            self._last = await sql.last_event.fetchval(tx, self._merchant_id) or _LOCAL
        else:
            self._last = await outbox_key(tx, after)
        rows = await sql.events_before.fetch(
            tx,
            merchant_id=self._merchant_id,
            last=self._last,
            low=self._bound(-_SPREAD_MS),
            high=self._bound(_SPREAD_MS),
        )
        self._known = {row["event_id"] for row in rows}
        if after is not None and self._last not in self._known:
            raise NotFound("the merchant has no event with this id")

    async def read(self, tx: db.Tx) -> list[RecordedEvent]:
        """Return the events that were committed since the last call, at most PAGE."""
        rows = await sql.follow_events.fetch(
            tx,
            merchant_id=self._merchant_id,
            low=self._bound(-_SPREAD_MS),
            known=list(self._known),
            types=self._types,
            limit=PAGE,
        )
        found = list(map(read_event, rows))
        self._known |= {event.event_id for event in found}
        self._last = max([self._last, *(event.event_id for event in found)])
        self._known = {event_id for event_id in self._known if event_id > self._bound(-_SPREAD_MS)}
        return _in_order(found)

    def _bound(self, distance_ms: int) -> UUID:
        """Return the lower bound of the ids made so much later than the last one, or earlier."""
        return UUID(int=max((self._last.int >> 80) + distance_ms, 0) << 80)


def _in_order(events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """Return events by their ids, but those of each object by their numbers: clocks of processes differ."""
    by_object: dict[UUID, list[RecordedEvent]] = {}
    for event in sorted(events, key=lambda event: event.object_seq, reverse=True):
        by_object.setdefault(event.object_id, []).append(event)
    return [by_object[event.object_id].pop() for event in events]


@dataclass(frozen=True, slots=True)
class _Target:
    endpoint_id: UUID
    url: str
    scheme: Scheme
    sealed_secret: bytes


def _webhook(event: RecordedEvent, target: _Target, *, is_test: bool) -> Webhook:
    assert event.merchant_id is not None, "only a merchant has endpoints"
    return Webhook(
        event_id=event.event_id,
        type=event.type,
        object_seq=event.object_seq,
        data=event.data,
        created_at=event.created_at,
        endpoint_id=target.endpoint_id,
        url=target.url,
        sealed_secret=target.sealed_secret,
        version=event.version,
        merchant_id=event.merchant_id,
        scheme=target.scheme,
        public_id=event.public_id,
        is_test=is_test,
    )


class Sender:
    """Sends events to one address, signed with one secret; an async context manager.

    Args:
        url: May be http and private.

    Errors:
        InvalidParameter: `url` is not an address.
    """

    def __init__(self, url: str, secret: str) -> None:
        check_url(url, allow_private=True)
        vault = Vault([secrets.token_bytes(32)])
        self._url = url
        self._sealed = vault.seal(secret.encode(), context=secret_context(_LOCAL))
        self._client = WebhookClient(vault, allow_private=True)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def send(self, event: RecordedEvent, *, now: datetime, is_test: bool = False) -> WebhookResponse:
        """Send once."""
        target = _Target(_LOCAL, self._url, Scheme.HMAC, self._sealed)
        return await self._client.send(_webhook(event, target, is_test=is_test), now=now)


async def send_test(
    database: db.Database, vault: Vault, event: RecordedEvent, *, now: datetime
) -> dict[UUID, tuple[str, WebhookResponse]]:
    """Send a test event to the enabled endpoints of its merchant that subscribe to its type. For the sandbox only.

    Returns:
        The address and its answer, by endpoint.
    """
    async with database.transaction() as tx:
        rows = await sql.endpoint_targets.fetch(tx, event.merchant_id, event.type)
    targets = [_Target(row["endpoint_id"], row["url"], Scheme(row["scheme"]), row["sealed_secret"]) for row in rows]
    async with WebhookClient(vault, allow_private=True) as client:
        return {
            target.endpoint_id: (target.url, await client.send(_webhook(event, target, is_test=True), now=now))
            for target in targets
        }
