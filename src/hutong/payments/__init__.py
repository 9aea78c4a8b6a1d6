"""The life cycle of payments, attempts and refunds.

Promises: a payment's state, its transfers in the ledger and its events commit together or not at all; what a channel
has not proven is never taken for a failure; at most one attempt of a payment counts, and every other success is
surplus.
"""

from hutong.payments import errors, items, refunds, restored

# isort: split
# Decisions stand on everything else here.
from hutong.payments import disputes, exceptions, export, lookup
from hutong.payments.answers import Answers
from hutong.payments.attempt_outcomes import attempt_outcomes
from hutong.payments.channel_reports import ChannelReport, RecordReport
from hutong.payments.create import PlaceResult
from hutong.payments.documents import Documents, list_items, timeline
from hutong.payments.lifecycle import Payments, PaymentsConfig
from hutong.payments.lists import list_payments
from hutong.payments.metadata import change_metadata
from hutong.payments.model import (
    Attempt,
    AttemptState,
    CaptureMethod,
    NewAttempt,
    NewPayment,
    OperatorActionType,
    Payment,
    PaymentEventType,
    PaymentStatus,
    PollingPolicy,
    Source,
)
from hutong.payments.operator_actions import BilledSuccess, OperatorAction, approval_handlers
from hutong.payments.polling import sweep_plans
from hutong.payments.postings import success_id
from hutong.payments.route_selection import RouteRequest
from hutong.payments.store import find
from hutong.payments.transactions import PaymentTransactions, PlaceOrder

__all__ = [
    "Answers",
    "Attempt",
    "AttemptState",
    "BilledSuccess",
    "CaptureMethod",
    "ChannelReport",
    "Documents",
    "NewAttempt",
    "NewPayment",
    "OperatorAction",
    "OperatorActionType",
    "Payment",
    "PaymentEventType",
    "PaymentStatus",
    "PaymentTransactions",
    "Payments",
    "PaymentsConfig",
    "PlaceOrder",
    "PlaceResult",
    "PollingPolicy",
    "RecordReport",
    "RouteRequest",
    "Source",
    "approval_handlers",
    "attempt_outcomes",
    "change_metadata",
    "disputes",
    "errors",
    "exceptions",
    "export",
    "find",
    "items",
    "list_items",
    "list_payments",
    "lookup",
    "refunds",
    "restored",
    "success_id",
    "sweep_plans",
    "timeline",
]
