"""The addresses at which merchants want to be told."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hutong import db, ids
from hutong.clock import instant
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.events.model import DisabledReason, Endpoint, NewEndpoint, Scheme
from hutong.events.statements import sql as _sql
from hutong.events.webhooks.address_guard import check_url
from hutong.events.webhooks.signing import Key, new_key
from hutong.vault import Vault

if TYPE_CHECKING:
    import asyncpg

ENDPOINTS_MAX = 16
"""Enabled endpoints of one merchant; each costs a row for every event."""

OVERLAP_MAX = timedelta(days=7)
"""How long the secret of before may sign beside the new one."""

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
    now: datetime,
    vault: Vault,
    allow_private: bool = False,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NewEndpoint:
    """Begin to tell a merchant's address of what happens from now on.

    Args:
        types: The event types wanted, exact names; none means all.
        allow_private: Permits http and private hosts: for the sandbox only.
        random_bytes: Where the secret comes from; must not be guessable in production.

    Returns:
        The endpoint, and the secret that it shares with us, of which only the sealed form is kept.

    Errors:
        InvalidParameter: `url` or `types` is not allowed.
        Conflict: the merchant has ENDPOINTS_MAX enabled ones.
    """
    check_url(url, allow_private=allow_private)
    if len(types) > TYPES_MAX or not all(len(name) <= 100 and _TYPE.fullmatch(name) for name in types):
        raise InvalidParameter("types are names such as payment.succeeded", param="types")
    key, sealed = await _make_key(scheme, endpoint_id, vault, random_bytes)
    wanted = sorted(set(types))
    row = await _sql.insert_endpoint.fetchrow(
        tx, endpoint_id, merchant_id, url, wanted, scheme, sealed, key.public, now, ENDPOINTS_MAX
    )
    if row is None:
        raise Conflict(f"a merchant has at most {ENDPOINTS_MAX} enabled webhook endpoints")
    return NewEndpoint(_endpoint(row), key.secret if scheme is Scheme.HMAC else None)


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
        overlap: How long the one of before signs too, at most OVERLAP_MAX. A form of the legacy mode has room for one
            signature: there the new key takes over when the overlap ends.

    Repeat:
        Makes another one; of two secrets before it only the later is kept.

    Errors:
        NotFound: the merchant has no such endpoint.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    key, sealed = await _make_key(endpoint.scheme, endpoint_id, vault, random_bytes)
    overlaps = overlap > timedelta(0)
    row = await _sql.rotate_secret.fetchrow(tx, endpoint_id, sealed, key.public, overlaps, now + overlap)
    assert row is not None
    return NewEndpoint(_endpoint(row), key.secret if endpoint.scheme is Scheme.HMAC else None)


async def find_endpoint(tx: db.Tx, merchant_id: UUID | None, endpoint_id: UUID) -> Endpoint:
    """One endpoint.

    Args:
        merchant_id: Whose it must be; None, for operators, anybody's.

    Errors:
        NotFound: there is none.
    """
    row = await _sql.find_endpoint.fetchrow(tx, merchant_id, endpoint_id)
    if row is None:
        raise NotFound("no webhook endpoint has this id")
    return _endpoint(row)


async def enable_endpoint(tx: db.Tx, merchant_id: UUID, endpoint_id: UUID) -> Endpoint:
    """Send to a disabled endpoint again, from now on. What became dead meanwhile stays so until it is replayed.

    Repeat:
        Changes nothing.

    Errors:
        NotFound: the merchant has no such endpoint.
        Conflict: the merchant has ENDPOINTS_MAX enabled ones.
    """
    endpoint = await find_endpoint(tx, merchant_id, endpoint_id)
    if endpoint.disabled_at is None:
        return endpoint
    row = await _sql.enable_endpoint.fetchrow(tx, merchant_id, endpoint_id, ENDPOINTS_MAX)
    if row is None:
        raise Conflict(f"a merchant has at most {ENDPOINTS_MAX} enabled webhook endpoints")
    return _endpoint(row)


async def list_endpoints(tx: db.Tx, merchant_id: UUID) -> list[Endpoint]:
    """All of a merchant's endpoints, oldest first."""
    return [_endpoint(row) for row in await _sql.list_endpoints.fetch(tx, merchant_id)]


async def disable_endpoint(tx: db.Tx, merchant_id: UUID, endpoint_id: UUID, *, now: datetime) -> Endpoint:
    """Send nothing more to an endpoint. What is pending for it becomes dead as it falls due.

    Repeat:
        Keeps the first instant.

    Errors:
        NotFound: the merchant has no such endpoint.
    """
    row = await _sql.disable_endpoint.fetchrow(tx, merchant_id, endpoint_id, now)
    if row is None:
        raise NotFound("no webhook endpoint has this id")
    return _endpoint(row)


def secret_context(endpoint_id: UUID) -> str:
    """The place that an endpoint's sealed secret is bound to."""
    return f"webhook_endpoint:{ids.encode('whe', endpoint_id)}"


async def disable_failing(tx: db.Tx, endpoint_ids: Sequence[UUID], *, now: datetime, since: datetime) -> list[Endpoint]:
    """Disable those of these endpoints that have failed since `since` or longer, each once."""
    return [_endpoint(row) for row in await _sql.disable_failing.fetch(tx, endpoint_ids, now, since)]


def endpoint_document(endpoint: Endpoint) -> dict[str, Any]:
    """The one public form of an endpoint: in answers and in events alike."""
    return {
        "id": ids.encode("whe", endpoint.endpoint_id),
        "object": "webhook_endpoint",
        "url": endpoint.url,
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


async def _make_key(
    scheme: Scheme, endpoint_id: UUID, vault: Vault, random_bytes: Callable[[int], bytes]
) -> tuple[Key, bytes]:
    """A key and its sealed secret; one for RSA2 is made in a thread, since that takes long."""
    key = (
        await asyncio.to_thread(new_key, scheme, random_bytes)
        if scheme is Scheme.RSA2
        else new_key(scheme, random_bytes)
    )
    return key, vault.seal(key.secret.encode(), context=secret_context(endpoint_id))


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)


def _endpoint(row: asyncpg.Record) -> Endpoint:
    reason = row["disabled_reason"]
    return Endpoint(
        **{
            **row,
            "types": tuple(row["types"]),
            "scheme": Scheme(row["scheme"]),
            "disabled_reason": None if reason is None else DisabledReason(reason),
        }
    )
