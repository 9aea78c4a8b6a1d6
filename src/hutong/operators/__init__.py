"""Operators, approvals by a second person, and the audit journal of everything that operators do.

Promises: an operator's key is shown once and kept only as a hash; nobody approves their own proposal; a proposal is
approved exactly once, together with its effect, and never after its maker was disabled; a change of the audit journal,
or of an operator past it, cannot go undetected.
"""

from hutong.operators.approvals import ApprovalHandler, conclude, find_proposal, list_proposals, propose
from hutong.operators.audit import (
    audit,
    check_reason,
    compare_with_journal,
    hold_snapshot,
    key_mark,
    list_audit,
    verify_audit,
)
from hutong.operators.model import (
    OPERATOR_PREFIX,
    PROPOSAL_PREFIX,
    REASON_LENGTH_MAX,
    ApprovalDecision,
    AuditEntry,
    AuditRecord,
    AuditVerdict,
    NewProposal,
    Operator,
    Proposal,
    Registration,
    Role,
)
from hutong.operators.operators import (
    add_operator,
    authenticate,
    disable_operator,
    find_operators,
    list_operators,
    require,
    require_duty,
    verify_operators,
)

__all__ = [
    "OPERATOR_PREFIX",
    "PROPOSAL_PREFIX",
    "REASON_LENGTH_MAX",
    "ApprovalDecision",
    "ApprovalHandler",
    "AuditEntry",
    "AuditRecord",
    "AuditVerdict",
    "NewProposal",
    "Operator",
    "Proposal",
    "Registration",
    "Role",
    "add_operator",
    "audit",
    "authenticate",
    "check_reason",
    "compare_with_journal",
    "conclude",
    "disable_operator",
    "find_operators",
    "find_proposal",
    "hold_snapshot",
    "key_mark",
    "list_audit",
    "list_operators",
    "list_proposals",
    "propose",
    "require",
    "require_duty",
    "verify_audit",
    "verify_operators",
]
