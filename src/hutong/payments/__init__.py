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
from hutong.payments.capture import CaptureOutcome, CaptureResult, RequestCapture, request_capture
from hutong.payments.choice import Choice
from hutong.payments.close import CloseOutcome, CloseResult, RequestClose, request_close
from hutong.payments.commit import Committer, PlaceOrder, TakeIn
from hutong.payments.document import instant, payment_document, timeline_document
from hutong.payments.doubt import Doubt, list_doubts, report_doubts
from hutong.payments.errors import (
    AttemptInProgress,
    CaptureExceedsAuthorized,
    CaptureInProgress,
    KeyInFlight,
    KeyReused,
    ManualCaptureNotOffered,
    NoRoute,
    NotificationMismatch,
    NotificationReplayed,
    OrderNoReused,
    PartialCaptureNotOffered,
    PayerDetailMissing,
    PaymentAlreadySucceeded,
    PaymentNotCapturable,
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
    CaptureMethod,
    CloseReason,
    NewAttempt,
    NewPayment,
    Payment,
    PaymentStatus,
    Policy,
    Source,
)
from hutong.payments.outcome import Effect, Happening, Learnt, Occurrence, Recorded, record
from hutong.payments.payment import Created, Existing, OtherContent, create, find, list_payments
from hutong.payments.sweep import SWEEP_LIMIT, claim_due, sweep_plans
from hutong.payments.timeline import Entry, read_timeline, write_timeline

__all__ = [
    "ATTEMPT_TRANSITIONS",
    "PAYMENT_TRANSITIONS",
    "SWEEP_LIMIT",
    "VALIDITY_MAX",
    "VALIDITY_MIN",
    "Attempt",
    "AttemptInProgress",
    "AttemptState",
    "CaptureExceedsAuthorized",
    "CaptureInProgress",
    "CaptureMethod",
    "CaptureOutcome",
    "CaptureResult",
    "Choice",
    "CloseOutcome",
    "CloseReason",
    "CloseResult",
    "Committer",
    "Created",
    "Doubt",
    "Effect",
    "Entry",
    "Existing",
    "Flow",
    "Happening",
    "KeyInFlight",
    "KeyReused",
    "Learnt",
    "ManualCaptureNotOffered",
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
    "PartialCaptureNotOffered",
    "PayerDetailMissing",
    "Payment",
    "PaymentAlreadySucceeded",
    "PaymentNotCapturable",
    "PaymentNotPayable",
    "PaymentStatus",
    "PlaceOrder",
    "Policy",
    "Recorded",
    "RequestCapture",
    "RequestClose",
    "Running",
    "Source",
    "StartAttempt",
    "Started",
    "TakeIn",
    "claim_due",
    "create",
    "find",
    "instant",
    "list_doubts",
    "list_payments",
    "payment_document",
    "read_timeline",
    "record",
    "report_doubts",
    "request_capture",
    "request_close",
    "start_attempts",
    "sweep_plans",
    "timeline_document",
    "write_timeline",
]
