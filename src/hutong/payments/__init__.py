"""The life cycle of payments, attempts and refunds.

Promises: a payment's state, its transfers in the ledger and its events commit together or not at all; what a channel
has not proven is never taken for a failure; at most one attempt of a payment counts, and every other success is
surplus.
"""

from hutong.payments.answers import Answers
from hutong.payments.channel_reports import ChannelReport, RecordReport
from hutong.payments.create import PlaceOutcome, PlaceResult
from hutong.payments.customer import CUSTOMER_UPDATED, CustomerProfile, PutCustomer, customer_document, put_customers
from hutong.payments.decision import (
    DECISION_PREFIX,
    LoggedDecision,
    decision_document,
    decisions_between,
    find_decisions,
)
from hutong.payments.documents import Documents, Texts, item_documents, refund_document, timeline_document
from hutong.payments.errors import OrderNoReused
from hutong.payments.export import one_snapshot, stream_customers, stream_payments, stream_refunds
from hutong.payments.in_doubt import AttemptInDoubt, RefundInDoubt, list_in_doubt
from hutong.payments.items import Discount, Funder, LineItem, NewLineItem, allocate_discounts
from hutong.payments.lifecycle import Payments, PaymentsConfig
from hutong.payments.model import (
    ATTEMPT_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    VALIDITY_MAX,
    VALIDITY_MIN,
    Attempt,
    AttemptState,
    CaptureMethod,
    Customer,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentEventType,
    PaymentStatus,
    PollingPolicy,
    Source,
)
from hutong.payments.operator_actions import (
    ATTACH_SUCCESS,
    CLOSE,
    QUERY,
    BilledSuccess,
    OperatorAction,
    attach_success,
    proposal,
)
from hutong.payments.overdraft import agree_overdraft
from hutong.payments.polling import SWEEP_LIMIT, claim_due, sweep_plans
from hutong.payments.probe import probe_idle
from hutong.payments.refunds.create import RefundOutcome, RefundRefusal, RefundResult
from hutong.payments.refunds.errors import refusal_error
from hutong.payments.refunds.lifecycle import RefundOrder
from hutong.payments.refunds.model import REFUND_TRANSITIONS, Refund, RefundEventType
from hutong.payments.refunds.operator_actions import (
    CONVERT_REFUND,
    SETTLE_REFUND,
    refund_proposal,
    settle_refund,
    switch_refund_method,
)
from hutong.payments.refunds.payee import seal_payee
from hutong.payments.rehearsal import Backtest, backtest
from hutong.payments.route_selection import RouteRequest
from hutong.payments.store import find, find_refunds, items_of, list_payments, list_refunds, read_timeline, refunds_of
from hutong.payments.transactions import PaymentTransactions, PlaceOrder

__all__ = [
    "ATTACH_SUCCESS",
    "ATTEMPT_TRANSITIONS",
    "CLOSE",
    "CONVERT_REFUND",
    "CUSTOMER_UPDATED",
    "DECISION_PREFIX",
    "PAYMENT_TRANSITIONS",
    "QUERY",
    "REFUND_TRANSITIONS",
    "SETTLE_REFUND",
    "SWEEP_LIMIT",
    "VALIDITY_MAX",
    "VALIDITY_MIN",
    "Answers",
    "Attempt",
    "AttemptInDoubt",
    "AttemptState",
    "Backtest",
    "BilledSuccess",
    "CaptureMethod",
    "ChannelReport",
    "Customer",
    "CustomerProfile",
    "Discount",
    "Documents",
    "Funder",
    "LineItem",
    "LoggedDecision",
    "NewAttempt",
    "NewLineItem",
    "NewPayment",
    "OperatorAction",
    "OrderNoReused",
    "Payment",
    "PaymentEventType",
    "PaymentStatus",
    "PaymentTransactions",
    "Payments",
    "PaymentsConfig",
    "PlaceOrder",
    "PlaceOutcome",
    "PlaceResult",
    "PollingPolicy",
    "PutCustomer",
    "RecordReport",
    "Refund",
    "RefundEventType",
    "RefundInDoubt",
    "RefundOrder",
    "RefundOutcome",
    "RefundRefusal",
    "RefundResult",
    "RouteRequest",
    "Source",
    "Texts",
    "agree_overdraft",
    "allocate_discounts",
    "attach_success",
    "backtest",
    "claim_due",
    "customer_document",
    "decision_document",
    "decisions_between",
    "find",
    "find_decisions",
    "find_refunds",
    "item_documents",
    "items_of",
    "list_in_doubt",
    "list_payments",
    "list_refunds",
    "one_snapshot",
    "probe_idle",
    "proposal",
    "put_customers",
    "read_timeline",
    "refund_document",
    "refund_proposal",
    "refunds_of",
    "refusal_error",
    "seal_payee",
    "settle_refund",
    "stream_customers",
    "stream_payments",
    "stream_refunds",
    "sweep_plans",
    "switch_refund_method",
    "timeline_document",
]
