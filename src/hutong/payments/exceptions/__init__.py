"""Exceptions: genuine messages of channels that do not fit an order, kept, published, and decided by two persons."""

from hutong.payments.exception_items import (
    PREFIX,
    ExceptionDecision,
    ExceptionKind,
    ExceptionStatus,
    PaymentException,
    open_message,
)
from hutong.payments.exception_store import (
    exception_document,
    find_exception,
    list_exceptions,
    sealed_message,
)
from hutong.payments.exceptions.billed import (
    BilledRow,
    confirm_billed_payments,
    confirm_billed_refunds,
    list_unknown,
    return_billed_payments,
    take_over,
)
from hutong.payments.exceptions.decisions import ProposeDecision, decide_exception, decision_proposal

__all__ = [
    "PREFIX",
    "BilledRow",
    "ExceptionDecision",
    "ExceptionKind",
    "ExceptionStatus",
    "PaymentException",
    "ProposeDecision",
    "confirm_billed_payments",
    "confirm_billed_refunds",
    "decide_exception",
    "decision_proposal",
    "exception_document",
    "find_exception",
    "list_exceptions",
    "list_unknown",
    "open_message",
    "return_billed_payments",
    "sealed_message",
    "take_over",
]
