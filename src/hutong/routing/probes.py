"""Probes: queries to channels that failed and get no payments, to find out whether they are back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from hutong import channels, ids
from hutong.clock import Clock
from hutong.routing.health import AttemptResult, is_technical_failure
from hutong.routing.process_state import RoutingState


async def probe_idle(
    accounts: channels.Accounts, state: RoutingState, *, clock: Clock, new_id: Callable[[], UUID]
) -> int:
    """Query each idle account for an order that does not exist: the answer that there is none shows that it works.

    Effects:
        The answer counts as a result of the account's health.

    Returns:
        How many accounts were queried.
    """
    idle = state.router.idle(clock.now())
    for account_id, method in idle:
        channel = await accounts.get(account_id)
        can, probe_id, sent_at = channel.capabilities, new_id(), clock.now()
        order = channels.OrderReference(
            ids.encode("att", probe_id), method, can.amount_minor_min, min(can.currencies), sent_at
        )
        answer = await channel.query(order, now=sent_at)
        answered_at = clock.now()
        latency_ms = int((answered_at - sent_at) / timedelta(milliseconds=1))
        fault = is_technical_failure(answer)
        state.router.learn(account_id, AttemptResult(answered_at, probe_id, fault, latency_ms, interface=method))
    return len(idle)
