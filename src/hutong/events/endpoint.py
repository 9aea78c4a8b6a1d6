"""The addresses at which merchants want to be told."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from hutong import db, ids
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.events.address import check_url
from hutong.events.model import Endpoint, NewEndpoint
from hutong.vault import Vault

if TYPE_CHECKING:
    import asyncpg

ENDPOINTS_MAX = 16
"""Enabled endpoints of one merchant; each costs a row for every event."""

TYPES_MAX = 64
_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
_SECRET_BYTES = 32
_sql = db.statements(__package__)


async def create_endpoint(
    tx: db.Tx,
    *,
    endpoint_id: UUID,
    merchant_id: UUID,
    url: str,
    types: Sequence[str] = (),
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
        The endpoint, and its Standard Webhooks secret, of which only the sealed form is kept.

    Errors:
        InvalidParameter: `url` or `types` is not allowed.
        Conflict: the merchant has ENDPOINTS_MAX enabled ones.
    """
    check_url(url, allow_private=allow_private)
    if len(types) > TYPES_MAX or not all(len(name) <= 100 and _TYPE.fullmatch(name) for name in types):
        raise InvalidParameter("types are names such as payment.succeeded", param="types")
    secret = "whsec_" + base64.b64encode(random_bytes(_SECRET_BYTES)).decode()
    sealed = vault.seal(secret.encode(), context=secret_context(endpoint_id))
    wanted = sorted(set(types))
    row = await _sql.insert_endpoint.fetchrow(tx, endpoint_id, merchant_id, url, wanted, sealed, now, ENDPOINTS_MAX)
    if row is None:
        raise Conflict(f"a merchant has at most {ENDPOINTS_MAX} enabled webhook endpoints")
    return NewEndpoint(_endpoint(row), secret)


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


def _endpoint(row: asyncpg.Record) -> Endpoint:
    return Endpoint(**{**row, "types": tuple(row["types"])})
