"""Payments and attempts as values, their states, and the legal ways between those."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from hutong.customers import Customer
from hutong.payments.items import Discount, LineItem


class PaymentStatus(StrEnum):
    """The merchant's order with us."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    """The payer's side has reserved the money; the merchant takes it or gives it up."""
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


class AttemptState(StrEnum):
    """One try at a channel."""

    CREATED = "created"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    AUTHORIZED = "authorized"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CLOSED = "closed"


_P, _A = PaymentStatus, AttemptState

PAYMENT_TRANSITIONS: Mapping[PaymentStatus, frozenset[PaymentStatus]] = {
    _P.REQUIRES_PAYMENT: frozenset({_P.PROCESSING, _P.CLOSED}),
    _P.PROCESSING: frozenset({_P.REQUIRES_PAYMENT, _P.REQUIRES_CAPTURE, _P.SUCCEEDED, _P.CLOSED}),
    # Without a capture it ends when the merchant gives it up, or goes back when the channel lets it lapse.
    _P.REQUIRES_CAPTURE: frozenset({_P.REQUIRES_PAYMENT, _P.SUCCEEDED, _P.CLOSED}),
    _P.SUCCEEDED: frozenset(),
    _P.CLOSED: frozenset(),
}

ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    _A.CREATED: frozenset({_A.SUBMITTED, _A.UNKNOWN, _A.AUTHORIZED, _A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.SUBMITTED: frozenset({_A.AUTHORIZED, _A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.UNKNOWN: frozenset({_A.SUBMITTED, _A.AUTHORIZED, _A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.AUTHORIZED: frozenset({_A.SUCCEEDED, _A.FAILED, _A.CLOSED}),
    _A.SUCCEEDED: frozenset(),
    # Money proven to have moved after we closed the try is recorded, as surplus.
    _A.FAILED: frozenset({_A.SUCCEEDED}),
    _A.CLOSED: frozenset({_A.SUCCEEDED}),
}

OPEN_PAYMENTS = frozenset({_P.REQUIRES_PAYMENT, _P.PROCESSING, _P.REQUIRES_CAPTURE})
OPEN_ATTEMPTS = frozenset({_A.CREATED, _A.SUBMITTED, _A.UNKNOWN, _A.AUTHORIZED})
IN_DOUBT = frozenset({_A.CREATED, _A.UNKNOWN})

VALIDITY_MAX = timedelta(days=15)
"""How long a payment may be paid if nothing shorter is asked for, unless the installation says otherwise."""

VALIDITY_MIN = timedelta(minutes=1)

QUERY_CADENCE = tuple(timedelta(seconds=s) for s in (5, 10, 30, 60, 120, 300, 600, 1800, 3600))
WITHOUT_ACTION_MAX = timedelta(seconds=10)
"""The longest wait between questions in the first minutes of a payer who has been given nothing to do."""

WITHOUT_ACTION_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PollingPolicy:
    """When channels are asked, and when doubt becomes an alarm.

    Attributes:
        cadence: How long to wait for a notification before asking the channel, and between the questions; the last
            one repeats.
        not_found_grace: How long after submission "no such order" proves nothing.
        verify_after: How long after an unpaid end the channel is asked once more whether it took money all the same.
        doubt_alarms: The ages at which an attempt in doubt is reported, once each.
    """

    cadence: tuple[timedelta, ...] = QUERY_CADENCE
    not_found_grace: timedelta = timedelta(minutes=5)
    verify_after: timedelta = timedelta(days=1)
    doubt_alarms: tuple[timedelta, ...] = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1))


DEFAULT_POLICY = PollingPolicy()


class CaptureMethod(StrEnum):
    """Who takes the money once the payer has agreed."""

    AUTOMATIC = "automatic"
    """The channel, at once."""
    MANUAL = "manual"
    """The merchant, by a capture; until then it is reserved."""


class CloseReason(StrEnum):
    """Why a payment is to be closed."""

    MERCHANT = "merchant"
    EXPIRED = "expired"
    OPERATOR = "operator"


class Source(StrEnum):
    """How a state was learnt."""

    SUBMISSION = "submission"
    NOTIFICATION = "notification"
    QUERY = "query"
    CLOSE = "close"
    CAPTURE = "capture"
    BILL = "bill"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A try that is about to be made. Written down before the channel is called, with all that the call will say:
    sending it again must say the same.

    Attributes:
        notify_url: Where the channel tells us of it.
        return_url: Where the payer's browser goes afterwards.
        payer_sealed: What the method asks of the payer, sealed for this try; forgotten with its end.
        expiry_min, expiry_max: The range in which the channel takes an end.
        authorization_kept: How long the channel keeps an authorization.
        decision: Why it goes through this account, as routing wrote it down.
    """

    attempt_id: UUID
    account_id: UUID
    channel: str
    method: str
    payer_ip: str | None = None
    notify_url: str | None = None
    return_url: str | None = None
    payer_sealed: bytes | None = None
    expiry_min: timedelta = timedelta(0)
    expiry_max: timedelta = timedelta.max
    authorization_kept: timedelta | None = None
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A merchant's order, checked at the edge.

    Attributes:
        amount_minor: 1 to 2^63−1 minor units of `currency`.
        checkout_token: What makes the cashier's link unguessable.
        first_attempt: A try to be made at once, if the merchant has chosen the method.
        items: What was bought, with each party's part of its price; none if the merchant does not say.
        discounts: What was taken off, as those parts were computed from it.
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
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    items: tuple[LineItem, ...] = ()
    discounts: tuple[Discount, ...] = ()
    customer: Customer | None = None


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
    notify_url: str | None = None
    return_url: str | None = None
    payer_sealed: bytes | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """The end that the channel was told; None for a try that was written down before it was kept."""
    authorization_kept: timedelta | None = None
    amount_captured_minor: int | None = None
    close_requested_at: datetime | None = None
    doubt_since: datetime | None = None
    verify_at: datetime | None = None
    code: str | None = None
    """Our one word for what the channel said last; `retryable` goes with it."""
    retryable: bool | None = None
    decision: str | None = field(default=None, repr=False, compare=False)
    """Why it goes through its account; known to the process that began it."""

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
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    amount_captured_minor: int = 0
    authorized_at: datetime | None = None
    capture_before: datetime | None = None
    capture_minor: int | None = None
    """What the merchant wants to take of the authorized amount, from the intent on."""
    capture_requested_at: datetime | None = None
    customer: Customer | None = None

    @property
    def is_capturing(self) -> bool:
        return self.status is PaymentStatus.REQUIRES_CAPTURE and self.capture_requested_at is not None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_PAYMENTS

    @property
    def open_attempts(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.is_open]

    @property
    def authorized_attempt(self) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.state is AttemptState.AUTHORIZED), None)

    def wants_end(self, attempt: Attempt) -> bool:
        """Whether an open try is to be closed at its channel: with its payment, or to make room for another try, unless
        the payer has authorized it meanwhile."""
        if self.close_requested_at is not None:
            return True
        return attempt.close_requested_at is not None and attempt.state is not AttemptState.AUTHORIZED
