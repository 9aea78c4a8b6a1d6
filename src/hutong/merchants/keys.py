"""API keys of merchants: creating and revoking them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ids, operators
from hutong.errors import NotFound
from hutong.merchants.directory import hash_key
from hutong.merchants.model import ApiKey
from hutong.merchants.statements import sql

FROM_COMMAND_LINE = "from the command line"


async def create_api_key(
    tx: db.Tx, merchant_id: UUID, *, key_id: UUID, random: str, now: datetime, reason: str = FROM_COMMAND_LINE
) -> ApiKey:
    """Create another key for a merchant.

    Args:
        random: At least 32 random bytes as text: the part of the key that cannot be guessed.

    Effects:
        Writes an audit entry, without which `verify_keys` reports the key.

    Errors:
        NotFound: there is no such merchant.
        InvalidParameter: the reason is blank or too long.
    """
    public_id = ids.encode("key", key_id)
    secret = f"sk_{public_id.removeprefix('key_')}_{random}"
    hashed = hash_key(secret)
    if await sql.insert_api_key.execute(tx, key_id, merchant_id, hashed, now) == "INSERT 0 0":
        raise NotFound("no merchant has this id")
    after = _properties(merchant_id, hashed)
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


async def verify_keys(tx: db.Tx) -> list[str]:
    """Return the keys that are not as the audit journal states them, as one sentence each."""
    registered = [
        operators.Registration(
            ids.encode("key", row["id"]), _properties(row["merchant_id"], row["hash"]), row["revoked_at"] is not None
        )
        for row in await sql.registered_keys.fetch(tx)
    ]
    return await operators.compare_with_journal(tx, "api_key", registered, ended_by="api_key.revoke")


def _properties(merchant_id: UUID, hashed: bytes) -> dict[str, str]:
    return {"merchant_id": ids.encode("mer", merchant_id), "key": operators.key_mark(hashed)}
