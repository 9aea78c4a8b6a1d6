"""Disputes: a payer's claim against a payment, what its channel takes for it, and what the merchant answers.

Promises: what a channel has taken is booked once, whatever messages come in whatever order; it is held from the
merchant until the dispute has ended, and counts against what can be refunded; the latest statement by the channel's
clock holds.
"""

from hutong.payments.disputes.billed import take_billed_disputes
from hutong.payments.disputes.model import DISPUTE_TRANSITIONS, DisputeEventType

__all__ = [
    "DISPUTE_TRANSITIONS",
    "DisputeEventType",
    "take_billed_disputes",
]
