"""The store of a simulated channel: orders, refunds and payouts, and an append-only log of its actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from hutong.clock import Clock, to_ns
from hutong.money import allocate
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import Faults


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
    """

    dispute_no: str
    order: SandboxOrder
    amount_minor: int
    reason: str
    status: str
    opened_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    changed_at: datetime | None = None
    notify_url: str = ""
    notified: int = 0
    accepted: bool = False

    @property
    def currency(self) -> str:
        return self.order.currency


SandboxRecord = SandboxOrder | SandboxRefund | SandboxPayout | SandboxDispute


class Store:
    """The data of one simulated channel. Kept in memory: a restarted sandbox starts empty."""

    def __init__(self, channel: str, clock: Clock) -> None:
        self.clock = clock
        self.channel = channel
        self.orders: dict[str, SandboxOrder] = {}
        self.by_code: dict[str, SandboxOrder] = {}
        self.refunds: dict[str, SandboxRefund] = {}
        self.payouts: dict[str, SandboxPayout] = {}
        self.disputes: dict[str, SandboxDispute] = {}
        self.planted: dict[tuple[str, str], list[Entry]] = {}
        """Bills with planted differences, by kind and day."""
        self.faults = Faults()
        self.truth: list[dict[str, Any]] = []

    def new_channel_no(self, prefix: str = "4200") -> str:
        """Return the prefix and 24 digits that no other run of the sandbox produces."""
        count = len(self.orders) + len(self.refunds) + len(self.payouts)
        return f"{prefix}{to_ns(self.clock.now()):019d}{count % 100_000:05d}"

    def place(self, order: SandboxOrder) -> None:
        self.orders[order.order_no] = order
        self.by_code[order.code_url] = order
        self._record(order, "placed")

    def payable(self, order: SandboxOrder) -> bool:
        """Return whether a payer can still pay an order. An expired order stays unpaid until it is closed."""
        return order.state is OrderState.OPEN and (order.expires_at is None or self.clock.now() < order.expires_at)

    def is_payable(self, order: SandboxOrder, *, force: bool) -> bool:
        """Return whether `pay` would pay an order."""
        already_paid = order.state in (OrderState.PAID, OrderState.AUTHORIZED)
        return not already_paid and (force or self.payable(order))

    def pay(self, order: SandboxOrder, *, force: bool = False) -> bool:
        """Pay an order, or reserve the money if the order is not captured automatically.

        Args:
            force: Also pay an order that is closed or expired, like a channel that takes money late.

        Returns:
            Whether the order was paid now.
        """
        if not self.is_payable(order, force=force):
            return False
        if order.capture:
            self._take(order, order.amount_minor, "paid")
        else:
            self.change(order, OrderState.AUTHORIZED, "authorized")
        return True

    def decline(self, order: SandboxOrder) -> bool:
        """Decline an order finally; return whether that was possible."""
        if not self.payable(order):
            return False
        self.change(order, OrderState.DECLINED, "declined")
        return True

    def capture(self, order: SandboxOrder, amount_minor: int) -> None:
        """Capture authorized money, once; the rest is released."""
        assert order.state is OrderState.AUTHORIZED
        assert 0 < amount_minor <= order.amount_minor
        self._take(order, amount_minor, "captured")

    def change(self, order: SandboxOrder, state: OrderState, event: str) -> None:
        order.state = state
        order.changed_at = self.clock.now()
        self._record(order, event)

    def refundable_minor(self, order: SandboxOrder) -> int:
        """Return the part of an order that is neither refunded nor being refunded."""
        refunded = (
            r.amount_minor for r in self.refunds.values() if r.order is order and r.state is not OutgoingState.FAILED
        )
        return order.captured_minor - sum(refunded)

    def start_refund(self, refund: SandboxRefund) -> None:
        """Accept a refund. The payer's part and each coupon's are in proportion to what is left of them."""
        order = refund.order
        before = [r for r in self.refunds.values() if r.order is order and r.state is not OutgoingState.FAILED]
        left = [
            coupon.amount_minor - sum(other.returned[place] for other in before)
            for place, coupon in enumerate(order.coupons)
        ]
        payer_left = order.payer_minor - sum(other.payer_minor for other in before)
        refund.returned = tuple(allocate(refund.amount_minor, [payer_left, *left])[1:]) if left else ()
        self.refunds[refund.refund_no] = refund
        self._record(refund, "refund_accepted")

    def finish_refund(self, refund: SandboxRefund, *, succeeded: bool) -> bool:
        """End a refund; return whether it was still pending."""
        return self._finish(refund, "refunded" if succeeded else "refund_failed", succeeded=succeeded)

    def give_back_in_portal(self, refund: SandboxRefund) -> bool:
        """Give money back as a person in the portal does, at once; return whether that much is left of a paid order."""
        if refund.order.state is not OrderState.PAID or not 0 < refund.amount_minor <= self.refundable_minor(
            refund.order
        ):
            return False
        self.refunds[refund.refund_no] = refund
        refund.state, refund.changed_at = OutgoingState.SUCCEEDED, self.clock.now()
        self._record(refund, "refunded_in_portal")
        return True

    def return_refund(self, refund: SandboxRefund) -> bool:
        """Let a refund fail that has succeeded; return whether it had."""
        if refund.state is not OutgoingState.SUCCEEDED:
            return False
        refund.state, refund.returned_at = OutgoingState.FAILED, self.clock.now()
        self._record(refund, "refund_returned")
        return True

    def start_payout(self, payout: SandboxPayout) -> None:
        self.payouts[payout.payout_no] = payout
        self._record(payout, "payout_accepted")

    def finish_payout(self, payout: SandboxPayout, *, succeeded: bool) -> bool:
        """End a payout; return whether it was still pending."""
        return self._finish(payout, "paid_out" if succeeded else "payout_failed", succeeded=succeeded)

    def open_dispute(self, dispute: SandboxDispute) -> None:
        self.disputes[dispute.dispute_no] = dispute
        self._record(dispute, "disputed")

    def change_dispute(self, dispute: SandboxDispute, status: str) -> None:
        dispute.status, dispute.changed_at = status, self.clock.now()
        self._record(dispute, f"dispute_{status}")

    def _take(self, order: SandboxOrder, amount_minor: int, event: str) -> None:
        order.captured_minor = amount_minor
        order.paid_at = self.clock.now()
        self.change(order, OrderState.PAID, event)

    def _finish(self, record: SandboxRefund | SandboxPayout, event: str, *, succeeded: bool) -> bool:
        if record.state is not OutgoingState.PENDING:
            return False
        record.state = OutgoingState.SUCCEEDED if succeeded else OutgoingState.FAILED
        record.changed_at = self.clock.now()
        self._record(record, event)
        return True

    def _record(self, record: SandboxRecord, event: str) -> None:
        number, channel_no = numbers(record)
        amount_minor = record.amount_minor
        if event == "captured" and isinstance(record, SandboxOrder):
            amount_minor = record.captured_minor
        order = record if isinstance(record, SandboxOrder) else getattr(record, "order", None)
        self.truth.append(
            {
                "seq": len(self.truth) + 1,
                "at": self.clock.now().isoformat(),
                "channel": self.channel,
                "event": event,
                "number": number,
                "channel_no": channel_no,
                "order_no": order.order_no if isinstance(order, SandboxOrder) else None,
                "amount_minor": amount_minor,
                "currency": record.currency,
            }
        )


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
