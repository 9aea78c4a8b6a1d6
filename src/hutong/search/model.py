"""Payment records, the facts that they are made of, and the queries that find them: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class RecordStatus(StrEnum):
    """The state of a payment that has a record. An open payment has none."""

    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


SHOWN = frozenset(status.value for status in RecordStatus)


class PaymentFact(NamedTuple):
    """One version of a payment, from an event or from its row."""

    payment_id: UUID
    version: int
    merchant_id: UUID
    status: str
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
    amount_paid_minor: int
    amount_settled_minor: int
    method: str | None
    channel: str | None
    customer_id: str | None
    customer_name: str | None
    customer_avatar: str | None
    created_at: datetime
    authorized_at: datetime | None
    succeeded_at: datetime | None
    closed_at: datetime | None


class RefundFact(NamedTuple):
    """One version of a refund. `document` is the refund as records show it; None while they do not."""

    refund_id: UUID
    version: int
    payment_id: UUID
    amount_minor: int
    document: str | None


class ProfileFact(NamedTuple):
    """A customer's profile at one instant, from an order or outside of one.

    The latest wins; `by`, the id of the source, breaks ties.
    """

    merchant_id: UUID
    customer_id: str
    name: str | None
    avatar: str | None
    at: datetime
    by: UUID


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts to apply, in any order."""

    payments: Sequence[PaymentFact] = ()
    refunds: Sequence[RefundFact] = ()
    profiles: Sequence[ProfileFact] = ()


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """One payment with its refunds and the newest profile of its customer.

    Attributes:
        refunds: Those whose money is back with the payer, oldest first.
        customer_name, customer_avatar: From the customer's newest profile.
    """

    payment_id: UUID
    merchant_id: UUID
    status: RecordStatus
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
    amount_paid_minor: int
    amount_settled_minor: int
    amount_refunded_minor: int
    method: str | None
    channel: str | None
    customer_id: str | None
    customer_name: str | None
    customer_avatar: str | None
    created_at: datetime
    authorized_at: datetime | None
    succeeded_at: datetime | None
    closed_at: datetime | None
    refunds: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """The conditions of a search; None sets no condition.

    Attributes:
        merchant_id: The merchant whose records are searched; None searches everybody's.
        begin, end: Created at or after `begin` and before `end`.
        customer_id: The merchant's own id of the customer.
        counterparty: The customer's id, or part of the customer's name.
        text: Terms, each of which must occur in the subject.
    """

    merchant_id: UUID | None = None
    begin: datetime | None = None
    end: datetime | None = None
    status: RecordStatus | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    currency: str | None = None
    merchant_order_no: str | None = None
    customer_id: str | None = None
    counterparty: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """A page of payment records, newest first, and the cursor of the next page."""

    records: list[PaymentRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """The progress of the projection in one stream of events.

    Attributes:
        no: The last number applied.
        last_no: The last number in the stream.
        lag_s: For how long the first event that is not applied has been waiting; 0 without one.
    """

    source: str
    no: int
    last_no: int
    lag_s: float

    @property
    def lag(self) -> int:
        return self.last_no - self.no
