"""Who may act on the platform, the two persons that some acts take, and the journal of all of them.

Promises: an operator's key is shown once and kept only as a hash; nobody approves what he has proposed; a proposal is
approved exactly once, together with its effect; the journal of what was done cannot be changed without being found out.
"""

from hutong.operators.approvals import ApprovalHandler, conclude, decide, find_proposal, list_proposals, propose
from hutong.operators.audit import audit, check_reason, list_audit, verify_audit
from hutong.operators.errors import NotPermitted, OwnProposal, ProposalClosed
from hutong.operators.model import (
    OPERATOR_PREFIX,
    PROPOSAL_PREFIX,
    REASON_LENGTH_MAX,
    ApprovalDecision,
    AuditEntry,
    AuditRecord,
    AuditVerdict,
    DecidedProposal,
    DecisionOutcome,
    NewProposal,
    Operator,
    Proposal,
    ProposalState,
    Role,
)
from hutong.operators.operators import add_operator, authenticate, disable_operator, list_operators, require

__all__ = [
    "OPERATOR_PREFIX",
    "PROPOSAL_PREFIX",
    "REASON_LENGTH_MAX",
    "ApprovalDecision",
    "ApprovalHandler",
    "AuditEntry",
    "AuditRecord",
    "AuditVerdict",
    "DecidedProposal",
    "DecisionOutcome",
    "NewProposal",
    "NotPermitted",
    "Operator",
    "OwnProposal",
    "Proposal",
    "ProposalClosed",
    "ProposalState",
    "Role",
    "add_operator",
    "audit",
    "authenticate",
    "check_reason",
    "conclude",
    "decide",
    "disable_operator",
    "find_proposal",
    "list_audit",
    "list_operators",
    "list_proposals",
    "propose",
    "require",
    "verify_audit",
]
