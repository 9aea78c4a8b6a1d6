"""The protocol of a simulated channel, and the application of faults to its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from aiohttp import web

from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.records import (
    Coupon,
    OrderState,
    OutgoingState,
    SandboxDispute,
    SandboxOrder,
    SandboxPayout,
    SandboxRefund,
)
from hutong.sandbox.store import Store

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class WayBack:
    """The way back to the merchant that a channel's page offers its payer.

    Attributes:
        fields: The fields that the payer's browser posts there; None where it opens the address.
    """

    url: str
    fields: Mapping[str, str] | None = None


class Simulator(Protocol):
    """One merchant's view of one channel.

    Attributes:
        channel: The name of the channel, the same as the adapter's.
        interfaces: The interfaces that `CallFault.interface` may name; "place", "query", "close", "refund",
            "query_refund", "payout", "query_payout", "capture", "void" and "bill" where the channel has them.
        schedule_s: The waits between deliveries of a notification.
        bill_kinds: The kinds of bills that it provides.
        settlements: The kinds of bills that it settles to the bank, each with the merchant's number that it names
            there; empty if it names none.
        odd_state: A state that its bill shows for a payment only if something is wrong.
    """

    channel: ClassVar[str]
    interfaces: ClassVar[frozenset[str]]
    schedule_s: ClassVar[Sequence[float]]
    bill_kinds: ClassVar[tuple[str, ...]]
    settlements: ClassVar[tuple[tuple[str, str], ...]]
    odd_state: ClassVar[str]
    store: Store

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        """Load the channel's key material from its own folder; missing keys are created."""
        ...

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        """Return the credentials of a channel account that points at this simulator at `url`."""
        ...

    @classmethod
    def provider_credentials(cls, folder: Path, url: str) -> dict[str, object] | None:
        """Return those of a merchant under a service provider; None where the channel plays none."""
        del folder, url
        return None

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:
        """Return whether the platform's answer to a notification ends its repetition."""
        ...

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the channel's own interfaces. Paths of two channels do not collide."""
        ...

    def opened(self, order: SandboxOrder) -> None:
        """Note that the payer scanned the code or opened the page; at some channels the order exists from then on."""

    def visit(self, order: SandboxOrder, query: Mapping[str, str]) -> None:
        """Note that the payer's browser has opened the order's page, with the parameters that its address had."""
        del query
        self.opened(order)

    def awaits_payer(self, order: SandboxOrder) -> bool:
        """Return whether a payer may decide about an order now."""
        return self.store.payable(order)

    def way_back(self, order: SandboxOrder) -> WayBack | None:
        """Return where the order's page sends its payer; None where the payer stays in the wallet."""
        del order
        return None

    def unusable(self, order: SandboxOrder, coupons: Sequence[Coupon]) -> str | None:
        """Return why the payer cannot use these coupons for an order; None if they can."""
        if sum(coupon.amount_minor for coupon in coupons) > order.amount_minor:
            return "the coupons are worth more than the order"
        return "an order whose money is only reserved takes no coupons" if coupons and not order.capture else None

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        """Pay an order as its payer and notify the platform; return whether it was paid, see `Store.pay`."""
        ...

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:
        """Decline an order as the payer's bank; return whether that was possible."""
        ...

    def finish_refund(self, refund: SandboxRefund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        """End a pending refund, and notify the platform if the channel does; return whether it was still pending."""
        ...

    def give_back_in_portal(
        self, order: SandboxOrder, amount_minor: int, faults: NotifyFaults, *, numbered: bool = True
    ) -> SandboxRefund | None:
        """Give money of an order back as a person in the channel's portal does, and notify the platform.

        Args:
            numbered: Whether the notification names the number that the channel has given it, where it may not.

        Returns:
            The refund; None if that much is not left.
        """
        ...

    def return_refund(self, refund: SandboxRefund, faults: NotifyFaults) -> bool:
        """Let a refund fail that has succeeded, and notify the platform if the channel does; return whether it had."""
        ...

    def finish_payout(self, payout: SandboxPayout, faults: NotifyFaults, *, succeeded: bool) -> bool:
        """End a pending payout, like `finish_refund`."""
        ...

    def open_dispute(
        self,
        order: SandboxOrder,
        faults: NotifyFaults,
        *,
        amount_minor: int,
        reason: str | None,
        form: str | None,
        statement: str,
    ) -> SandboxDispute | None:
        """Let the payer dispute a paid order, and notify the platform.

        Args:
            reason: The channel's own code; None for its most frequent one.
            form: The channel's own name of a kind of dispute; None for the ordinary kind.
            statement: What the payer says.

        Returns:
            The dispute; None where the channel has none of this reason or form, or the order is not paid.
        """
        del order, faults, amount_minor, reason, form, statement
        return None

    def move_dispute(self, dispute: SandboxDispute, faults: NotifyFaults, *, status: str) -> bool:
        """Bring a dispute to a status of the channel, as the payer or the bank; return whether that was possible."""
        del dispute, faults, status
        return False

    def entries(self, kind: str, day: date) -> list[Entry]:
        """Return the rows of a day's bill, without planted differences."""
        ...

    def bill(self, kind: str, day: date) -> bytes:
        """Return a day's bill as the channel delivers it, unpacked, with planted differences."""
        ...

    def rotate(self) -> bool:
        """Sign with the channel's next key from now on; return whether there is one."""
        return False


async def answer_call(
    simulator: Simulator,
    request: web.Request,
    interface: str,
    *,
    number: str,
    text: str = "",
    work: Callable[[], Answer],
    fail: Callable[[int | None, str | None], Answer],
    reply: Callable[[Answer, str], web.StreamResponse],
) -> web.StreamResponse:
    """Answer one authenticated call: do its work, unless a fault prevents or distorts that.

    Args:
        number: The platform's number of the call's order, refund or payout.
        text: Further text to match faults by, such as the order's description.
        work: Does the work; a refusal is an answer too.
        fail: Makes the answer for a status and a code; for None and None the channel's own "system error".
        reply: Makes the response; the second argument is the fault's kind. It applies "unsigned", "bad_signature",
            "stale", "malformed", "too_long" and "other_order", as far as its channel signs answers and names orders
            in them.
    """
    store, faults = simulator.store, simulator.store.faults
    fault = faults.take(interface, number, text)
    kind = fault.kind if fault else ""
    if faults.latency_ms or (fault and kind == "slow"):
        await asyncio.sleep((faults.latency_ms + (fault.ms if fault else 0)) / 1000)
    if kind == "dropped":
        return _break_connection(request)
    if fault is not None and kind == "error":
        return reply(fail(fault.status, fault.code), kind)
    if faults.refuses(store.clock.now()):
        return reply(fail(None, None), kind)
    existed = _exists(store, number)
    answer = work()
    if _exists(store, number) and (not existed or kind == "paid_reply_lost"):
        _schedule_followups(simulator, number, kind)
    if kind in ("reply_lost", "paid_reply_lost"):
        return _break_connection(request)
    return reply(answer, kind)


def _exists(store: Store, number: str) -> bool:
    return number in store.orders or number in store.refunds or number in store.payouts


def _schedule_followups(simulator: Simulator, number: str, kind: str) -> None:
    """Schedule what follows automatically from a new order, refund or payout."""
    store, loop = simulator.store, asyncio.get_running_loop()
    faults = store.faults
    order, refund, payout = store.orders.get(number), store.refunds.get(number), store.payouts.get(number)
    if order is not None and kind == "paid_reply_lost":
        simulator.pay(order, faults.notify)
    elif order is not None and order.state is OrderState.OPEN and faults.auto_pay_ms is not None:
        loop.call_later(faults.auto_pay_ms / 1000, simulator.pay, order, faults.notify)
    finish: Callable[..., Any] | None = None
    if refund is not None and refund.state is OutgoingState.PENDING:
        finish = simulator.finish_refund
    if payout is not None and payout.state is OutgoingState.PENDING:
        finish = simulator.finish_payout
    if finish is not None and (faults.money_out_ms is not None or kind == "refund_fails_after_accept"):
        succeeded = kind != "refund_fails_after_accept"
        loop.call_later(
            (faults.money_out_ms or 0) / 1000, lambda: finish(refund or payout, faults.notify, succeeded=succeeded)
        )


def _break_connection(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
