"""What the query store is told, and what it answers: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID


class RecordStatus(StrEnum):
    """What has come of a payment. One that is open is no bill yet."""

    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CLOSED = "closed"


SHOWN = frozenset(status.value for status in RecordStatus)


class PaymentFact(NamedTuple):
    """A payment as one version of it was told, by an event or by its row."""

    payment_id: UUID
    version: int
    merchant_id: UUID
    status: str
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
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
    """A refund as one version of it was told. `document` is what bills show of it; None while they show nothing."""

    refund_id: UUID
    version: int
    payment_id: UUID
    amount_minor: int
    document: str | None


class ProfileFact(NamedTuple):
    """What was said of a customer, by an order or outside of one. What was said later holds; `by` says what said it,
    for what was said at the same time."""

    merchant_id: UUID
    customer_id: str
    name: str | None
    avatar: str | None
    at: datetime
    by: UUID


@dataclass(frozen=True, slots=True)
class Facts:
    """What was told, in any order."""

    payments: Sequence[PaymentFact] = ()
    refunds: Sequence[RefundFact] = ()
    profiles: Sequence[ProfileFact] = ()


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """One payment with its refunds and the newest of its customer.

    Attributes:
        refunds: Those whose money is back, first to last.
        customer_name, customer_avatar: As the customer's newest order has them.
    """

    payment_id: UUID
    merchant_id: UUID
    status: RecordStatus
    merchant_order_no: str
    subject: str
    amount_minor: int
    currency: str
    amount_captured_minor: int
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
    """Which bills are asked for; None asks for nothing in particular.

    Attributes:
        merchant_id: Whose; None sees everybody's.
        begin, end: Created from the one on, before the other.
        customer_id: The merchant's own name of the customer.
        counterparty: The customer's id, or part of the name.
        text: Words of the subject, each of which must occur.
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
class Page:
    """Some bills, newest first, and where the next ones begin."""

    bills: list[PaymentRecord]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source has been read.

    Attributes:
        no: The last number applied.
        last_no: The last number there is.
        lag_s: For how long the first event that is not applied has been waiting; 0 without one.
    """

    source: str
    no: int
    last_no: int
    lag_s: float

    @property
    def lag(self) -> int:
        return self.last_no - self.no
