"""Asking channels that have failed and get no payments whether they are back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from hutong import channels, ids, routing
from hutong.clock import Clock


async def probe_idle(
    accounts: channels.Accounts, live: routing.RoutingState, *, clock: Clock, new_id: Callable[[], UUID]
) -> int:
    """Ask each after an order that does not exist: that it says so shows that it answers.

    Effects:
        What it says counts as a result of its health.

    Returns:
        How many were asked.
    """
    idle = live.router.idle(clock.now())
    for account_id, method in idle:
        channel = await accounts.get(account_id)
        can, number, now = channel.capabilities, new_id(), clock.now()
        order = channels.OrderReference(
            ids.encode("att", number), method, can.amount_minor_min, min(can.currencies), now
        )
        answer = await channel.query(order, now=now)
        told_at = clock.now()
        latency_ms = int((told_at - now) / timedelta(milliseconds=1))
        result = routing.Result(told_at, number, routing.is_technical_failure(answer), latency_ms, interface=method)
        live.router.learn(account_id, result)
    return len(idle)
