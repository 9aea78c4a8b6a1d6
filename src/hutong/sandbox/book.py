"""What a simulated channel knows: its orders, an append-only log of what it did, and the faults it was told to make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from hutong.clock import Clock, to_ns


class OrderState(StrEnum):
    OPEN = "open"
    PAID = "paid"
    DECLINED = "declined"
    CLOSED = "closed"


@dataclass(slots=True)
class Order:
    """One order at the channel, by the number the platform gave it.

    Attributes:
        content: The placing request as it came; placing again must repeat it.
        code_url: What the payer scans.
        expires_at: Until when a payer can pay; None if the merchant set no end.
        notify_serial: The key that the merchant asked notifications to be signed with, or None.
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
    notify_serial: str | None
    state: OrderState = OrderState.OPEN
    changed_at: datetime | None = None
    notified: int = 0
    accepted: bool = False


@dataclass(slots=True)
class NotifyFaults:
    """How notifications misbehave.

    Attributes:
        delay_ms: Wait before the first one.
        copies: How many are sent at once, whatever is answered.
        lose: How many of the first sendings get lost on the way.
        amount_delta_minor: Added to the amount that the notification tells.
    """

    delay_ms: int = 0
    copies: int = 1
    lose: int = 0
    amount_delta_minor: int = 0


@dataclass(slots=True)
class CallFault:
    """What the next calls of an interface meet.

    Attributes:
        interface: "place", "query" or "close".
        kind: See `KINDS`.
        match: Only calls whose order number or description holds this text.
        times: For how many calls.
        status, code: For kind "error": what is answered.
    """

    interface: str
    kind: str
    match: str = ""
    times: int = 1
    status: int = 500
    code: str = "SYSTEM_ERROR"


KINDS = {
    "dropped": "nothing is done and the connection breaks",
    "reply_lost": "the work is done and the connection breaks",
    "paid_reply_lost": "the order is placed and paid, and the connection breaks",
    "error": "nothing is done and the given status and code are answered",
    "unsigned": "the work is done and the answer is not signed",
    "bad_signature": "the work is done and the answer is signed wrongly",
    "stale": "the work is done and the answer is signed with a time of an hour ago",
    "malformed": "the work is done and the answer is signed, but is not JSON",
    "too_long": "the work is done and the answer is two megabytes long",
    "other_order": "the work is done and the answer tells of another order",
}


@dataclass(slots=True)
class Faults:
    """All faults in force, and how eager the payer is.

    Attributes:
        auto_pay_ms: How long after placing an order its payer pays by himself; None: only when told to.
    """

    latency_ms: int = 0
    auto_pay_ms: int | None = None
    notify: NotifyFaults = field(default_factory=NotifyFaults)
    calls: list[CallFault] = field(default_factory=list)

    def take(self, interface: str, *texts: str) -> CallFault | None:
        """The fault that this call meets, used up once."""
        for fault in self.calls:
            if fault.interface == interface and (not fault.match or any(fault.match in text for text in texts)):
                fault.times -= 1
                if fault.times <= 0:
                    self.calls.remove(fault)
                return fault
        return None


class Book:
    """The orders of one simulated channel. Kept in memory: a restarted sandbox starts empty."""

    def __init__(self, channel: str, clock: Clock) -> None:
        self.clock = clock
        self.orders: dict[str, Order] = {}
        self.by_code: dict[str, Order] = {}
        self.faults = Faults()
        self.truth: list[dict[str, Any]] = []
        self._channel = channel

    def new_channel_order_no(self) -> str:
        """28 digits that no earlier or later run of the sandbox gives again."""
        return f"4200{to_ns(self.clock.now()):019d}{len(self.orders) % 100_000:05d}"

    def place(self, order: Order) -> None:
        self.orders[order.order_no] = order
        self.by_code[order.code_url] = order
        self._record(order, "placed")

    def payable(self, order: Order) -> bool:
        """Whether a payer can still pay it. An order whose time has passed stays unpaid until somebody closes it."""
        return order.state is OrderState.OPEN and (order.expires_at is None or self.clock.now() < order.expires_at)

    def change(self, order: Order, state: OrderState, event: str) -> None:
        order.state = state
        order.changed_at = self.clock.now()
        self._record(order, event)

    def _record(self, order: Order, event: str) -> None:
        self.truth.append(
            {
                "seq": len(self.truth) + 1,
                "at": self.clock.now().isoformat(),
                "channel": self._channel,
                "event": event,
                "order_no": order.order_no,
                "channel_order_no": order.channel_order_no,
                "amount_minor": order.amount_minor,
                "currency": order.currency,
            }
        )


_SHOWN = [entry.name for entry in fields(Order) if entry.name != "content"]


def describe(order: Order) -> dict[str, Any]:
    """An order as the control API shows it."""
    return {name: getattr(order, name) for name in _SHOWN}
