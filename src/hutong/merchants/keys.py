"""API keys of merchants: creating and revoking them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ids
from hutong.errors import NotFound
from hutong.merchants.directory import hash_key
from hutong.merchants.model import ApiKey
from hutong.merchants.statements import sql


async def create_api_key(tx: db.Tx, merchant_id: UUID, *, key_id: UUID, random: str, now: datetime) -> ApiKey:
    """Create another key for a merchant.

    Args:
        random: At least 32 random bytes as text: the part of the key that cannot be guessed.

    Errors:
        NotFound: there is no such merchant.
    """
    secret = f"sk_{ids.encode('key', key_id).removeprefix('key_')}_{random}"
    if await sql.insert_api_key.execute(tx, key_id, merchant_id, hash_key(secret), now) == "INSERT 0 0":
        raise NotFound("no merchant has this id")
    return ApiKey(key_id, merchant_id, secret)


async def revoke_api_key(tx: db.Tx, key_id: UUID, *, now: datetime) -> None:
    """Revoke a key.

    Repeat:
        The time of the first revocation stays.

    Errors:
        NotFound: there is no such key.
    """
    if await sql.revoke_api_key.execute(tx, key_id, now) == "UPDATE 0":
        raise NotFound("no API key has this id")
