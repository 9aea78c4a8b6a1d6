"""Endpoints: the addresses at which merchants receive events."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.clock import instant
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.events.model import Endpoint, NewEndpoint, Scheme
from hutong.events.statements import sql
from hutong.events.webhooks.address_guard import check_url
from hutong.events.webhooks.signing import SigningKey, new_key
from hutong.vault import Vault

ENDPOINTS_MAX = 16
"""The most enabled endpoints of one merchant; each costs a row for every event."""

OVERLAP_MAX = timedelta(days=7)
"""The longest time for which the previous secret signs beside the new one."""

TYPES_MAX = 64
_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)


async def create_endpoint(
    tx: db.Tx,
    *,
    endpoint_id: UUID,
    merchant_id: UUID,
    url: str,
    types: Sequence[str] = (),
    scheme: Scheme = Scheme.HMAC,
    description: str | None = None,
    now: datetime,
    vault: Vault,
    allow_private: bool = False,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NewEndpoint:
    """Create an endpoint, which receives the events from now on.

    Args:
        types: The event types to send, exact names; none means all.
        allow_private: Permits http and private hosts: for the sandbox only.
        random_bytes: The source of the secret; must not be guessable in production.

    Returns:
        The endpoint, and the secret that it shares with us, which is kept only in sealed form.

    Errors:
        InvalidParameter: `url` or `types` is not allowed.
        Conflict: the merchant has ENDPOINTS_MAX enabled ones.
    """
    check_url(url, allow_private=allow_private)
    _check_types(types)
    key, sealed = await _make_key(scheme, endpoint_id, vault, random_bytes)
    row = await sql.insert_endpoint.fetchrow(
        tx,
        endpoint_id=endpoint_id,
        merchant_id=merchant_id,
        url=url,
        types=sorted(set(types)),
        scheme=scheme,
        sealed_secret=sealed,
        public_key=key.public,
        description=description,
        now=now,
        most=ENDPOINTS_MAX,
    )
    if row is None:
        raise Conflict(f"a merchant has at most {ENDPOINTS_MAX} enabled webhook endpoints")
    return NewEndpoint(_read_endpoint(row), key.secret if scheme is Scheme.HMAC else None)


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What changes of an endpoint; None leaves a field as it is.

    Attributes:
        description: The new text; an empty one removes it.
    """

    url: str | None = None
    types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


async def change_endpoint(
    tx: db.Tx,
    merchant_id: UUID,
    endpoint_id: UUID,
    change: EndpointChange,
    *,
    now: datetime,
    allow_private: bool = False,
) -> Endpoint:
    """Change an endpoint, which keeps its secret. Deliveries that wait go to the new address.

    Args:
        allow_private: As for `create_endpoint`.

    Repeat:
        Changes nothing.

    Errors:
        NotFound: the merchant has no such endpoint.
        InvalidParameter, Conflict: as for `create_endpoint`.
    """
    if change.url is not None:
        check_url(change.url, allow_private=allow_private)
    _check_types(change.types or ())
    row = await sql.change_endpoint.fetchrow(
        tx,
        merchant_id=merchant_id,
        endpoint_id=endpoint_id,
        url=change.url,
        types=None if change.types is None else sorted(set(change.types)),
        describes=change.description is not None,
        description=change.description or None,
    )
    if row is None:
        raise NotFound("no webhook endpoint has this id")
    if change.enabled is None:
        return _read_endpoint(row)
    if change.enabled:
        return await enable_endpoint(tx, merchant_id, endpoint_id)
    return await disable_endpoint(tx, merchant_id, endpoint_id, now=now)


async def rotate_endpoint(
    tx: db.Tx,
    merchant_id: UUID,
    endpoint_id: UUID,
    *,
    overlap: timedelta,
    now: datetime,
    vault: Vault,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NewEndpoint:
    """Give an endpoint a new secret.

    Args:
        overlap: The time for which the previous secret signs too, at most OVERLAP_MAX. The legacy form carries one
            signature: there the new key takes over when the overlap ends.

    Repeat:
        Makes another secret; of the two previous ones only the later is kept.

    Errors:
        NotFound: the merchant has no such endpoint.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    key, sealed = await _make_key(endpoint.scheme, endpoint_id, vault, random_bytes)
    overlaps = overlap > timedelta(0)
    row = await sql.rotate_secret.fetchrow(tx, endpoint_id, sealed, key.public, overlaps, now + overlap)
    assert row is not None
    return NewEndpoint(_read_endpoint(row), key.secret if endpoint.scheme is Scheme.HMAC else None)


async def find_endpoint(tx: db.Tx, merchant_id: UUID | None, endpoint_id: UUID) -> Endpoint:
    """Return one endpoint.

    Args:
        merchant_id: The merchant that it must belong to; None, for operators, means any.

    Errors:
        NotFound: there is no such endpoint.
    """
    row = await sql.find_endpoint.fetchrow(tx, merchant_id, endpoint_id)
    if row is None:
        raise NotFound("no webhook endpoint has this id")
    return _read_endpoint(row)


async def enable_endpoint(tx: db.Tx, merchant_id: UUID, endpoint_id: UUID) -> Endpoint:
    """Enable an endpoint, which receives the events from now on. Dead deliveries stay dead until they are replayed.

    Repeat:
        Changes nothing.

    Errors:
        NotFound: the merchant has no such endpoint.
        Conflict: the merchant has ENDPOINTS_MAX enabled ones.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    if endpoint.disabled_at is None:
        return endpoint
    row = await sql.enable_endpoint.fetchrow(tx, merchant_id, endpoint_id, ENDPOINTS_MAX)
    if row is None:
        raise Conflict(f"a merchant has at most {ENDPOINTS_MAX} enabled webhook endpoints")
    return _read_endpoint(row)


async def list_endpoints(tx: db.Tx, merchant_id: UUID) -> list[Endpoint]:
    """Return all endpoints of a merchant, oldest first."""
    return [_read_endpoint(row) for row in await sql.list_endpoints.fetch(tx, merchant_id)]


async def disable_endpoint(tx: db.Tx, merchant_id: UUID, endpoint_id: UUID, *, now: datetime) -> Endpoint:
    """Disable an endpoint. Its pending deliveries become dead as they fall due.

    Repeat:
        Keeps the first instant.

    Errors:
        NotFound: the merchant has no such endpoint.
    """
    row = await sql.disable_endpoint.fetchrow(tx, merchant_id, endpoint_id, now)
    if row is None:
        raise NotFound("no webhook endpoint has this id")
    return _read_endpoint(row)


def secret_context(endpoint_id: UUID) -> str:
    """Return the context that an endpoint's sealed secret is bound to."""
    return f"webhook_endpoint:{ids.encode('whe', endpoint_id)}"


async def disable_failing(tx: db.Tx, endpoint_ids: Sequence[UUID], *, now: datetime, since: datetime) -> list[Endpoint]:
    """Disable the endpoints among these that have failed since `since` or longer, each once."""
    return [_read_endpoint(row) for row in await sql.disable_failing.fetch(tx, endpoint_ids, now, since)]


def endpoint_document(endpoint: Endpoint) -> dict[str, Any]:
    """Return the public form of an endpoint, in answers and events."""
    return {
        "id": ids.encode("whe", endpoint.endpoint_id),
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "description": endpoint.description,
        "types": list(endpoint.types),
        "scheme": endpoint.scheme.value,
        "public_key": endpoint.public_key,
        "previous_until": _optional(endpoint.previous_until),
        "failing_since": _optional(endpoint.failing_since),
        "enabled": endpoint.disabled_at is None,
        "disabled_at": _optional(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "created_at": instant(endpoint.created_at),
    }


def _check_types(types: Sequence[str]) -> None:
    if len(types) > TYPES_MAX or not all(len(name) <= 100 and _TYPE.fullmatch(name) for name in types):
        raise InvalidParameter(f"`types` must be at most {TYPES_MAX} names such as payment.succeeded", param="types")


async def _make_key(
    scheme: Scheme, endpoint_id: UUID, vault: Vault, random_bytes: Callable[[int], bytes]
) -> tuple[SigningKey, bytes]:
    """Return a key and its sealed secret. An RSA2 key is made in a thread, since that takes long."""
    key = (
        await asyncio.to_thread(new_key, scheme, random_bytes)
        if scheme is Scheme.RSA2
        else new_key(scheme, random_bytes)
    )
    return key, vault.seal(key.secret.encode(), context=secret_context(endpoint_id))


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)


_read_endpoint = db.reader(Endpoint, sql["endpoint"], types=tuple)
