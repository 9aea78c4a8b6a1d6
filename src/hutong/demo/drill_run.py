"""The course of a routing drill: payments by the clock, one account that fails and recovers, and what is seen of it."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hutong.clock import SystemClock
from hutong.demo.drill_setup import CHANNEL, METHOD, World, look
from hutong.demo.merchant import Client

CALM_S = 5.0
_LOOK_EVERY_S = 0.1
_RETURN_LIMIT_S = 60.0
_AFTERWARDS_S = 5.0
_REFUSAL = {"interface": "place", "kind": "error", "status": 403, "code": "NO_AUTH", "times": 1_000_000}
"""The channel takes no orders for the account any more, says so, and does nothing."""
_FINAL = ("succeeded", "closed")
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an account, in seconds since the beginning.

    Attributes:
        what: "failed" and "recovered" for what was done to it; otherwise its state as routing sees it, with the part of
            its traffic that it may get while it is probed, such as "probing 5 %".
    """

    at: float
    account: str
    what: str


@dataclass(slots=True)
class Course:
    """What happened.

    Attributes:
        began: When, by the platform's clock.
        failing: The account that was made to fail.
        payments: Each payment's start, in seconds since the beginning, and how it stood at the end, by its id.
    """

    began: datetime
    failing: str
    ended: datetime | None = None
    events: list[Event] = field(default_factory=list)
    payments: dict[str, tuple[float, str]] = field(default_factory=dict)

    def at(self, instant: datetime) -> float:
        """Seconds since the beginning."""
        return (instant - self.began) / timedelta(seconds=1)

    def when(self, what: str, *, after: float = 0.0) -> float | None:
        """When this happened to the failing account first."""
        found = (event.at for event in self.events if event.account == self.failing and event.what == what)
        return next((at for at in found if at >= after), None)


async def run(
    client: Client, world: World, *, rate: float, outage_s: float, second: Callable[[Course, int], Awaitable[None]]
) -> Course:
    """Let it all happen.

    Args:
        rate: Payments a second.
        second: Called when a second is over.
    """
    clock = SystemClock()
    course = Course(clock.now(), next(iter(world.accounts.values())))

    def note(account: str, what: str) -> None:
        course.events.append(Event(round(course.at(clock.now()), 2), account, what))

    async with _going_on(
        course,
        _pay_by_the_clock(client, world, course, rate),
        _watch(client, world, course, note),
        _seconds(course, second),
    ):
        await asyncio.sleep(CALM_S)
        await _tell(client, world, course.failing, calls=[_REFUSAL])
        note(course.failing, "failed")
        await asyncio.sleep(outage_s)
        await _tell(client, world, course.failing, calls=[])
        note(course.failing, "recovered")
        recovered = course.events[-1].at
        async with asyncio.timeout(_RETURN_LIMIT_S):
            while course.when("healthy", after=recovered) is None:  # noqa: ASYNC110 - it is another task that looks
                await asyncio.sleep(_LOOK_EVERY_S)
        await asyncio.sleep(_AFTERWARDS_S)
    return course


async def _tell(client: Client, world: World, account: str, **faults: Any) -> None:
    await client.call("POST", f"{world.simulators[account]}/control/{CHANNEL}/faults", json=faults)


@asynccontextmanager
async def _going_on(course: Course, load: Coroutine[Any, Any, None], *watching: Any) -> AsyncIterator[None]:
    """Load and watching for the length of a block; payments under way come to their end first."""
    loading = asyncio.create_task(load)
    watchers = [asyncio.create_task(each) for each in watching]
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.wait([loading])
        course.ended = SystemClock().now()
        await asyncio.gather(*watchers)


async def _pay_by_the_clock(client: Client, world: World, course: Course, rate: float) -> None:
    loop, run_id = asyncio.get_running_loop(), secrets.token_hex(4)
    began = loop.time()
    async with asyncio.TaskGroup() as under_way:
        try:
            for number in itertools.count():
                await asyncio.sleep(max(began + number / rate - loop.time(), 0))
                under_way.create_task(_pay(client, world, course, f"{run_id}-{number:06d}", number))
        except asyncio.CancelledError:
            pass  # no more of them; those under way go on to their end


async def _pay(client: Client, world: World, course: Course, order_no: str, number: int) -> None:
    """One payment, from the order until it has ended or patience is over; its payer pays by himself."""
    started = course.at(SystemClock().now())
    order = {
        "merchant_order_no": order_no,
        "amount_minor": 100 + number * 7919 % 50_000,
        "currency": "CNY",
        "subject": f"Example Store, order {order_no}",
        "method": METHOD,
    }
    payment = await client.create_payment(world.key, order)
    course.payments[payment["id"]] = started, payment["status"]
    deadline, pause_s = asyncio.get_running_loop().time() + _PATIENCE_S, 0.1
    while payment["status"] not in _FINAL and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 1.0)
        payment = await client.payment(world.key, payment["id"])
    course.payments[payment["id"]] = started, payment["status"]


async def _watch(client: Client, world: World, course: Course, note: Callable[[str, str], None]) -> None:
    """Note each change of an account's health."""
    known: dict[str, str] = {}
    while course.ended is None:
        for account in (await look(client, world))["accounts"]:
            for one in account["interfaces"]:
                what = f"probing {one['share']:.0%}" if one["state"] == "probing" else one["state"]
                if what != known.get(account["name"], "healthy"):
                    note(account["name"], what.replace("%", " %"))
                known[account["name"]] = what
        await asyncio.sleep(_LOOK_EVERY_S)


async def _seconds(course: Course, second: Callable[[Course, int], Awaitable[None]]) -> None:
    for number in itertools.count():
        if course.ended is not None:
            return
        # A little later, so that what began in the second has come to something.
        await asyncio.sleep(max(number + 2 - course.at(SystemClock().now()), 0))
        await second(course, number)
