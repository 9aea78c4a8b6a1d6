"""The store of a simulated channel: its records, and an append-only log of its actions."""

from __future__ import annotations

from typing import Any

from hutong.clock import Clock, to_ns
from hutong.money import allocate
from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import Faults
from hutong.sandbox.records import (
    OrderState,
    OutgoingState,
    SandboxDispute,
    SandboxOrder,
    SandboxPayout,
    SandboxRecord,
    SandboxRefund,
    numbers,
    taken,
)


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
        order.placed_at = self.clock.now()
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
        """Capture authorized money, once; the rest is released. Some channels take more than was authorized."""
        assert order.state is OrderState.AUTHORIZED
        assert amount_minor > 0
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
        """Open a dispute, with what the channel has taken for it at once."""
        self.disputes[dispute.dispute_no] = dispute
        self._record(dispute, "disputed")

    def change_dispute(
        self, dispute: SandboxDispute, status: str, *, taken_minor: int | None = None, fee_minor: int | None = None
    ) -> None:
        """Bring a dispute to a status of the channel.

        Args:
            taken_minor, fee_minor: What is taken and charged from now on; None leaves what is.
        """
        dispute.status, dispute.changed_at = status, self.clock.now()
        dispute.taken_minor = dispute.taken_minor if taken_minor is None else taken_minor
        dispute.fee_minor = dispute.fee_minor if fee_minor is None else fee_minor
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
                **taken(record),
            }
        )
