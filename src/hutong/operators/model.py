"""Operators, proposals and audit entries, as values."""

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
"""The time for which a proposal waits for a decision."""

REASON_LENGTH_MAX = 500


class Role(StrEnum):
    """An operator's role; each covers the roles before it."""

    VIEWER = "viewer"
    """Look, but change nothing."""
    OPERATOR = "operator"
    """Act where one person is enough, and propose where it takes two."""
    APPROVER = "approver"
    """Decide the proposals of others."""
    ADMIN = "admin"
    """Everything that an operator can do."""

    def covers(self, needed: Role) -> bool:
        """Return whether this role includes the rights of `needed`."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class Operator:
    """A person who operates the platform.

    Attributes:
        duties: What their role is limited to, where a decision names its area: `area`, or `area:action`. Without any,
            the role alone counts.
    """

    operator_id: UUID
    name: str
    role: Role
    disabled_at: datetime | None = None
    duties: tuple[str, ...] = ()

    def has_duty(self, area: str, action: str | None = None) -> bool:
        """Return whether an action in an area, or any action there, is among the operator's duties."""
        own = [duty.partition(":") for duty in self.duties]
        return not own or any(
            where == area and (action is None or not only or only == action) for where, _, only in own
        )


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action in the audit journal.

    Attributes:
        actor_id: The operator who acted; None is the system itself.
        action: The action, such as "proposal.approve".
        object_id: The public id of the object, such as "prp_…".
        reason: 1 to 500 characters; required.
        before, after: The state before and after the action, as JSON; nothing secret.
        request_id: The HTTP request that caused the action.
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
    """An entry with its place in the journal."""

    seq: int
    at: datetime
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class NewProposal:
    """An action to propose.

    Attributes:
        action: The name to which the composition root attaches the handler of an approval.
        payload: The whole input of the handler, as JSON; nothing secret.
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
    """The state of a proposal."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody decided it in time."""
    VOID = "void"
    """Its maker was disabled before anybody decided it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The current state of a proposal."""

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
    """The decision of a second person about a proposal."""

    proposal_id: UUID
    checker_id: UUID
    approve: bool
    reason: str
    request_id: str | None = None


class DecisionOutcome(StrEnum):
    """The outcome of a decision. Only APPROVED and REJECTED change anything."""

    APPROVED = "approved"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    NOT_PERMITTED = "not_permitted"
    """The person is not an approver, or is disabled."""
    OWN_PROPOSAL = "own_proposal"
    ALREADY_DECIDED = "already_decided"
    EXPIRED = "expired"
    VOID = "void"
    """The maker of the proposal is disabled."""


@dataclass(frozen=True, slots=True)
class DecidedProposal:
    """The outcome of a decision, and the proposal after it; None if there is no such proposal."""

    outcome: DecisionOutcome
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """What a table says of something that only commands make, to be compared with the journal.

    Attributes:
        object_id: Its public id.
        properties: What the journal must state of it, of those that it states in `after`.
        ended: Whether it is disabled or revoked.
    """

    object_id: str
    properties: Mapping[str, Any]
    ended: bool


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """The result of `verify_audit`.

    Attributes:
        head: The hash of the last row, in hexadecimal; a copy kept elsewhere proves all rows before it.
        problems: One sentence each; empty if the journal is intact.
    """

    rows: int
    head: str
    problems: list[str] = field(default_factory=list)
