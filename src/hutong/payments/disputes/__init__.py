"""Disputes: a payer's claim against a payment, what its channel takes for it, and what the merchant answers.

Promises: what a channel has taken is booked once, whatever messages come in whatever order; it is held from the
merchant until the dispute has ended, and counts against what can be refunded; the latest statement by the channel's
clock holds.
"""

from hutong.payments.disputes.billed import take_billed_disputes
from hutong.payments.disputes.model import (
    DISPUTE_TRANSITIONS,
    PREFIX,
    Dispute,
    DisputeEventType,
    DisputeState,
    ResponseState,
)
from hutong.payments.disputes.operator_actions import EnterDispute, MoveDispute
from hutong.payments.disputes.responses import Respond
from hutong.payments.disputes.store import find_disputes, list_disputes
from hutong.payments.disputes.watch import DisputeWatch

__all__ = [
    "DISPUTE_TRANSITIONS",
    "PREFIX",
    "Dispute",
    "DisputeEventType",
    "DisputeState",
    "DisputeWatch",
    "EnterDispute",
    "MoveDispute",
    "Respond",
    "ResponseState",
    "find_disputes",
    "list_disputes",
    "take_billed_disputes",
]
