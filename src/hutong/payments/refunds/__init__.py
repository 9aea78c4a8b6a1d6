"""Refunds: money of a payment given back by void, original method, payout or hand, never by two at once.

Promises: a refund's money is reserved in the ledger before its channel is called; what a channel has not proven is
never taken for a failure; a payment is never refunded above what was captured.
"""

from hutong.payments.lists import list_refunds, list_refunds_of_payment
from hutong.payments.refunds.billed import take_billed_refunds
from hutong.payments.refunds.create import RefundOutcome, RefundRefusal, RefundResult
from hutong.payments.refunds.errors import refusal_error
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.refunds.model import (
    REFUND_TRANSITIONS,
    Refund,
    RefundEventType,
    RefundKind,
    RefundMethod,
    RefundSource,
    RefundState,
    read_number,
)
from hutong.payments.refunds.operator_actions import proposal
from hutong.payments.refunds.payee import seal_payee
from hutong.payments.store import find_refunds, refunds_of

__all__ = [
    "REFUND_TRANSITIONS",
    "Refund",
    "RefundEventType",
    "RefundKind",
    "RefundMethod",
    "RefundOrder",
    "RefundOutcome",
    "RefundRefusal",
    "RefundResult",
    "RefundSource",
    "RefundState",
    "find_refunds",
    "list_refunds",
    "list_refunds_of_payment",
    "proposal",
    "read_number",
    "refunds_of",
    "refusal_error",
    "seal_payee",
    "take_billed_refunds",
]
