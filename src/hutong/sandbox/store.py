"""What a simulated channel knows: orders, refunds and payouts, and an append-only log of what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from hutong.clock import Clock, to_ns
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import Faults


class OrderState(StrEnum):
    OPEN = "open"
    AUTHORIZED = "authorized"
    PAID = "paid"
    DECLINED = "declined"
    CLOSED = "closed"


class MoneyOut(StrEnum):
    """The state of a refund or a payout."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(slots=True)
class Order:
    """One order at the channel, by the number the platform gave it.

    Attributes:
        content: The placing request as it came; placing again must repeat it.
        code_url: What the payer scans or opens, one of its kind; the channel may never show it to anybody.
        expires_at: Until when a payer can pay; None if the merchant set no end.
        method: The channel's word for the way of paying.
        capture: False only reserves the money when the payer pays.
        data: What else the simulator keeps with it.
        captured_minor: What was taken.
        paid_at: When it was taken.
        notified: How many times the notification was sent.
        accepted: Whether the platform has accepted one.
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


@dataclass(slots=True)
class Refund:
    """Money on its way back, by the number the platform gave it; the other attributes are as in `Order`."""

    refund_no: str
    channel_refund_no: str
    order: Order
    amount_minor: int
    currency: str
    notify_url: str
    content: Mapping[str, Any]
    created_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    state: MoneyOut = MoneyOut.PENDING
    changed_at: datetime | None = None
    notified: int = 0
    accepted: bool = False


@dataclass(slots=True)
class Payout:
    """Money sent out, by the number the platform gave it; the other attributes are as in `Order`."""

    payout_no: str
    channel_payout_no: str
    amount_minor: int
    currency: str
    payee: Mapping[str, str]
    notify_url: str
    content: Mapping[str, Any]
    created_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    state: MoneyOut = MoneyOut.PENDING
    changed_at: datetime | None = None
    notified: int = 0
    accepted: bool = False


class Book:
    """What one simulated channel has in its books. Kept in memory: a restarted sandbox starts empty."""

    def __init__(self, channel: str, clock: Clock) -> None:
        self.clock = clock
        self.channel = channel
        self.orders: dict[str, Order] = {}
        self.by_code: dict[str, Order] = {}
        self.refunds: dict[str, Refund] = {}
        self.payouts: dict[str, Payout] = {}
        self.planted: dict[tuple[str, str], list[Entry]] = {}
        """Bills that were altered on request, by kind and day."""
        self.faults = Faults()
        self.truth: list[dict[str, Any]] = []

    def new_channel_no(self, prefix: str = "4200") -> str:
        """The prefix and 24 digits that no earlier or later run of the sandbox gives again."""
        count = len(self.orders) + len(self.refunds) + len(self.payouts)
        return f"{prefix}{to_ns(self.clock.now()):019d}{count % 100_000:05d}"

    def place(self, order: Order) -> None:
        self.orders[order.order_no] = order
        self.by_code[order.code_url] = order
        self._record(order, "placed")

    def payable(self, order: Order) -> bool:
        """Whether a payer can still pay it. An order whose time has passed stays unpaid until somebody closes it."""
        return order.state is OrderState.OPEN and (order.expires_at is None or self.clock.now() < order.expires_at)

    def pay(self, order: Order, *, force: bool = False) -> bool:
        """The payer pays, or where the order says so, his money is reserved. An order that is closed or too old is
        paid only by force: a channel that took money late.

        Returns:
            Whether it was done.
        """
        done = order.state in (OrderState.PAID, OrderState.AUTHORIZED)
        if done or not (force or self.payable(order)):
            return False
        if order.capture:
            self._take(order, order.amount_minor, "paid")
        else:
            self.change(order, OrderState.AUTHORIZED, "authorized")
        return True

    def decline(self, order: Order) -> bool:
        """The payer's side declines, for good."""
        if not self.payable(order):
            return False
        self.change(order, OrderState.DECLINED, "declined")
        return True

    def capture(self, order: Order, amount_minor: int) -> None:
        """Take authorized money, once; the rest is released."""
        assert order.state is OrderState.AUTHORIZED
        assert 0 < amount_minor <= order.amount_minor
        self._take(order, amount_minor, "captured")

    def change(self, order: Order, state: OrderState, event: str) -> None:
        order.state = state
        order.changed_at = self.clock.now()
        self._record(order, event)

    def refundable_minor(self, order: Order) -> int:
        """What of an order has neither been given back nor is on its way."""
        given = (r.amount_minor for r in self.refunds.values() if r.order is order and r.state is not MoneyOut.FAILED)
        return order.captured_minor - sum(given)

    def start_refund(self, refund: Refund) -> None:
        self.refunds[refund.refund_no] = refund
        self._record(refund, "refund_accepted")

    def finish_refund(self, refund: Refund, *, succeeded: bool) -> bool:
        """Returns whether it was done: a refund ends once."""
        return self._finish(refund, "refunded" if succeeded else "refund_failed", succeeded=succeeded)

    def start_payout(self, payout: Payout) -> None:
        self.payouts[payout.payout_no] = payout
        self._record(payout, "payout_accepted")

    def finish_payout(self, payout: Payout, *, succeeded: bool) -> bool:
        """Returns whether it was done: a payout ends once."""
        return self._finish(payout, "paid_out" if succeeded else "payout_failed", succeeded=succeeded)

    def _take(self, order: Order, amount_minor: int, event: str) -> None:
        order.captured_minor = amount_minor
        order.paid_at = self.clock.now()
        self.change(order, OrderState.PAID, event)

    def _finish(self, record: Refund | Payout, event: str, *, succeeded: bool) -> bool:
        if record.state is not MoneyOut.PENDING:
            return False
        record.state = MoneyOut.SUCCEEDED if succeeded else MoneyOut.FAILED
        record.changed_at = self.clock.now()
        self._record(record, event)
        return True

    def _record(self, record: Order | Refund | Payout, event: str) -> None:
        number, channel_no = numbers(record)
        amount_minor = record.amount_minor
        if event == "captured" and isinstance(record, Order):
            amount_minor = record.captured_minor
        order = record if isinstance(record, Order) else record.order if isinstance(record, Refund) else None
        self.truth.append(
            {
                "seq": len(self.truth) + 1,
                "at": self.clock.now().isoformat(),
                "channel": self.channel,
                "event": event,
                "number": number,
                "channel_no": channel_no,
                "order_no": order.order_no if order else None,
                "amount_minor": amount_minor,
                "currency": record.currency,
            }
        )


def numbers(record: Order | Refund | Payout) -> tuple[str, str]:
    """The platform's number of something and the channel's."""
    if isinstance(record, Order):
        return record.order_no, record.channel_order_no
    if isinstance(record, Refund):
        return record.refund_no, record.channel_refund_no
    return record.payout_no, record.channel_payout_no


def describe(record: Order | Refund | Payout) -> dict[str, Any]:
    """Something as the control API shows it."""
    shown = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("content", "data", "order")}
    if isinstance(record, Refund):
        shown["order_no"] = record.order.order_no
    return shown
