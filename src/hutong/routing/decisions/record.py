"""The log of decisions, and the record of each: small, and enough to make the decision again exactly.

The capabilities of accounts change seldom and are kept once, as a snapshot named by its hash; the record itself holds
what changes from payment to payment.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

import orjson
from pydantic import Field, TypeAdapter

from hutong import db
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.experiments.assignment import Arm
from hutong.routing.health import AccountHealth
from hutong.routing.model import (
    Candidate,
    Draws,
    Evaluation,
    RoutingDecision,
    RoutingPolicy,
    RoutingRequest,
    SelectionReason,
    Snapshot,
)
from hutong.routing.statements import sql


@dataclass(frozen=True, slots=True)
class RecordedAccountState:
    """The state of one account when a decision was made.

    Attributes:
        health: By institution, as `Candidate.health`.
        subsidy_left_minor: Only in records older than `month_subsidy_minor`.
    """

    account_id: UUID
    health: dict[str, AccountHealth]
    probe_due: bool
    month_minor: int
    blocked: str
    month_subsidy_minor: int = 0
    left: frozenset[str] = frozenset()
    subsidy_left_minor: int | None = None
    month_minor_of: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision with everything that it depended on. Its stored form has some keys of their own: see the aliases.

    Attributes:
        version: The configuration in force.
        capability_digest: The hash of the accounts' capabilities.
        experiment_id, arm: The experiment that was running, and the arm that the payment was in.
        formula: How the score was computed from the factors; empty in records that are older than the field.
    """

    request: Annotated[RoutingRequest, Field(alias="ask")]
    draws: Draws
    version: int
    capability_digest: Annotated[str, Field(alias="basis")]
    pin: str
    pin_until: datetime | None
    account_states: Annotated[tuple[RecordedAccountState, ...], Field(alias="moments")]
    chosen: UUID | None
    reason: Annotated[SelectionReason, Field(alias="how")]
    evaluations: Annotated[tuple[Evaluation, ...], Field(alias="verdicts")]
    experiment_id: Annotated[UUID | None, Field(alias="trial")] = None
    arm: Arm | None = None
    formula: str = ""


@dataclass(frozen=True, slots=True)
class CapabilitySnapshot:
    """The capabilities of accounts as a document, and its hash."""

    digest: str
    document: str


ConfiguredAccounts = Mapping[UUID, Candidate]
_RECORD = TypeAdapter(DecisionRecord)
_CAPABILITIES = TypeAdapter(tuple[Candidate, ...])


def capability_snapshot(candidates: tuple[Candidate, ...]) -> CapabilitySnapshot:
    """Return the capabilities of accounts as a document.

    Args:
        candidates: As their adapters describe them; what operators set is in the configuration.
    """
    # Sets have no order; equal capabilities must have one hash in every process.
    document = orjson.dumps(candidates, default=_plain, option=orjson.OPT_SORT_KEYS)
    return CapabilitySnapshot(hashlib.sha256(document).hexdigest()[:32], document.decode())


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else sorted(value)  # type: ignore[call-overload]


def read_capabilities(document: str) -> tuple[Candidate, ...]:
    """Return the accounts of a capability snapshot."""
    return _CAPABILITIES.validate_json(document)


def write_record(
    request: RoutingRequest,
    snapshot: Snapshot,
    decision: RoutingDecision,
    capability_digest: str,
    *,
    experiment_id: UUID | None = None,
    arm: Arm | None = None,
) -> str:
    """Return the record of a decision as text."""
    account_states = [
        {
            "account_id": each.account_id,
            "health": each.health,
            "probe_due": each.probe_due,
            "month_minor": each.month_minor,
            "month_minor_of": each.month_minor_of,
            "month_subsidy_minor": each.month_subsidy_minor,
            "blocked": each.blocked,
            "left": each.left,
        }
        for each in snapshot.candidates
    ]
    record = {
        "ask": request,
        "draws": decision.draws,
        "version": decision.policy_version,
        "basis": capability_digest,
        "pin": snapshot.pin,
        "pin_until": snapshot.pin_until,
        "moments": account_states,
        "chosen": decision.chosen,
        "how": decision.reason,
        "verdicts": decision.evaluations,
        "trial": experiment_id,
        "arm": arm,
        "formula": snapshot.policy.formula,
    }
    return orjson.dumps(record, default=_plain).decode()


def read_record(text: str) -> DecisionRecord:
    """Return a record from its text."""
    return _RECORD.validate_json(text)


def configured_accounts(candidates: tuple[Candidate, ...], configuration: Configuration) -> ConfiguredAccounts:
    """Return the accounts of a capability snapshot with a configuration applied, by id."""
    return {candidate.account_id: configuration.apply(candidate) for candidate in candidates}


def snapshot_of(record: DecisionRecord, accounts: ConfiguredAccounts, policy: RoutingPolicy) -> Snapshot:
    """Return the snapshot that a decision was made from."""
    candidates = tuple(_candidate(accounts[state.account_id], state) for state in record.account_states)
    return Snapshot(candidates, policy, record.pin, record.pin_until)


def _candidate(account: Candidate, state: RecordedAccountState) -> Candidate:
    price = account.price.after_subsidies(state.month_subsidy_minor)
    if state.subsidy_left_minor is not None:
        price = replace(price, subsidy_left_minor=state.subsidy_left_minor)
    return replace(
        account,
        health=state.health,
        probe_due=state.probe_due,
        month_minor=state.month_minor,
        month_minor_of=state.month_minor_of,
        month_subsidy_minor=state.month_subsidy_minor,
        price=price,
        blocked=state.blocked,
        left=state.left,
    )


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
