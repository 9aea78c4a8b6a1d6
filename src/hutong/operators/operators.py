"""Adding operators, recognizing them by their key, taking their rights away."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

import asyncpg

from hutong import db, ids
from hutong.errors import Conflict, InvalidParameter, NotFound, Unauthorized
from hutong.operators.audit import audit
from hutong.operators.errors import NotPermitted
from hutong.operators.model import OPERATOR_PREFIX, AuditEntry, Operator, Role
from hutong.operators.statements import sql

NAME_LENGTH_MAX = 64


async def add_operator(
    tx: db.Tx, *, operator_id: UUID, name: str, role: Role, random: str, reason: str, now: datetime
) -> str:
    """Register somebody and give out the key, once.

    Args:
        random: At least 32 random bytes as text; the part of the key that cannot be guessed.

    Returns:
        The text for the Authorization header; we keep its hash only.

    Errors:
        InvalidParameter: a name that is empty, too long or not printable.
        Conflict: somebody enabled has this name.
    """
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidParameter("an operator's name has 1 to 64 printable characters", param="name")
    public_id = ids.encode(OPERATOR_PREFIX, operator_id)
    secret = f"sk_{public_id}_{random}"
    if await sql.insert_operator.fetchval(tx, operator_id, name, role, _hash(secret), now) is None:
        raise Conflict("another operator has this name", param="name")
    after = {"name": name, "role": role}
    await audit(tx, [AuditEntry(None, "operator.add", "operator", public_id, reason, after=after)], now=now)
    return secret


async def disable_operator(tx: db.Tx, operator_id: UUID, *, reason: str, now: datetime) -> Operator:
    """Take somebody's rights away, at once and for good.

    Repeat:
        The first time stays.

    Errors:
        NotFound: there is no such operator.
    """
    row = await sql.disable_operator.fetchrow(tx, operator_id, now)
    if row is None:
        raise NotFound("no operator has this id")
    public_id = ids.encode(OPERATOR_PREFIX, operator_id)
    await audit(tx, [AuditEntry(None, "operator.disable", "operator", public_id, reason)], now=now)
    return operator_of(row)


async def authenticate(tx: db.Tx, secret: str) -> Operator:
    """The operator whose key this is. Not kept in memory: who is disabled is so from the next request on.

    Errors:
        Unauthorized: no such key, or its owner is disabled. Which of them is not told.
    """
    row = await sql.authenticate.fetchrow(tx, _hash(secret))
    if row is None:
        raise Unauthorized("the operator key is not valid", param="Authorization")
    return operator_of(row)


async def list_operators(tx: db.Tx) -> list[Operator]:
    """Everybody, in the order they came, those who left included."""
    return [operator_of(row) for row in await sql.list_operators.fetch(tx)]


def require(operator: Operator, needed: Role) -> None:
    """Let somebody pass who has a role or more.

    Errors:
        NotPermitted: the role is not enough.
    """
    if not operator.role.covers(needed):
        raise NotPermitted(f"this takes the role {needed}")


def operator_of(row: asyncpg.Record) -> Operator:
    return Operator(row["id"], row["name"], Role(row["role"]), row["disabled_at"])


def _hash(secret: str) -> bytes:
    """What we keep of a key. A key holds 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
