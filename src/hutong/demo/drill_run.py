"""The run of a routing drill: payments at a steady rate, one account that fails and recovers, and the observations."""

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
from hutong.demo.drill_setup import CHANNEL, METHOD, DrillSetup, see_routing
from hutong.demo.merchant import Client

CALM_S = 5.0
_OBSERVE_EVERY_S = 0.1
_RETURN_LIMIT_S = 60.0
_AFTERWARDS_S = 5.0
_REFUSAL = {"interface": "place", "kind": "error", "status": 403, "code": "NO_AUTH", "times": 100_000}
"""The channel takes no orders for the account any more, says so, and does nothing."""
_FINAL = ("succeeded", "closed")
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """Something that happened to an account.

    Attributes:
        at: Seconds since the start.
        what: "failed" and "recovered" for what the drill did to it; otherwise its state as routing sees it, with the
            share of its traffic that it may get while it is probed, such as "probing 5 %".
    """

    at: float
    account: str
    what: str


@dataclass(slots=True)
class DrillRun:
    """The observations of a drill.

    Attributes:
        began: The start, by the platform's clock.
        failing: The account that is made to fail.
        payments: By id, the start of each payment, in seconds since the start of the drill, and its last status.
    """

    began: datetime
    failing: str
    ended: datetime | None = None
    events: list[AccountEvent] = field(default_factory=list)
    payments: dict[str, tuple[float, str]] = field(default_factory=dict)

    def at(self, instant: datetime) -> float:
        """Return the seconds since the start."""
        return (instant - self.began) / timedelta(seconds=1)

    def when(self, what: str, *, after: float = 0.0) -> float | None:
        """Return when this first happened to the failing account; None if it did not."""
        times = (event.at for event in self.events if event.account == self.failing and event.what == what)
        return next((at for at in times if at >= after), None)


async def run(
    client: Client,
    setup: DrillSetup,
    *,
    rate: float,
    outage_s: float,
    on_second: Callable[[DrillRun, int], Awaitable[None]],
) -> DrillRun:
    """Run the drill.

    Args:
        rate: Payments a second.
        on_second: Called at the end of each second.
    """
    clock = SystemClock()
    drill_run = DrillRun(clock.now(), next(iter(setup.accounts.values())))

    def record(account: str, what: str) -> None:
        drill_run.events.append(AccountEvent(round(drill_run.at(clock.now()), 2), account, what))

    async with _in_background(
        drill_run,
        _pay_at_rate(client, setup, drill_run, rate),
        _observe_health(client, setup, drill_run, record),
        _count_seconds(drill_run, on_second),
    ):
        await asyncio.sleep(CALM_S)
        await _set_faults(client, setup, drill_run.failing, calls=[_REFUSAL])
        record(drill_run.failing, "failed")
        await asyncio.sleep(outage_s)
        await _set_faults(client, setup, drill_run.failing, calls=[])
        record(drill_run.failing, "recovered")
        recovered = drill_run.events[-1].at
        async with asyncio.timeout(_RETURN_LIMIT_S):
            while drill_run.when("healthy", after=recovered) is None:  # noqa: ASYNC110 - another task observes it
                await asyncio.sleep(_OBSERVE_EVERY_S)
        await asyncio.sleep(_AFTERWARDS_S)
    return drill_run


async def _set_faults(client: Client, setup: DrillSetup, account: str, **faults: Any) -> None:
    await client.call("POST", f"{setup.simulators[account]}/control/{CHANNEL}/faults", json=faults)


@asynccontextmanager
async def _in_background(
    drill_run: DrillRun, load: Coroutine[Any, Any, None], *observers: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Run the load and the observers during a block; at its end, payments that were started are finished first."""
    loading = asyncio.create_task(load)
    observing = [asyncio.create_task(observer) for observer in observers]
    try:
        yield
    finally:
        loading.cancel()
        await asyncio.wait([loading])
        drill_run.ended = SystemClock().now()
        await asyncio.gather(*observing)


async def _pay_at_rate(client: Client, setup: DrillSetup, drill_run: DrillRun, rate: float) -> None:
    loop, run_id = asyncio.get_running_loop(), secrets.token_hex(4)
    began = loop.time()
    async with asyncio.TaskGroup() as started:
        try:
            for number in itertools.count():
                await asyncio.sleep(max(began + number / rate - loop.time(), 0))
                started.create_task(_pay(client, setup, drill_run, f"{run_id}-{number:06d}", number))
        except asyncio.CancelledError:
            pass  # no more payments; those that were started go on to their end


async def _pay(client: Client, setup: DrillSetup, drill_run: DrillRun, order_no: str, number: int) -> None:
    """Create a payment and wait until it has ended or the patience is over; the simulated payer pays unasked."""
    started = drill_run.at(SystemClock().now())
    order = {
        "merchant_order_no": order_no,
        "amount_minor": 100 + number * 7919 % 50_000,
        "currency": "CNY",
        "subject": f"Example Store, order {order_no}",
        "method": METHOD,
    }
    payment = await client.create_payment(setup.key, order)
    drill_run.payments[payment["id"]] = started, payment["status"]
    deadline, pause_s = asyncio.get_running_loop().time() + _PATIENCE_S, 0.1
    while payment["status"] not in _FINAL and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 1.0)
        payment = await client.payment(setup.key, payment["id"])
    drill_run.payments[payment["id"]] = started, payment["status"]


async def _observe_health(
    client: Client, setup: DrillSetup, drill_run: DrillRun, record: Callable[[str, str], None]
) -> None:
    """Record each change of an account's health."""
    previous: dict[str, str] = {}
    while drill_run.ended is None:
        for account in (await see_routing(client, setup))["accounts"]:
            for interface in account["interfaces"]:
                state, share = interface["state"], interface["share"]
                what = f"probing {share:.0%}" if state == "probing" else state
                if what != previous.get(account["name"], "healthy"):
                    record(account["name"], what.replace("%", " %"))
                previous[account["name"]] = what
        await asyncio.sleep(_OBSERVE_EVERY_S)


async def _count_seconds(drill_run: DrillRun, on_second: Callable[[DrillRun, int], Awaitable[None]]) -> None:
    for number in itertools.count():
        if drill_run.ended is not None:
            return
        # A little later, so that the payments of the second have been processed.
        await asyncio.sleep(max(number + 2 - drill_run.at(SystemClock().now()), 0))
        await on_second(drill_run, number)
