"""What the approval of each kind of proposal does."""

from __future__ import annotations

from collections.abc import Mapping

from hutong import channels, operators, payments, routing


def approval_handlers(committer: payments.Committer) -> Mapping[str, operators.Effect]:
    """Return the handlers by the action that was proposed."""
    return {
        channels.CHANGE: channels.change_code,
        **routing.EFFECTS,
        payments.ATTACH_SUCCESS: payments.attach_success(committer),
        payments.CONVERT_REFUND: payments.convert_refund(committer),
        payments.SETTLE_REFUND: payments.settle_refund(committer),
    }
