"""The effect of an approved proposal, by the action that was proposed."""

from __future__ import annotations

from collections.abc import Mapping

from hutong import bookkeeping, channels, operators, payments, routing
from hutong.reconciliation import differences


def approval_handlers(transactions: payments.PaymentTransactions) -> Mapping[str, operators.ApprovalHandler]:
    """Return the handlers by the proposed action."""
    return {
        channels.codes.CHANGE: channels.codes.change_code,
        **routing.APPROVAL_HANDLERS,
        **bookkeeping.APPROVAL_HANDLERS,
        **payments.approval_handlers(transactions),
        **differences.approval_handlers(transactions),
    }
