"""Payments and attempts as values, their states, and the legal ways between those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID


class PaymentStatus(StrEnum):
    """The merchant's order with us."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


class AttemptState(StrEnum):
    """One try at a channel."""

    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CLOSED = "closed"


_P, _A = PaymentStatus, AttemptState

PAYMENT_TRANSITIONS: Mapping[PaymentStatus, frozenset[PaymentStatus]] = {
    _P.REQUIRES_PAYMENT: frozenset({_P.PROCESSING, _P.CLOSED}),
    _P.PROCESSING: frozenset({_P.REQUIRES_PAYMENT, _P.SUCCEEDED, _P.CLOSED}),
    _P.SUCCEEDED: frozenset(),
    _P.CLOSED: frozenset(),
}

ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    _A.CREATED: frozenset({_A.SUBMITTED, _A.UNKNOWN, _A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.SUBMITTED: frozenset({_A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.UNKNOWN: frozenset({_A.SUBMITTED, _A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.SUCCEEDED: frozenset(),
    # Money proven to have moved after we closed the try is recorded, as surplus.
    _A.FAILED: frozenset({_A.SUCCEEDED}),
    _A.CLOSED: frozenset({_A.SUCCEEDED}),
}

OPEN_PAYMENTS = frozenset({_P.REQUIRES_PAYMENT, _P.PROCESSING})
OPEN_ATTEMPTS = frozenset({_A.CREATED, _A.SUBMITTED, _A.UNKNOWN})

VALIDITY_MAX = timedelta(days=15)
"""How long a payment may be paid if nothing shorter is asked for."""

VALIDITY_MIN = timedelta(minutes=1)

QUERY_CADENCE = tuple(timedelta(seconds=s) for s in (5, 10, 30, 60, 120, 300, 600, 1800, 3600))
"""How long to wait for a notification before asking the channel, and between the questions; the last one repeats."""

WITHOUT_ACTION_MAX = timedelta(seconds=10)
"""The longest wait between questions while the payer has been given nothing to do."""

NOT_FOUND_GRACE = timedelta(minutes=5)
"""How long after submission "no such order" proves nothing."""


class CloseReason(StrEnum):
    """Why a payment is to be closed."""

    MERCHANT = "merchant"
    EXPIRED = "expired"


class Source(StrEnum):
    """How a state was learnt."""

    SUBMISSION = "submission"
    NOTIFICATION = "notification"
    QUERY = "query"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A try that is about to be made. Written down before the channel is called, with all that the call will say:
    sending it again must say the same."""

    attempt_id: UUID
    account_id: UUID
    channel: str
    method: str
    payer_ip: str | None = None


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A merchant's order, checked at the edge.

    Attributes:
        amount_minor: 1 to 2^63−1 minor units of `currency`.
        checkout_token: What makes the cashier's link unguessable.
        first_attempt: A try to be made at once, if the merchant has chosen the method.
    """

    payment_id: UUID
    merchant_id: UUID
    merchant_order_no: str
    amount_minor: int
    currency: str
    subject: str
    expires_at: datetime
    checkout_token: str
    return_url: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    fee_ppm: int = 0
    first_attempt: NewAttempt | None = None


@dataclass(slots=True)
class Attempt:
    """One row of payments.attempt."""

    attempt_id: UUID
    payment_id: UUID
    account_id: UUID
    channel: str
    method: str
    state: AttemptState
    surplus: bool
    action_kind: str | None
    action_content: str | None
    channel_order_no: str | None
    channel_code: str | None
    channel_message: str | None
    queries: int
    created_at: datetime
    finished_at: datetime | None
    next_query_at: datetime | None
    payer_ip: str | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_ATTEMPTS


@dataclass(slots=True)
class Payment:
    """One row of payments.payment, with its attempts from first to last."""

    payment_id: UUID
    merchant_id: UUID
    merchant_order_no: str
    amount_minor: int
    currency: str
    subject: str
    status: PaymentStatus
    amount_refunded_minor: int
    fee_ppm: int
    checkout_token: str
    return_url: str | None
    metadata: Mapping[str, Any]
    expires_at: datetime
    created_at: datetime
    succeeded_at: datetime | None
    closed_at: datetime | None
    close_reason: str | None
    close_requested_at: datetime | None
    amount_refunding_minor: int = 0
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_PAYMENTS

    @property
    def open_attempts(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.is_open]
