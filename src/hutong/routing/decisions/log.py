"""The decision log: why each attempt goes through its account."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from hutong import db
from hutong.routing.decisions.record import CapabilitySnapshot, read_capabilities
from hutong.routing.model import Candidate
from hutong.routing.statements import sql


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """The decision that led to an attempt. Its public id is the attempt's under a prefix of its own.

    Attributes:
        decided_at: When the attempt was written.
        record: The text of the record.
    """

    PREFIX: ClassVar[str] = "rtd"

    attempt_id: UUID
    payment_id: UUID
    account_id: UUID
    decided_at: datetime
    record: str


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The outcome of an attempt so far.

    Attributes:
        state: The attempt's state, by its public name.
        code: The unified code of its failure.
        paid: Whether the attempt succeeded; None while it has not ended.
    """

    state: str
    code: str | None
    paid: bool | None


Outcomes = Callable[[db.Tx, Collection[UUID]], Awaitable[Mapping[UUID, AttemptOutcome]]]
"""Returns the outcomes of attempts, by id. Routing does not know them: its callers do."""


async def log_decisions(tx: db.Tx, decisions: Sequence[LoggedDecision]) -> None:
    """Write the decisions of new attempts, in the transaction that writes the attempts."""
    if decisions:
        await sql.add_decisions.execute(tx, rows=decisions)


async def find_decisions(tx: db.Tx, attempt_ids: Collection[UUID]) -> list[LoggedDecision]:
    """Return the decisions of these attempts, first to last; attempts without one are left out."""
    return [_read_decision(row) for row in await sql.find_decisions.fetch(tx, attempt_ids)]


async def decisions_between(tx: db.Tx, start: datetime, end: datetime) -> AsyncIterator[LoggedDecision]:
    """Yield the decisions of a span of time, in order of time; rows are read as they are needed."""
    async for row in sql.decisions_between.cursor(tx, start, end):
        yield _read_decision(row)


async def refusals_between(tx: db.Tx, start: datetime, end: datetime) -> AsyncIterator[str]:
    """Yield the records of the decisions of a span of time without an account; rows are read as they are needed."""
    async for row in sql.refusals_between.cursor(tx, start, end):
        yield row["record"]


async def add_capability_snapshot(tx: db.Tx, snapshot: CapabilitySnapshot, *, now: datetime) -> None:
    """Keep the capabilities on which decisions are based from now on, unless they are kept already."""
    await sql.add_capability_snapshot.execute(tx, snapshot.digest, snapshot.document, now)


async def find_capabilities(tx: db.Tx, digests: Collection[str]) -> dict[str, tuple[Candidate, ...]]:
    """Return the accounts of capability snapshots, by digest; snapshots that are not kept are left out."""
    rows = await sql.find_capability_snapshots.fetch(tx, sorted(set(digests)))
    return {row["digest"]: read_capabilities(row["document"]) for row in rows}


_read_decision = db.reader(LoggedDecision, sql["decision"])
