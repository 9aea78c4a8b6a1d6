"""Operators, approvals by a second person, and the audit journal of everything that operators do.

Promises: an operator's key is shown once and kept only as a hash; nobody approves their own proposal; a proposal is
approved exactly once, together with its effect; a change of the audit journal cannot go undetected.
"""

from hutong.operators.approvals import ApprovalHandler, conclude, find_proposal, list_proposals, propose
from hutong.operators.audit import audit, check_reason, list_audit, verify_audit
from hutong.operators.model import (
    OPERATOR_PREFIX,
    PROPOSAL_PREFIX,
    REASON_LENGTH_MAX,
    ApprovalDecision,
    AuditEntry,
    AuditRecord,
    NewProposal,
    Operator,
    Proposal,
    Role,
)
from hutong.operators.operators import (
    add_operator,
    authenticate,
    disable_operator,
    find_operators,
    list_operators,
    require,
)

__all__ = [
    "OPERATOR_PREFIX",
    "PROPOSAL_PREFIX",
    "REASON_LENGTH_MAX",
    "ApprovalDecision",
    "ApprovalHandler",
    "AuditEntry",
    "AuditRecord",
    "NewProposal",
    "Operator",
    "Proposal",
    "Role",
    "add_operator",
    "audit",
    "authenticate",
    "check_reason",
    "conclude",
    "disable_operator",
    "find_operators",
    "find_proposal",
    "list_audit",
    "list_operators",
    "list_proposals",
    "propose",
    "require",
    "verify_audit",
]
