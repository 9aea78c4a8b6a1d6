"""What every simulated channel offers to the control API, and how a call meets the faults that were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from aiohttp import web

from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.store import Book, MoneyOut, Order, OrderState, Payout, Refund

Answer = TypeVar("Answer")


class Simulator(Protocol):
    """One merchant's view of one channel.

    Attributes:
        channel: Its name, the same as the adapter's.
        interfaces: What `CallFault.interface` may name; "place", "query", "close", "refund", "query_refund", "payout",
            "query_payout", "capture", "void" and "bill" wherever the channel has such a thing.
        schedule_s: The waits between its tries to notify.
        bill_kinds: The bills it makes.
        odd_state: A word that its bill shows for a payment only when something is wrong.
    """

    channel: ClassVar[str]
    interfaces: ClassVar[frozenset[str]]
    schedule_s: ClassVar[Sequence[float]]
    bill_kinds: ClassVar[tuple[str, ...]]
    odd_state: ClassVar[str]
    book: Book

    def __init__(self, folder: Path, book: Book, notifier: Notifier) -> None:
        """Read the channel's key material from a folder of its own; what is missing is made and kept."""
        ...

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        """The credentials of a channel account that points at this simulator, listening at `url`."""
        ...

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:
        """Whether the platform's answer to a notification ends its repetition."""
        ...

    def routes(self) -> list[web.RouteDef]:
        """The channel's own interfaces. Paths of two channels do not collide."""
        ...

    def opened(self, order: Order) -> None:
        """The payer has scanned the code or opened the page; some channels know the order only from then on."""

    def pay(self, order: Order, faults: NotifyFaults, *, force: bool = False) -> bool:
        """The payer pays, and the platform is notified; whether it was done, see `Book.pay`."""
        ...

    def decline(self, order: Order, faults: NotifyFaults) -> bool:
        """The payer's side declines; whether it was done."""
        ...

    def finish_refund(self, refund: Refund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        """A refund under way ends, and the platform is notified where the channel does that; whether it was done."""
        ...

    def finish_payout(self, payout: Payout, faults: NotifyFaults, *, succeeded: bool) -> bool:
        """As `finish_refund`."""
        ...

    def entries(self, kind: str, day: date) -> list[Entry]:
        """What the bill of a day holds, before anything is planted."""
        ...

    def bill(self, kind: str, day: date) -> bytes:
        """The bill of a day as the channel delivers it, unpacked, with what is planted."""
        ...

    def rotate(self) -> bool:
        """The channel signs with its next key from now on; whether it has one."""
        return False


async def meet(
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
    """Do the work of one authenticated call, unless a fault says otherwise.

    Args:
        number: The platform's number of the order, refund or payout that the call is about.
        text: More to match faults by, such as the order's description.
        work: Does it; what it refuses is an answer too.
        fail: The answer for a status and a code; for None and None the channel's own "system error".
        reply: Makes the response; the second argument is the fault's kind, of which it must heed "unsigned",
            "bad_signature", "stale", "malformed", "too_long" and "other_order", as far as its channel signs its
            answers and tells of orders in them.
    """
    book, faults = simulator.book, simulator.book.faults
    fault = faults.take(interface, number, text)
    kind = fault.kind if fault else ""
    if faults.latency_ms or (fault and kind == "slow"):
        await asyncio.sleep((faults.latency_ms + (fault.ms if fault else 0)) / 1000)
    if kind == "dropped":
        return _break_off(request)
    if fault is not None and kind == "error":
        return reply(fail(fault.status, fault.code), kind)
    if faults.refuses(book.clock.now()):
        return reply(fail(None, None), kind)
    known = _known(book, number)
    answer = work()
    if _known(book, number) and (not known or kind == "paid_reply_lost"):
        _let_happen(simulator, number, kind)
    if kind in ("reply_lost", "paid_reply_lost"):
        return _break_off(request)
    return reply(answer, kind)


def _known(book: Book, number: str) -> bool:
    return number in book.orders or number in book.refunds or number in book.payouts


def _let_happen(simulator: Simulator, number: str, kind: str) -> None:
    """What follows by itself from an order, a refund or a payout that was just taken on."""
    book, loop = simulator.book, asyncio.get_running_loop()
    faults = book.faults
    order, refund, payout = book.orders.get(number), book.refunds.get(number), book.payouts.get(number)
    if order is not None and kind == "paid_reply_lost":
        simulator.pay(order, faults.notify)
    elif order is not None and order.state is OrderState.OPEN and faults.auto_pay_ms is not None:
        loop.call_later(faults.auto_pay_ms / 1000, simulator.pay, order, faults.notify)
    finish: Callable[..., Any] | None = None
    if refund is not None and refund.state is MoneyOut.PENDING:
        finish = simulator.finish_refund
    if payout is not None and payout.state is MoneyOut.PENDING:
        finish = simulator.finish_payout
    if finish is not None and (faults.money_out_ms is not None or kind == "refund_fails_after_accept"):
        succeeded = kind != "refund_fails_after_accept"
        loop.call_later(
            (faults.money_out_ms or 0) / 1000, lambda: finish(refund or payout, faults.notify, succeeded=succeeded)
        )


def _break_off(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
