"""Operators, what they propose and what they did, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

OPERATOR_PREFIX = "opr"
PROPOSAL_PREFIX = "prp"

VALIDITY = timedelta(hours=72)
"""How long a proposal waits for its second person."""

REASON_LENGTH_MAX = 500


class Role(StrEnum):
    """What somebody may do; each role may also do what those before it may."""

    VIEWER = "viewer"
    """See."""
    OPERATOR = "operator"
    """Act where one person is enough, and propose what takes two."""
    APPROVER = "approver"
    """Decide what somebody else has proposed."""
    ADMIN = "admin"
    """Everything that operators can do."""

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who acts on the platform."""

    operator_id: UUID
    name: str
    role: Role
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done.

    Attributes:
        actor_id: The operator; None is the system itself.
        action: Such as "proposal.approve".
        object_id: Its public id, such as "prp_…".
        reason: 1 to 500 characters, always given.
        before, after: What it changed, as JSON; nothing secret.
        request_id: The HTTP request that brought it.
    """

    actor_id: UUID | None
    action: str
    object_kind: str
    object_id: str
    reason: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as it stands in the journal."""

    seq: int
    at: datetime
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class NewProposal:
    """What one person wants done.

    Attributes:
        action: What an approval does; the composition root attaches the effect to this name.
        payload: Everything the effect needs, as JSON; nothing secret.
    """

    proposal_id: UUID
    maker_id: UUID
    action: str
    object_kind: str
    object_id: str
    payload: Mapping[str, Any]
    reason: str
    validity: timedelta = VALIDITY
    request_id: str | None = None


class ProposalState(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody decided in time."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal as it stands."""

    proposal_id: UUID
    action: str
    object_kind: str
    object_id: str
    payload: Mapping[str, Any]
    reason: str
    maker_id: UUID
    proposed_at: datetime
    expires_at: datetime
    state: ProposalState
    checker_id: UUID | None = None
    decision_reason: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApprovalDecision:
    """What the second person says."""

    proposal_id: UUID
    checker_id: UUID
    approve: bool
    reason: str
    request_id: str | None = None


class DecisionOutcome(StrEnum):
    """What came of a decision. Only APPROVED and REJECTED changed anything."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    NOT_PERMITTED = "not_permitted"
    """The person is no approver, or no longer."""
    OWN_PROPOSAL = "own_proposal"
    ALREADY_DECIDED = "already_decided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class DecidedProposal:
    """The outcome, and the proposal after it; None where there is none."""

    outcome: DecisionOutcome
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What `verify_audit` found.

    Attributes:
        head: The hash of the last row, in hexadecimal; kept elsewhere, it proves everything before it.
        problems: One sentence each; empty if the journal is whole.
    """

    rows: int
    head: str
    problems: list[str] = field(default_factory=list)
