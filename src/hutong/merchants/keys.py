"""API keys of merchants: creating, listing and revoking them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import InvalidParameter, NotFound
from hutong.merchants.directory import hash_key, read_scopes
from hutong.merchants.model import UNLIMITED, ApiKey, KeyLimits, RegisteredKey, Scope
from hutong.merchants.statements import sql

FROM_COMMAND_LINE = "from the command line"


async def create_api_key(
    tx: db.Tx, merchant_id: UUID, *, key_id: UUID, random: str, now: datetime, limits: KeyLimits = UNLIMITED,
    reason: str = FROM_COMMAND_LINE,
) -> ApiKey:  # fmt: skip
    """Create another key for a merchant.

    Args:
        random: At least 32 random bytes as text: the part of the key that cannot be guessed.

    Effects:
        Writes an audit entry, without which `verify_keys` reports the key.

    Errors:
        NotFound: there is no such merchant.
        InvalidParameter: a scope does not exist, the key would have none or would have expired, or the reason is blank
            or too long.
    """
    scopes, expires_at = limits.scopes, limits.expires_at
    if scopes is not None and (not scopes or not scopes <= {*Scope}):
        raise InvalidParameter(f"`scopes` must be some of {', '.join(Scope)}", param="scopes")
    if expires_at is not None and expires_at <= now:
        raise InvalidParameter("`expires_at` must be in the future", param="expires_at")
    public_id = ids.encode("key", key_id)
    secret = f"sk_{public_id.removeprefix('key_')}_{random}"
    hashed = hash_key(secret)
    done = await sql.insert_api_key.execute(
        tx, key_id=key_id, merchant_id=merchant_id, hash=hashed, created_at=now, expires_at=expires_at,
        scopes=None if scopes is None else sorted(scopes),
    )  # fmt: skip
    if done == "INSERT 0 0":
        raise NotFound("no merchant has this id")
    after = _properties(merchant_id, hashed, scopes, expires_at)
    entry = operators.AuditEntry(None, "api_key.add", "api_key", public_id, reason, after=after)
    await operators.audit(tx, [entry], now=now)
    return ApiKey(key_id, merchant_id, secret)


async def revoke_api_key(tx: db.Tx, key_id: UUID, *, now: datetime, reason: str = FROM_COMMAND_LINE) -> None:
    """Revoke a key.

    Effects:
        Writes an audit entry.

    Repeat:
        The time of the first revocation stays.

    Errors:
        NotFound: there is no such key.
        InvalidParameter: the reason is blank or too long.
    """
    if await sql.revoke_api_key.execute(tx, key_id, now) == "UPDATE 0":
        raise NotFound("no API key has this id")
    entry = operators.AuditEntry(None, "api_key.revoke", "api_key", ids.encode("key", key_id), reason)
    await operators.audit(tx, [entry], now=now)


async def list_api_keys(tx: db.Tx, merchant_ids: Sequence[UUID]) -> list[RegisteredKey]:
    """Return the keys of merchants without their secrets, revoked and expired ones too, oldest first."""
    return [_read_key(row) for row in await sql.list_api_keys.fetch(tx, merchant_ids)]


async def verify_keys(tx: db.Tx) -> list[str]:
    """Return the keys that are not as the audit journal states them, as one sentence each."""
    registered = [
        operators.Registration(
            ids.encode("key", row["id"]),
            _properties(row["merchant_id"], row["hash"], row["scopes"], row["expires_at"]),
            row["revoked_at"] is not None,
        )
        for row in await sql.registered_keys.fetch(tx)
    ]
    return await operators.compare_with_journal(tx, "api_key", registered, ended_by="api_key.revoke")


def _properties(
    merchant_id: UUID, hashed: bytes, scopes: Collection[str] | None, expires_at: datetime | None
) -> dict[str, str | None]:
    return {
        "merchant_id": ids.encode("mer", merchant_id),
        "key": operators.key_mark(hashed),
        "scopes": "all" if scopes is None else " ".join(sorted(scopes)),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }


_read_key = db.reader(RegisteredKey, sql["api_key"], scopes=read_scopes)
