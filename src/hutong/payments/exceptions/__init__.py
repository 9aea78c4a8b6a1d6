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
from hutong.payments.exceptions.decisions import ProposeDecision, decide_exception, decision_proposal

__all__ = [
    "PREFIX",
    "ExceptionDecision",
    "ExceptionKind",
    "ExceptionStatus",
    "PaymentException",
    "ProposeDecision",
    "decide_exception",
    "decision_proposal",
    "exception_document",
    "find_exception",
    "list_exceptions",
    "open_message",
    "sealed_message",
]
