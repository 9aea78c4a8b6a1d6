"""The records of a simulated channel: orders, refunds, payouts and disputes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any


class OrderState(StrEnum):
    """The state of an order."""

    OPEN = "open"
    AUTHORIZED = "authorized"
    PAID = "paid"
    DECLINED = "declined"
    CLOSED = "closed"


class OutgoingState(StrEnum):
    """The state of a refund or a payout."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that the payer uses.

    Attributes:
        funder: "channel", "platform" (neither the channel nor the merchant) or "merchant".
        prepaid: Whether a merchant has paid for it in advance, so that it is settled like the others'.
    """

    name: str
    funder: str
    amount_minor: int
    prepaid: bool = False

    @property
    def settles(self) -> bool:
        """Whether the channel settles the amount to the merchant."""
        return self.funder != "merchant" or self.prepaid


@dataclass(slots=True)
class SandboxOrder:
    """One order at the channel, under the platform's number.

    Attributes:
        content: The request that placed the order; a repetition must have the same content.
        code_url: The address that the payer scans or opens, unique; some methods never show it.
        expires_at: When payers can no longer pay; None if the merchant set no expiry.
        method: The channel's own name of the payment method.
        capture: Whether a payment takes the money; False only reserves it.
        data: Further fields of the simulator.
        placed_at: When the channel took it.
        captured_minor: The captured amount.
        paid_at: The time of the capture.
        notified: The number of notifications sent.
        accepted: Whether the platform has accepted a notification.
        coupons: Those that the payer has used.
    """

    order_no: str
    channel_order_no: str
    amount_minor: int
    currency: str
    description: str
    notify_url: str
    content: Mapping[str, Any]
    code_url: str
    expires_at: datetime | None
    method: str = ""
    capture: bool = True
    data: dict[str, Any] = field(default_factory=dict)
    state: OrderState = OrderState.OPEN
    placed_at: datetime | None = None
    changed_at: datetime | None = None
    captured_minor: int = 0
    paid_at: datetime | None = None
    notified: int = 0
    accepted: bool = False
    coupons: tuple[Coupon, ...] = ()

    @property
    def payer_minor(self) -> int:
        """What the payer has paid."""
        return self.captured_minor - sum(coupon.amount_minor for coupon in self.coupons) if self.captured_minor else 0

    @property
    def borne_minor(self) -> int:
        """The coupons that are not settled."""
        return sum(coupon.amount_minor for coupon in self.coupons if not coupon.settles)

    @property
    def settled_minor(self) -> int:
        """What is settled to the merchant, before the fee."""
        return self.captured_minor - self.borne_minor if self.captured_minor else 0


@dataclass(slots=True)
class SandboxRefund:
    """A refund, under the platform's number or, if it was made in the portal, under one of the channel's.

    The other attributes are those of `SandboxOrder`.

    Attributes:
        returned: The part of each of the order's coupons.
        returned_at: When it failed after its success; `changed_at` stays the time of the success.
    """

    refund_no: str
    channel_refund_no: str
    order: SandboxOrder
    amount_minor: int
    currency: str
    notify_url: str
    content: Mapping[str, Any]
    created_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    state: OutgoingState = OutgoingState.PENDING
    changed_at: datetime | None = None
    returned_at: datetime | None = None
    notified: int = 0
    accepted: bool = False
    returned: tuple[int, ...] = ()

    @property
    def payer_minor(self) -> int:
        """What the payer gets back."""
        return self.amount_minor - sum(self.returned)

    @property
    def borne_minor(self) -> int:
        """The part of the coupons that were not settled."""
        parts = zip(self.order.coupons, self.returned, strict=True)
        return sum(part for coupon, part in parts if not coupon.settles)

    @property
    def settled_minor(self) -> int:
        """What is taken back from the settlement."""
        return self.amount_minor - self.borne_minor

    @property
    def succeeded_at(self) -> datetime | None:
        """When it succeeded, also if it has failed since."""
        has_succeeded = self.state is OutgoingState.SUCCEEDED or self.returned_at is not None
        return self.changed_at if has_succeeded else None


@dataclass(slots=True)
class SandboxPayout:
    """A payout, under the platform's number; the other attributes are those of `SandboxOrder`."""

    payout_no: str
    channel_payout_no: str
    amount_minor: int
    currency: str
    payee: Mapping[str, str]
    notify_url: str
    content: Mapping[str, Any]
    created_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    state: OutgoingState = OutgoingState.PENDING
    changed_at: datetime | None = None
    notified: int = 0
    accepted: bool = False


@dataclass(slots=True)
class SandboxDispute:
    """A payer's dispute, under the channel's number; the other attributes are those of `SandboxOrder`.

    Attributes:
        status: The channel's own name of its state.
        reason: The channel's own code of the reason.
        statement: What the payer says.
        taken_minor: What the channel has taken from the merchant for it, less what it has given back.
        fee_minor: Its fee, in the same way.
    """

    dispute_no: str
    order: SandboxOrder
    amount_minor: int
    reason: str
    status: str
    opened_at: datetime
    statement: str = ""
    taken_minor: int = 0
    fee_minor: int = 0
    data: dict[str, Any] = field(default_factory=dict)
    changed_at: datetime | None = None
    notify_url: str = ""
    notified: int = 0
    accepted: bool = False

    @property
    def currency(self) -> str:
        return self.order.currency


SandboxRecord = SandboxOrder | SandboxRefund | SandboxPayout | SandboxDispute


def taken(record: SandboxRecord) -> dict[str, int]:
    """Return what the log says of a dispute beside its amount."""
    if not isinstance(record, SandboxDispute):
        return {}
    return {"taken_minor": record.taken_minor, "fee_minor": record.fee_minor}


def numbers(record: SandboxRecord) -> tuple[str, str]:
    """Return the platform's number of a record and the channel's; a dispute has the channel's alone."""
    if isinstance(record, SandboxDispute):
        return record.dispute_no, record.dispute_no
    if isinstance(record, SandboxOrder):
        return record.order_no, record.channel_order_no
    if isinstance(record, SandboxRefund):
        return record.refund_no, record.channel_refund_no
    return record.payout_no, record.channel_payout_no


def describe(record: SandboxRecord) -> dict[str, Any]:
    """Return a record as the control API shows it."""
    document = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("content", "data", "order")}
    if isinstance(record, SandboxRefund | SandboxDispute):
        document["order_no"] = record.order.order_no
    return document
