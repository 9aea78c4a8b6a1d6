"""The worker that delivers events to merchants."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from hutong import db, ids
from hutong.clock import Clock, machine_time
from hutong.errors import CredentialsUnreadable, HutongError
from hutong.events.model import DeliveryState, Endpoint
from hutong.events.webhooks.attempts import log_attempts
from hutong.events.webhooks.client import TIMEOUT_S, WebhookClient, WebhookResponse
from hutong.events.webhooks.endpoint_health import record_health
from hutong.events.webhooks.queue import (
    ClaimedDelivery,
    DeliveryResult,
    EndpointSlots,
    claim_deliveries,
    finish_deliveries,
    read_backlog,
)
from hutong.events.webhooks.retry import delay_after
from hutong.telemetry import RareLine, get_logger
from hutong.vault import Vault

LEASE = timedelta(seconds=TIMEOUT_S + 10)
"""The duration of a claim. After it, another worker takes over from one that has died; an attempt ends well before."""

_PASS_S = 0.05
_PASS_BACKLOG_S = 0.01
_IDLE_MAX_S = 0.2
_DOWN_S = 1.0
_BACKLOG_EVERY = timedelta(seconds=10)
_ENDPOINTS_MAX = 10_000

_ATTEMPTS = Counter("hutong_webhook_tries_total", "Attempts to deliver an event to an endpoint.", ["outcome"])
_LATENCY = Histogram(
    "hutong_webhook_latency_seconds",
    "From the record of an event to its delivery.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400),
)
_DURATION = Histogram(
    "hutong_webhook_try_seconds",
    "Duration of one delivery attempt.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_PENDING = Gauge("hutong_webhook_pending", "Deliveries not yet made, retries included.")
_OVERDUE = Gauge("hutong_webhook_overdue_seconds", "Age of the oldest delivery that is due, since it fell due.")
_DISABLED = Counter("hutong_webhook_endpoints_disabled_total", "Endpoints disabled because they failed for days.")
_OUTCOMES = {
    DeliveryState.DELIVERED: _ATTEMPTS.labels("delivered"),
    DeliveryState.PENDING: _ATTEMPTS.labels("failed"),
    DeliveryState.DEAD: _ATTEMPTS.labels("dead"),
}
_DATABASE_DOWN = (
    HutongError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised by asyncpg for a connection that was cut while it lay idle
    OSError,
)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """The results of one pass. Failed deliveries are attempted again."""

    delivered: int
    failed: int
    dead: int


class WebhookWorker:
    """Delivers recorded events. Any number may run at once, on any machines.

    Promises at least once: an attempt that is cut off is repeated under the same webhook-id when its claim ends. An
    object's events reach an endpoint in order; the next one is not sent before the previous one is delivered or dead.

    Each failure of an endpoint halves its slots, and each success adds one, so that many hanging endpoints still leave
    slots for the others, and one that comes back is not met by its whole backlog.

    Args:
        new_id: Names attempts and events.
        allow_private: Permits http and private addresses: for the sandbox only.
        in_flight: The most attempts at once.
        per_endpoint: The most attempts at once to one endpoint.
        random: Returns numbers from 0 up to 1, to spread retries.
    """

    def __init__(
        self,
        database: db.Database,
        vault: Vault,
        clock: Clock,
        *,
        new_id: Callable[[], UUID],
        allow_private: bool = False,
        in_flight: int = 512,
        per_endpoint: int = 32,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault
        self._new_id = new_id
        self._allow_private = allow_private
        self._in_flight = in_flight
        self._per_endpoint = per_endpoint
        self._random = random
        self._slots: dict[UUID, EndpointSlots] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._results: list[DeliveryResult] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._measured_at: datetime | None = None
        self._turn_failed = RareLine(_log, "warning", "webhook_turn_failed")
        self._unreadable = RareLine(_log, "error", "webhook_waits_for_key")

    async def run(self) -> None:
        """Deliver until `stop` is called; then finish the running attempts, record them and return.

        A cancellation drops running attempts: their claims expire, and another worker repeats them.
        """
        async with WebhookClient(self._vault, allow_private=self._allow_private) as client:
            try:
                pause_s = _PASS_S
                while not self._stopping:
                    pause_s = await self._run_pass_and_pause(client, pause_s)
                if self._running:
                    await asyncio.wait(self._running)
                _alert(await self._database.run(lambda tx: self._record_results(tx, self._results)))
            except _DATABASE_DOWN as error:  # the last results are lost, so their attempts are repeated
                _log.warning("webhook_results_lost", reason=type(error).__name__, count=len(self._results))
            finally:
                for task in self._running:
                    task.cancel()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping = True
        self._wake.set()

    async def run_once(self) -> DeliveryCounts:
        """Claim the due deliveries, send all of them, and record the results."""
        async with WebhookClient(self._vault, allow_private=self._allow_private) as client:
            claims = await self._database.run(self._claim)
            attempts = await asyncio.gather(*(self._attempt(client, claim) for claim in claims))
            results = [result for result in attempts if result is not None]
            _alert(await self._database.run(lambda tx: self._record_results(tx, results)))
        states = [result.state for result in results]
        return DeliveryCounts(
            delivered=states.count(DeliveryState.DELIVERED),
            failed=states.count(DeliveryState.PENDING),
            dead=states.count(DeliveryState.DEAD),
        )

    async def _run_pass_and_pause(self, client: WebhookClient, pause_s: float) -> float:
        """Run one pass and pause after it: shortly while there is work, else longer and longer until something happens.

        Returns:
            The next pause of an idle worker.
        """
        self._wake.clear()
        try:
            worked = await self._run_pass(client)
        except _DATABASE_DOWN as error:
            self._turn_failed.write(reason=type(error).__name__)
            worked, pause_s = False, _DOWN_S
        if worked:
            # Results and new events gather meanwhile, so that a batch is worth its trip; a backlog need not gather.
            backlogged = any(slots.in_flight >= self._per_endpoint for slots in self._slots.values())
            await asyncio.sleep(_PASS_BACKLOG_S if backlogged else _PASS_S)
            return _PASS_S
        return _PASS_S if await db.wait_for(self._wake, pause_s) else min(2 * pause_s, _IDLE_MAX_S)

    async def _run_pass(self, client: WebhookClient) -> bool:
        """Record finished attempts and start due ones, in one transaction; return whether there was any of either."""
        results, self._results = self._results, []

        async def work(tx: db.Tx) -> tuple[list[ClaimedDelivery], list[Endpoint]]:
            disabled = await self._record_results(tx, results)
            await self._measure(tx)
            return await self._claim(tx), disabled

        try:
            claims, disabled = await self._database.run(work)
        except BaseException:
            self._results[:0] = results
            raise
        _alert(disabled)
        for claim in claims:
            initial = EndpointSlots(0, 1 if claim.failing else self._per_endpoint)
            slots = self._slots.setdefault(claim.webhook.endpoint_id, initial)
            slots.in_flight += 1
            task = asyncio.create_task(self._deliver(client, claim, slots))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return bool(claims or results)

    async def _record_results(self, tx: db.Tx, results: Sequence[DeliveryResult]) -> list[Endpoint]:
        return await record_results(tx, results, now=self._clock.now(), new_id=self._new_id)

    async def _claim(self, tx: db.Tx) -> list[ClaimedDelivery]:
        free = self._in_flight - len(self._running)
        if free <= 0:
            return []
        now = self._clock.now()
        return await claim_deliveries(
            tx,
            now=now,
            until=now + LEASE,
            free=free,
            endpoint_slots=self._per_endpoint,
            by_endpoint=self._slots,
            since=self._database.catching_up_since,  # nobody knows which of the earlier ones were delivered
        )

    async def _deliver(self, client: WebhookClient, claim: ClaimedDelivery, slots: EndpointSlots) -> None:
        try:
            result = await self._attempt(client, claim)
        finally:
            slots.in_flight -= 1
        if result is None:
            slots.failed(self._clock.now())
            return
        if result.state is DeliveryState.DELIVERED or claim.disabled:
            slots.succeeded(self._per_endpoint)
        else:
            slots.failed(self._clock.now())
        healthy = slots.slots == self._per_endpoint and slots.rests_until is None
        forget = healthy or len(self._slots) > _ENDPOINTS_MAX
        if forget and slots.in_flight == 0:
            del self._slots[claim.webhook.endpoint_id]
        self._results.append(result)
        self._wake.set()

    async def _attempt(self, client: WebhookClient, claim: ClaimedDelivery) -> DeliveryResult | None:
        """Send once, and return the result; None if this process cannot read the endpoint's secret."""
        now, attempt_id = self._clock.now(), self._new_id()
        if claim.disabled:
            response = WebhookResponse(None, "endpoint_disabled", 0)
            return DeliveryResult(attempt_id, claim, DeliveryState.DEAD, None, None, response)
        try:
            response = await client.send(claim.webhook, now=machine_time(now))
        except CredentialsUnreadable as error:
            # No attempt: nothing was sent, and the merchant's server is not to blame. The claim ends by itself.
            self._unreadable.write(endpoint=ids.encode("whe", claim.webhook.endpoint_id), reason=error.detail)
            return None
        except Exception:  # noqa: BLE001 - an event that cannot be sent at all must become dead in time like the rest
            _log.exception("webhook_not_sent", event_id=str(claim.webhook.event_id))
            response = WebhookResponse(None, "internal_error", 0)
        ended_at = self._clock.now()
        delay = delay_after(claim.attempts + 1, self._random)
        _DURATION.observe(response.duration_ms / 1000)
        if response.succeeded:
            _LATENCY.observe((ended_at - claim.webhook.created_at).total_seconds())
            result = DeliveryResult(attempt_id, claim, DeliveryState.DELIVERED, None, now, response)
        elif delay is None:
            result = DeliveryResult(attempt_id, claim, DeliveryState.DEAD, None, now, response)
        else:
            result = DeliveryResult(attempt_id, claim, DeliveryState.PENDING, ended_at + delay, now, response)
        _OUTCOMES[result.state].inc()
        return result

    async def _measure(self, tx: db.Tx) -> None:
        now = self._clock.now()
        if self._measured_at is not None and abs(now - self._measured_at) < _BACKLOG_EVERY:
            return
        self._measured_at = now
        pending, oldest_at = await read_backlog(tx)
        _PENDING.set(pending)
        _OVERDUE.set(max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0)


async def record_results(
    tx: db.Tx, results: Sequence[DeliveryResult], *, now: datetime, new_id: Callable[[], UUID]
) -> list[Endpoint]:
    """Record a batch of results, log the attempts, and disable endpoints that have failed for days.

    Repeat:
        Changes nothing.

    Returns:
        The endpoints disabled by this call.
    """
    await finish_deliveries(tx, results)
    attempted = [result for result in results if result.attempted_at is not None]
    if not attempted:
        return []
    await log_attempts(tx, attempted)
    return await record_health(tx, attempted, now=now, new_id=new_id)


def _alert(disabled: Sequence[Endpoint]) -> None:
    """Page a person, once the change is committed: a merchant's systems have been unreachable for days."""
    for endpoint in disabled:
        _DISABLED.inc()
        _log.error(
            "webhook_endpoint_disabled",
            endpoint_id=ids.encode("whe", endpoint.endpoint_id),
            merchant_id=ids.encode("mer", endpoint.merchant_id),
            failing_since=str(endpoint.failing_since),
        )
