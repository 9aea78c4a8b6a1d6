"""The registration of operators, their authentication by key, and their roles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from hutong import db, ids
from hutong.errors import Conflict, InvalidParameter, NotFound, Unauthorized
from hutong.operators.audit import audit, check_reason, compare_with_journal, key_mark
from hutong.operators.errors import NotPermitted
from hutong.operators.model import OPERATOR_PREFIX, PROPOSAL_PREFIX, AuditEntry, Operator, Registration, Role
from hutong.operators.statements import sql

NAME_LENGTH_MAX = 64
_DUTIES_MAX = 32
_DUTY = re.compile(r"[a-z][a-z_]{0,31}(:[a-z][a-z_]{0,31})?")


async def add_operator(
    tx: db.Tx,
    *,
    operator_id: UUID,
    name: str,
    role: Role,
    random: str,
    reason: str,
    now: datetime,
    duties: Sequence[str] = (),
) -> str:
    """Register an operator and return their key, once.

    Args:
        random: At least 32 random bytes as text: the part of the key that cannot be guessed.
        duties: At most 32, each `area` or `area:action`; the caller has checked that there are such.

    Returns:
        The text for the Authorization header; only its hash is kept.

    Errors:
        InvalidParameter: the name is empty, too long or not printable, or a duty has another form.
        Conflict: an enabled operator has this name.
    """
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidParameter(f"`name` must have 1 to {NAME_LENGTH_MAX} printable characters", param="name")
    own = sorted(set(duties))
    if len(own) > _DUTIES_MAX or not all(map(_DUTY.fullmatch, own)):
        raise InvalidParameter(
            f"`duties` must be at most {_DUTIES_MAX} of the form area or area:action", param="duties"
        )
    public_id = ids.encode(OPERATOR_PREFIX, operator_id)
    secret = f"sk_{public_id}_{random}"
    key_hash = _hash(secret)
    added = await sql.insert_operator.fetchval(
        tx, operator_id=operator_id, name=name, role=role, key_hash=key_hash, now=now, duties=own
    )
    if added is None:
        raise Conflict("another enabled operator has this `name`", param="name")
    after = {"name": name, "role": role, "key": key_mark(key_hash), "duties": " ".join(own)}
    await audit(tx, [AuditEntry(None, "operator.add", "operator", public_id, reason, after=after)], now=now)
    return secret


async def disable_operator(tx: db.Tx, operator_id: UUID, *, reason: str, now: datetime) -> Operator:
    """Revoke an operator's rights, at once and permanently.

    Effects:
        Waits for the proposals and decisions of the operator that are in progress; then voids their open proposals,
        with one audit entry each.

    Repeat:
        The first time stays.

    Errors:
        NotFound: there is no such operator.
    """
    check_reason(reason)
    await sql.lock_operator.execute(tx, operator_id)
    row = await sql.disable_operator.fetchrow(tx, operator_id, now)
    if row is None:
        raise NotFound("no operator has this id")
    public_id = ids.encode(OPERATOR_PREFIX, operator_id)
    entries = [AuditEntry(None, "operator.disable", "operator", public_id, reason)]
    for void in await sql.void_proposals.fetch(tx, maker_id=operator_id, now=now, reason=reason):
        proposal_id = ids.encode(PROPOSAL_PREFIX, void["proposal_id"])
        after = {"action": void["action"], "object_kind": void["object_kind"], "object_id": void["object_id"]}
        entries.append(AuditEntry(None, "proposal.void", "proposal", proposal_id, reason, after=after))
    await audit(tx, entries, now=now)
    return _read_operator(row)


async def lock_operators(tx: db.Tx, operator_ids: Collection[UUID]) -> None:
    """Let none of these operators be disabled until the transaction ends. To be called before other locks."""
    await sql.lock_operators.execute(tx, list(operator_ids))


async def authenticate(tx: db.Tx, secret: str) -> Operator:
    """Return the operator of a key. Never cached: a disabled operator is refused from the next request on.

    Errors:
        Unauthorized: the key does not exist, or its operator is disabled; the error does not say which.
    """
    row = await sql.authenticate.fetchrow(tx, _hash(secret))
    if row is None:
        raise Unauthorized("the operator key is not valid", param="Authorization")
    return _read_operator(row)


async def find_operators(tx: db.Tx, operator_ids: Collection[UUID]) -> dict[UUID, Operator]:
    """Return the operators with these ids, by id; absent ones are left out."""
    rows = await sql.find_operators.fetch(tx, list(set(operator_ids)))
    return {operator.operator_id: operator for operator in map(_read_operator, rows)}


async def list_operators(tx: db.Tx) -> list[Operator]:
    """Return all operators in the order of their registration, disabled ones included."""
    return [_read_operator(row) for row in await sql.list_operators.fetch(tx)]


async def verify_operators(tx: db.Tx) -> list[str]:
    """Return the operators that are not as the journal states them, as one sentence each."""
    registered = [
        Registration(
            ids.encode(OPERATOR_PREFIX, row["operator_id"]),
            {"name": row["name"], "role": row["role"], "key": key_mark(row["key_hash"])}
            | {"duties": " ".join(row["duties"])},
            row["disabled_at"] is not None,
        )
        for row in await sql.registered_operators.fetch(tx)
    ]
    return await compare_with_journal(tx, "operator", registered, ended_by="operator.disable")


def require(operator: Operator, needed: Role) -> None:
    """Refuse an operator whose role does not cover the needed one.

    Errors:
        NotPermitted: the role is not enough.
    """
    if not operator.role.covers(needed):
        raise NotPermitted(f"this requires the role {needed}")


def require_duty(operator: Operator, area: str, action: str | None = None) -> None:
    """Refuse an operator among whose duties an action in an area, or any action there, is not.

    Errors:
        NotPermitted: it is not.
    """
    if not operator.has_duty(area, action):
        raise NotPermitted(f"{area if action is None else f'{area}:{action}'} is not among the duties of the operator")


_read_operator = db.reader(Operator, sql["operator"], duties=tuple)


def _hash(secret: str) -> bytes:
    """Return the hash under which a key is kept. A key has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
