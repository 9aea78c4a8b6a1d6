"""What the approval of each kind of proposal does."""

from __future__ import annotations

from collections.abc import Mapping

from hutong import channels, operators, payments, routing


def approval_handlers(transactions: payments.PaymentTransactions) -> Mapping[str, operators.ApprovalHandler]:
    """Return the handlers by the action that was proposed."""
    return {
        channels.CHANGE: channels.change_code,
        **routing.APPROVAL_HANDLERS,
        payments.ATTACH_SUCCESS: payments.attach_success(transactions),
        payments.CONVERT_REFUND: payments.switch_refund_method(transactions),
        payments.SETTLE_REFUND: payments.settle_refund(transactions),
    }
