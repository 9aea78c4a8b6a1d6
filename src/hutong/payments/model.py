"""Payments, attempts and their events as values; their states and the legal transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import orjson

from hutong import channels
from hutong.customers import Customer
from hutong.payments.items import Discount, LineItem

if TYPE_CHECKING:
    from hutong.payments.disputes.model import Dispute, DisputeEventType
    from hutong.payments.refunds.model import Refund, RefundEventType


class PaymentStatus(StrEnum):
    """States of a payment: the merchant's order with us."""

    REQUIRES_PAYMENT = "requires_payment"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    """The payer's side has reserved the money; the merchant captures it or gives it up."""
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


class AttemptState(StrEnum):
    """States of an attempt: one payment order at a channel."""

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
    # Without a capture it closes when the merchant gives it up, and goes back when the channel lets it lapse.
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
    # Money proven to have moved after we closed the attempt is recorded, as surplus.
    _A.FAILED: frozenset({_A.SUCCEEDED}),
    _A.CLOSED: frozenset({_A.SUCCEEDED}),
}

OPEN_PAYMENTS = frozenset({_P.REQUIRES_PAYMENT, _P.PROCESSING, _P.REQUIRES_CAPTURE})
OPEN_ATTEMPTS = frozenset({_A.CREATED, _A.SUBMITTED, _A.UNKNOWN, _A.AUTHORIZED})
IN_DOUBT = frozenset({_A.CREATED, _A.UNKNOWN})

QUERY_CADENCE = tuple(timedelta(seconds=s) for s in (5, 10, 30, 60, 120, 300, 600, 1800, 3600))
WITHOUT_ACTION_MAX = timedelta(seconds=10)
"""The longest pause between queries in the first minutes of a payer who has been given nothing to do."""
WITHOUT_ACTION_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PollingPolicy:
    """When channels are queried about attempts and refunds, and when doubt becomes an alarm.

    Attributes:
        cadence: How long to wait for a notification before the first query, and between queries; the last one repeats.
        not_found_grace: How long after submission "no such order" proves nothing.
        verify_after: How long after an unpaid end the channel is queried once more, in case it took money all the same.
        doubt_alarms: The ages at which an attempt or refund in doubt is reported, once each.
    """

    cadence: tuple[timedelta, ...] = QUERY_CADENCE
    not_found_grace: timedelta = timedelta(minutes=5)
    verify_after: timedelta = timedelta(days=1)
    doubt_alarms: tuple[timedelta, ...] = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1))

    def pause(self, queries: int) -> timedelta:
        """Return how long to wait for the next query after so many of them."""
        return self.cadence[min(queries, len(self.cadence) - 1)]


DEFAULT_POLICY = PollingPolicy()


class CaptureMethod(StrEnum):
    """Who captures the money once the payer has authorized it."""

    AUTOMATIC = "automatic"
    """The channel, at once."""
    MANUAL = "manual"
    """The merchant, by a capture request; until then the money is reserved."""


class CloseReason(StrEnum):
    """Why a payment is closed."""

    MERCHANT = "merchant"
    EXPIRED = "expired"
    OPERATOR = "operator"


class OperatorActionType(StrEnum):
    """Actions of operators on payments and refunds, as the audit log names them."""

    QUERY = "payment.query"
    CLOSE = "payment.close"
    ATTACH_SUCCESS = "payment.attach_success"
    """Takes two persons: to accept a bill's evidence that money was taken, where the channel itself gives no answer."""
    CONVERT_REFUND = "refund.convert"
    """Takes two persons: to send a refund by another method."""
    DECIDE_EXCEPTION = "exception.decide"
    """Takes two persons: to take, refund or ignore what a channel says that does not fit an order."""
    SETTLE_REFUND = "refund.settle"
    """Takes two persons: to record that a refund was paid by hand."""
    ENTER_DISPUTE = "dispute.enter"
    """Takes two persons: to enter a dispute that the channel has no interface for."""
    MOVE_DISPUTE = "dispute.move"
    """Takes two persons: to record how such a dispute goes on."""


class Source(StrEnum):
    """Where a state was taken from."""

    SUBMISSION = "submission"
    NOTIFICATION = "notification"
    QUERY = "query"
    CLOSE = "close"
    CAPTURE = "capture"
    BILL = "bill"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt about to be made.

    It is written before the channel is called, with everything that the call will contain, because a repeated call must
    be identical.

    Attributes:
        notify_url: Where the channel sends its notifications.
        return_url: Where the payer's browser goes afterwards.
        payer_sealed: The payer's details that the method requires, sealed for this attempt and deleted at its end.
        expiry_min, expiry_max: The range of expiry that the channel accepts.
        authorization_kept: How long the channel keeps an authorization.
        decision: The routing decision that chose this account, as routing recorded it.
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
    """A merchant's order, validated at the edge.

    Attributes:
        amount_minor: 1 to 2^63−1 minor units of `currency`.
        checkout_token: The random part that makes the cashier's link unguessable.
        first_attempt: An attempt to make at once, if the merchant has chosen the method.
        items: The line items, with each party's share of the price; empty if the merchant sends none.
        discounts: The discounts from which those shares were computed.
        cancel_url: Where a payer goes who leaves the cashier without having paid; None takes `return_url`.
        adopted: As `Payment.adopted`.
    """

    VALIDITY_MIN: ClassVar = timedelta(minutes=1)
    VALIDITY_MAX: ClassVar = timedelta(days=15)
    """The default of the longest time that a payment may be paid in."""

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
    adopted: bool = False
    cancel_url: str | None = None


@dataclass(slots=True)
class Attempt:
    """One row of payments.attempt."""

    attempt_id: UUID
    payment_id: UUID
    account_id: UUID
    channel: str
    method: str
    created_at: datetime
    state: AttemptState = AttemptState.CREATED
    surplus: bool = False
    action_kind: str | None = None
    action_content: str | None = None
    channel_order_no: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None
    queries: int = 0
    finished_at: datetime | None = None
    next_query_at: datetime | None = None
    payer_ip: str | None = None
    notify_url: str | None = None
    return_url: str | None = None
    payer_sealed: bytes | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """The expiry sent to the channel; None for an attempt from before this was recorded."""
    authorization_kept: timedelta | None = None
    amount_captured_minor: int | None = None
    close_requested_at: datetime | None = None
    doubt_since: datetime | None = None
    verify_at: datetime | None = None
    code: str | None = None
    """Our code for the channel's latest answer; `code_entry` and `retryable` go with it."""
    code_entry: str | None = None
    """The entry of the code map that `code` is from; None for an answer from before this was recorded."""
    retryable: bool | None = None
    amount_paid_minor: int | None = None
    """What the payer paid; None if it is what was captured. `amount_settled_minor` and the discounts go with it."""
    amount_settled_minor: int | None = None
    channel_discounts: str | None = None
    decision: str | None = field(default=None, repr=False, compare=False)
    """The routing decision; known only to the process that started the attempt."""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_ATTEMPTS

    @property
    def sums(self) -> channels.sums.Sums | None:
        """The three sums of a success; None where all are what was captured."""
        figures = self.amount_captured_minor or 0, self.amount_paid_minor or 0, self.amount_settled_minor or 0
        return (
            channels.sums.Sums.read(*figures, orjson.loads(self.channel_discounts)) if self.channel_discounts else None
        )

    @property
    def returnable_minor(self) -> int:
        """What refunds of the whole take back from the settlement: all but the discounts that the merchant bore."""
        return (self.amount_captured_minor or 0) - (self.sums.borne_minor if self.sums else 0)


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
    fee_ppm: int
    checkout_token: str
    return_url: str | None
    metadata: Mapping[str, Any]
    expires_at: datetime
    created_at: datetime
    succeeded_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: str | None = None
    close_requested_at: datetime | None = None
    amount_refunded_minor: int = 0
    amount_refunding_minor: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    amount_captured_minor: int = 0
    authorized_at: datetime | None = None
    capture_before: datetime | None = None
    capture_minor: int | None = None
    """The part of the authorized amount that the merchant captures, from the intent on."""
    capture_requested_at: datetime | None = None
    customer: Customer | None = None
    cancel_url: str | None = None
    changed_metadata: dict[str, str] | None = None  # what the merchant has made of the order's since
    adopted: bool = False
    """Created after a restore from a channel's report; of the order, only the amount and the currency are known."""
    amount_disputed_minor: int = 0
    """What the channel has taken for disputes and not given back; of the captured sum. The next two go with it."""
    disputed_paid_minor: int = 0
    disputed_settled_minor: int = 0
    portal_minor: int = 0
    """Reported as given back in the channel's portal, and not booked; known where refunds are locked."""

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

    @property
    def counted_attempt(self) -> Attempt | None:
        """The one successful attempt whose money the payment counts; every other success is surplus."""
        return next((a for a in self.attempts if a.state is AttemptState.SUCCEEDED and not a.surplus), None)

    @property
    def sums(self) -> channels.sums.Sums:
        """What was ordered, paid and will settle of the captured amount; all are 0 until it is captured."""
        counted, captured_minor = self.counted_attempt, self.amount_captured_minor
        return (counted and counted.sums) or channels.sums.Sums(captured_minor, captured_minor, captured_minor)

    @property
    def unrefunded_minor(self) -> int:
        """The captured amount that is neither refunded nor on its way back."""
        return self.amount_captured_minor - self.amount_refunded_minor - self.amount_refunding_minor

    @property
    def refundable_minor(self) -> int:
        """What of that no dispute has taken, so that nothing is given back twice."""
        return max(self.unrefunded_minor - self.amount_disputed_minor, 0)

    def attempt(self, attempt_id: UUID) -> Attempt:
        """Return one of the payment's attempts."""
        return next(attempt for attempt in self.attempts if attempt.attempt_id == attempt_id)

    def copy(self) -> Payment:
        """Return a copy that shares nothing that can be changed."""
        return replace(self, attempts=[replace(attempt) for attempt in self.attempts])

    def wants_end(self, attempt: Attempt) -> bool:
        """Tell whether an open attempt has to be closed at its channel.

        Its payment is to be closed, or it must make way for another one and the payer has not authorized it meanwhile.
        """
        makes_way = attempt.close_requested_at is not None and attempt.state is not AttemptState.AUTHORIZED
        return makes_way or self.close_requested_at is not None


class PaymentEventType(StrEnum):
    """Events of a payment that are published, and booked where money has moved."""

    AUTHORIZED = "payment.authorized"
    CAPTURED = "payment.captured"
    SUCCEEDED = "payment.succeeded"
    CLOSED = "payment.closed"
    UPDATED = "payment.updated"
    ATTEMPT_FAILED = "payment.attempt_failed"
    NO_METHOD = "payment.no_method"
    SURPLUS = "payment.surplus_received"
    EXCEPTION_OPENED = "payment.exception_opened"
    """The channel says something about it that does not fit; the platform's operators decide."""
    EXCEPTION_DECIDED = "payment.exception_decided"


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """An event of a payment, or of one of its refunds or disputes, with what it is about."""

    type: PaymentEventType | RefundEventType | DisputeEventType
    payment: Payment
    attempt: Attempt | None = None
    refund: Refund | None = None
    dispute: Dispute | None = None
