"""Claiming keys and storing answers, whole lists at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import asyncpg

from hutong import db
from hutong.idempotency.errors import KeyInFlight, KeyReused
from hutong.idempotency.model import KEPT_FOR, LEASE, Claim, ClaimOutcome, ClaimResult, StoredAnswer, Unstored
from hutong.idempotency.statements import sql


class Keyed(Protocol):
    """A command that may come with an idempotency key."""

    @property
    def claim(self) -> Claim | None: ...


C = TypeVar("C", bound=Keyed)
R = TypeVar("R")

_CLAIMED = ClaimResult(ClaimOutcome.CLAIMED)


@dataclass(frozen=True, slots=True)
class OnceResult(Generic[R]):
    """What one command came to under its key.

    Attributes:
        outcome: CLAIMED if the command was run now.
        result: Its result then.
        answer: What is stored under the key by now, if anything is.
    """

    outcome: ClaimOutcome
    result: R | None = None
    answer: StoredAnswer | None = None

    def stored(self) -> StoredAnswer | None:
        """Return the answer of a command that was run before.

        Errors:
            KeyInFlight, KeyReused.
        """
        if self.outcome is ClaimOutcome.IN_FLIGHT:
            raise KeyInFlight("a request with this idempotency key is in progress", param="Idempotency-Key")
        if self.outcome is ClaimOutcome.KEY_REUSED:
            raise KeyReused("the idempotency key was used with a different request", param="Idempotency-Key")
        return None if self.answer is None else replace(self.answer, is_replayed=True)


async def once(
    tx: db.Tx,
    commands: Sequence[C],
    *,
    now: datetime,
    create: Callable[[Sequence[C]], Awaitable[Sequence[R]]],
    answer: Callable[[C, R], StoredAnswer | Unstored],
) -> list[OnceResult[R]]:
    """Run each command unless its key shows that it was run before.

    Args:
        create: Runs the commands whose keys are free, in one list; returns one result per command, in order. Not called
            without any.
        answer: Renders what is answered to a command with a key, or returns why it is not stored now.

    Effects:
        Claims the keys, stores the final answers and frees the keys whose answers must not stay, in the transaction of
        the commands' own effect.

    Returns:
        One result per command, in order.
    """
    claims = iter(await claim(tx, [command.claim for command in commands if command.claim is not None], now=now))
    states = [_CLAIMED if command.claim is None else next(claims) for command in commands]
    free = [c for c, s in zip(commands, states, strict=True) if s.outcome is ClaimOutcome.CLAIMED]
    created = iter(await create(free) if free else ())
    results: list[OnceResult[R]] = []
    answers: list[tuple[Claim, StoredAnswer]] = []
    freed: list[Claim] = []
    for command, state in zip(commands, states, strict=True):
        if state.outcome is not ClaimOutcome.CLAIMED:
            results.append(OnceResult(state.outcome, answer=state.answer))
            continue
        result = next(created)
        final = Unstored.WAITS if command.claim is None else answer(command, result)
        if command.claim is not None and isinstance(final, StoredAnswer):
            answers.append((command.claim, final))
        elif command.claim is not None and final is Unstored.FREED:
            freed.append(command.claim)
        results.append(OnceResult(state.outcome, result, final if isinstance(final, StoredAnswer) else None))
    if answers:
        await store(tx, answers)
    if freed:
        await sql.free_keys.fetch(tx, [claim.owner_id for claim in freed], [claim.key for claim in freed])
    return results


async def claim(tx: db.Tx, claims: Sequence[Claim], *, now: datetime) -> list[ClaimResult]:
    """Claim each key, or return what prevents it.

    Two claims of one key in one list: the first may be CLAIMED, the second is then in flight.

    Returns:
        One result per claim, in order.
    """
    if not claims:
        return []
    owners, keys = [c.owner_id for c in claims], [c.key for c in claims]
    rows = await sql.claim_keys.fetch(
        tx, owners, keys, [c.fingerprint for c in claims], now, now - LEASE, now + KEPT_FOR
    )
    ours = {(row["owner_id"], row["key"]): row["fingerprint"] for row in rows}
    if len(rows) == len(claims):
        return [_CLAIMED] * len(claims)
    existing = {(row["owner_id"], row["key"]): row for row in await sql.read_keys.fetch(tx, owners, keys)}
    results: list[ClaimResult] = []
    for each in claims:
        identity = (each.owner_id, each.key)
        if ours.get(identity) == each.fingerprint:
            del ours[identity]
            results.append(_CLAIMED)
        else:
            results.append(_existing(existing[identity], each))
    return results


async def find(tx: db.Tx, claim: Claim, *, now: datetime) -> ClaimResult:
    """Return the result that claiming this key would have, without claiming it."""
    row = await sql.read_keys.fetchrow(tx, [claim.owner_id], [claim.key])
    if row is None or row["forget_at"] < now:
        return _CLAIMED
    result = _existing(row, claim)
    lapsed = result.outcome is ClaimOutcome.IN_FLIGHT and (row["left_behind"] or row["claimed_at"] < now - LEASE)
    return _CLAIMED if lapsed else result


def _existing(row: asyncpg.Record, claim: Claim) -> ClaimResult:
    if row["fingerprint"] != claim.fingerprint:
        return ClaimResult(ClaimOutcome.KEY_REUSED)
    if row["status"] is None:
        return ClaimResult(ClaimOutcome.IN_FLIGHT)
    return ClaimResult(ClaimOutcome.ANSWERED, StoredAnswer(row["status"], row["body"]))


async def store(tx: db.Tx, answers: Sequence[tuple[Claim, StoredAnswer]]) -> list[StoredAnswer]:
    """Store the answers of claimed keys, in the transaction of their effect.

    Repeat:
        The first answer stays, and is the one to give: a request that took longer than its claim held may have been
        overtaken by its repetition.

    Returns:
        The answer under each key, in order.
    """
    if not answers:
        return []
    owners, keys = [c.owner_id for c, _ in answers], [c.key for c, _ in answers]
    stored = await sql.store_answers.fetch(
        tx, owners, keys, [a.status for _, a in answers], [a.body for _, a in answers]
    )
    if len(stored) == len(answers):
        return [answer for _, answer in answers]
    existing = {
        (row["owner_id"], row["key"]): StoredAnswer(row["status"], row["body"])
        for row in await sql.read_keys.fetch(tx, owners, keys)
    }
    # A key that was deleted meanwhile has no answer any more.
    return [existing.get((each.owner_id, each.key), answer) for each, answer in answers]


async def forget(tx: db.Tx, *, now: datetime, limit: int) -> int:
    """Delete keys past their time, at most `limit`; return how many."""
    return len(await sql.forget_keys.fetch(tx, now, limit))
