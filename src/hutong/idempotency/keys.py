"""Claiming keys and storing answers, whole lists at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from hutong import db
from hutong.idempotency.model import KEPT_FOR, LEASE, Claim, Claimed, InFlight, KeyReused, StoredAnswer
from hutong.idempotency.statements import sql

Outcome = Claimed | InFlight | KeyReused | StoredAnswer


async def claim(tx: db.Tx, claims: Sequence[Claim], *, now: datetime) -> list[Outcome]:
    """Claim each key, or say what stands in the way.

    Two claims of one key in one list: the first may be CLAIMED, the second is then in flight.

    Returns:
        One outcome per claim, in order.
    """
    if not claims:
        return []
    owners, keys = [c.owner_id for c in claims], [c.key for c in claims]
    taken = await sql.claim_keys.fetch(
        tx, owners, keys, [c.fingerprint for c in claims], now, now - LEASE, now + KEPT_FOR
    )
    ours = {(row["owner_id"], row["key"]): row["fingerprint"] for row in taken}
    if len(taken) == len(claims):
        return [Claimed()] * len(claims)
    rows = {(r["owner_id"], r["key"]): r for r in await sql.read_keys.fetch(tx, owners, keys)}
    outcomes: list[Outcome] = []
    for wish in claims:
        identity = (wish.owner_id, wish.key)
        if ours.get(identity) == wish.fingerprint:
            del ours[identity]
            outcomes.append(Claimed())
        else:
            outcomes.append(_standing(rows[identity], wish))
    return outcomes


async def find(tx: db.Tx, wish: Claim, *, now: datetime) -> InFlight | KeyReused | StoredAnswer | None:
    """What stands in the way of claiming this key, without claiming it; None if it is free."""
    row = await sql.read_keys.fetchrow(tx, [wish.owner_id], [wish.key])
    if row is None or row["forget_at"] < now:
        return None
    standing = _standing(row, wish)
    lapsed = isinstance(standing, InFlight) and row["claimed_at"] < now - LEASE
    return None if lapsed else standing


def _standing(row: asyncpg.Record, wish: Claim) -> InFlight | KeyReused | StoredAnswer:
    if row["fingerprint"] != wish.fingerprint:
        return KeyReused()
    if row["status"] is None:
        return InFlight()
    return StoredAnswer(row["status"], row["body"])


async def store(tx: db.Tx, answers: Sequence[tuple[Claim, StoredAnswer]]) -> list[StoredAnswer]:
    """Keep the answers of claimed keys, in the transaction of their effect.

    Repeat:
        The first answer stays, and is what has to be answered: whoever worked for longer than its claim held may have
        been overtaken by a repetition.

    Returns:
        What stands under each key, in order.
    """
    if not answers:
        return []
    owners, keys = [c.owner_id for c, _ in answers], [c.key for c, _ in answers]
    stored = await sql.store_answers.fetch(
        tx, owners, keys, [a.status for _, a in answers], [a.body for _, a in answers]
    )
    if len(stored) == len(answers):
        return [answer for _, answer in answers]
    standing = {
        (row["owner_id"], row["key"]): StoredAnswer(row["status"], row["body"])
        for row in await sql.read_keys.fetch(tx, owners, keys)
    }
    # A key that was forgotten meanwhile stands for nothing any more.
    return [standing.get((wish.owner_id, wish.key), answer) for wish, answer in answers]


async def forget(tx: db.Tx, *, now: datetime, limit: int) -> int:
    """Delete keys past their time, at most `limit`; returns how many."""
    return len(await sql.forget_keys.fetch(tx, now, limit))
