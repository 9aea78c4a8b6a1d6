"""The life cycle of payments and attempts.

Promises: a payment's state, its transfers in the ledger and its events commit together or not at all; what a channel
has not proven is never taken for a failure; at most one attempt of a payment counts, and every other success is
surplus.
"""

from hutong.payments.attempt import (
    NotPayable,
    OtherRunning,
    Running,
    StartAttempt,
    Started,
    start_attempts,
)
from hutong.payments.close import CloseOutcome, CloseResult, RequestClose, request_close
from hutong.payments.commit import Committer, PlaceOrder, TakeIn
from hutong.payments.document import instant, payment_document
from hutong.payments.errors import (
    AttemptInProgress,
    KeyInFlight,
    KeyReused,
    NoRoute,
    NotificationMismatch,
    NotificationReplayed,
    OrderNoReused,
    PaymentAlreadySucceeded,
    PaymentNotPayable,
)
from hutong.payments.flow import Flow
from hutong.payments.model import (
    ATTEMPT_TRANSITIONS,
    PAYMENT_TRANSITIONS,
    VALIDITY_MAX,
    VALIDITY_MIN,
    Attempt,
    AttemptState,
    CloseReason,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentStatus,
    Source,
)
from hutong.payments.outcome import Effect, Happening, Learnt, Occurrence, Recorded, record
from hutong.payments.payment import Created, Existing, OtherContent, create, find, list_payments

__all__ = [
    "ATTEMPT_TRANSITIONS",
    "PAYMENT_TRANSITIONS",
    "VALIDITY_MAX",
    "VALIDITY_MIN",
    "Attempt",
    "AttemptInProgress",
    "AttemptState",
    "CloseOutcome",
    "CloseReason",
    "CloseResult",
    "Committer",
    "Created",
    "Effect",
    "Existing",
    "Flow",
    "Happening",
    "KeyInFlight",
    "KeyReused",
    "Learnt",
    "NewAttempt",
    "NewPayment",
    "NoRoute",
    "NotPayable",
    "NotificationMismatch",
    "NotificationReplayed",
    "Occurrence",
    "OrderNoReused",
    "OtherContent",
    "OtherRunning",
    "Payment",
    "PaymentAlreadySucceeded",
    "PaymentNotPayable",
    "PaymentStatus",
    "PlaceOrder",
    "Recorded",
    "RequestClose",
    "Running",
    "Source",
    "StartAttempt",
    "Started",
    "TakeIn",
    "create",
    "find",
    "instant",
    "list_payments",
    "payment_document",
    "record",
    "request_close",
    "start_attempts",
]
