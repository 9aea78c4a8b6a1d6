"""The worker that tells merchants."""

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
from hutong.clock import Clock
from hutong.errors import HutongError
from hutong.events.model import DeliveryState, Endpoint
from hutong.events.webhooks.client import TIMEOUT_S, Outcome, WebhookClient
from hutong.events.webhooks.endpoint_health import settle
from hutong.events.webhooks.queue import Claim, EndpointSlots, Result, backlog, claim
from hutong.events.webhooks.retry import delay_after
from hutong.telemetry import get_logger
from hutong.vault import Vault

LEASE = timedelta(seconds=TIMEOUT_S + 10)
"""How long a claim holds. A worker that has died is taken for dead after it; a try ends well before."""

_TURN_S = 0.05
_TURN_BACKLOG_S = 0.01
_IDLE_MAX_S = 0.2
_DOWN_S = 1.0
_BACKLOG_EVERY = timedelta(seconds=10)
_LANES_MAX = 10_000

_TRIES = Counter("hutong_webhook_tries_total", "Tries to deliver an event to an endpoint.", ["outcome"])
_LATENCY = Histogram(
    "hutong_webhook_latency_seconds",
    "From the record of an event to its delivery.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400),
)
_DURATION = Histogram(
    "hutong_webhook_try_seconds",
    "Duration of one try.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_PENDING = Gauge("hutong_webhook_pending", "Deliveries not yet made, retries included.")
_OVERDUE = Gauge("hutong_webhook_overdue_seconds", "For how long the oldest delivery that is due has been due.")
_DISABLED = Counter("hutong_webhook_endpoints_disabled_total", "Endpoints disabled because they failed for days.")
_OUTCOMES = {
    DeliveryState.DELIVERED: _TRIES.labels("delivered"),
    DeliveryState.PENDING: _TRIES.labels("failed"),
    DeliveryState.DEAD: _TRIES.labels("dead"),
}
_DATABASE_DOWN = (
    HutongError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a connection that was cut while it lay idle
    OSError,
)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass did. `failed` will be tried again."""

    delivered: int
    failed: int
    dead: int


class WebhookWorker:
    """Delivers what `record` wrote; as many may run at once as one likes, on any machines.

    Promises at least once: a try that is cut off is made again under the same webhook-id when its claim ends. An
    object's events reach an endpoint in order; the next is not sent before the one before is delivered or dead.

    An endpoint that fails is given half the places for each failure and one more for each success, so that many
    that hang still leave places for the others, and one that comes back is not met by its whole backlog.

    Args:
        new_id: Names tries and events.
        allow_private: Permits http and private addresses: for the sandbox only.
        in_flight: Most tries at once.
        per_endpoint: Most tries at once to one endpoint.
        random: Gives numbers from 0 up to 1, which spread retries.
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
        self._lanes: dict[UUID, EndpointSlots] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._measured_at: datetime | None = None

    async def run(self) -> None:
        """Deliver until `stop` is called; then end the tries on their way, mark them and return.

        Cancelling it drops them: their claims end by themselves, and another worker makes the tries again.
        """
        async with WebhookClient(self._vault, allow_private=self._allow_private) as sender:
            try:
                pause_s = _TURN_S
                while not self._stopping:
                    pause_s = await self._turn_and_pause(sender, pause_s)
                if self._running:
                    await asyncio.wait(self._running)
                _alert(await self._database.run(lambda tx: self._settle(tx, self._results)))
            except _DATABASE_DOWN as error:  # the last marks are lost, so their tries are made once more
                _log.warning("webhook_results_lost", reason=type(error).__name__, count=len(self._results))
            finally:
                for task in self._running:
                    task.cancel()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stopping = True
        self._wake.set()

    async def run_once(self) -> Counts:
        """One pass: claim what is due, send all of it, mark it."""
        async with WebhookClient(self._vault, allow_private=self._allow_private) as sender:
            claims = await self._database.run(self._claim)
            results = await asyncio.gather(*(self._try(sender, one) for one in claims))
            _alert(await self._database.run(lambda tx: self._settle(tx, results)))
        states = [result.state for result in results]
        return Counts(
            delivered=states.count(DeliveryState.DELIVERED),
            failed=states.count(DeliveryState.PENDING),
            dead=states.count(DeliveryState.DEAD),
        )

    async def _turn_and_pause(self, sender: WebhookClient, pause_s: float) -> float:
        """One turn and the pause after it: short while there is work, else growing until something happens."""
        self._wake.clear()
        try:
            worked = await self._turn(sender)
        except _DATABASE_DOWN as error:
            _log.warning("webhook_turn_failed", reason=type(error).__name__)
            worked, pause_s = False, _DOWN_S
        if worked:
            # Results and new events gather meanwhile, so that a batch is worth its trip; a backlog need not gather.
            backlogged = any(lane.in_flight >= self._per_endpoint for lane in self._lanes.values())
            await asyncio.sleep(_TURN_BACKLOG_S if backlogged else _TURN_S)
            return _TURN_S
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return min(2 * pause_s, _IDLE_MAX_S)
        return _TURN_S

    async def _turn(self, sender: WebhookClient) -> bool:
        """Mark what has ended and start what is due, in one transaction; says whether there was anything."""
        results, self._results = self._results, []

        async def work(tx: db.Tx) -> tuple[list[Claim], list[Endpoint]]:
            disabled = await self._settle(tx, results)
            await self._measure(tx)
            return await self._claim(tx), disabled

        try:
            claims, disabled = await self._database.run(work)
        except BaseException:
            self._results[:0] = results
            raise
        _alert(disabled)
        for one in claims:
            places = 1 if one.failing else self._per_endpoint
            lane = self._lanes.setdefault(one.message.endpoint_id, EndpointSlots(0, places))
            lane.in_flight += 1
            task = asyncio.create_task(self._deliver(sender, one, lane))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return bool(claims or results)

    async def _settle(self, tx: db.Tx, results: Sequence[Result]) -> list[Endpoint]:
        return await settle(tx, results, now=self._clock.now(), new_id=self._new_id)

    async def _claim(self, tx: db.Tx) -> list[Claim]:
        free = self._in_flight - len(self._running)
        if free <= 0:
            return []
        now = self._clock.now()
        return await claim(tx, now=now, until=now + LEASE, free=free, places=self._per_endpoint, lanes=self._lanes)

    async def _deliver(self, sender: WebhookClient, one: Claim, lane: EndpointSlots) -> None:
        try:
            result = await self._try(sender, one)
        finally:
            lane.in_flight -= 1
        if result.state is DeliveryState.DELIVERED or one.disabled:
            lane.succeeded(self._per_endpoint)
        else:
            lane.failed(self._clock.now())
        well = lane.places == self._per_endpoint and lane.rests_until is None
        forget = well or len(self._lanes) > _LANES_MAX
        if forget and lane.in_flight == 0:
            del self._lanes[one.message.endpoint_id]
        self._results.append(result)
        self._wake.set()

    async def _try(self, sender: WebhookClient, one: Claim) -> Result:
        now, name = self._clock.now(), self._new_id()
        if one.disabled:
            return Result(name, one, DeliveryState.DEAD, None, None, Outcome(None, "endpoint_disabled", 0))
        try:
            outcome = await sender.send(one.message, now=now)
        except Exception:  # noqa: BLE001 - what cannot be sent at all must die in time like the rest, not come for ever
            _log.exception("webhook_not_sent", event_id=str(one.message.event_id))
            outcome = Outcome(None, "internal_error", 0)
        ended_at = self._clock.now()
        delay = delay_after(one.attempts + 1, self._random)
        _DURATION.observe(outcome.duration_ms / 1000)
        if outcome.succeeded:
            _LATENCY.observe((ended_at - one.message.created_at).total_seconds())
            result = Result(name, one, DeliveryState.DELIVERED, None, now, outcome)
        elif delay is None:
            result = Result(name, one, DeliveryState.DEAD, None, now, outcome)
        else:
            result = Result(name, one, DeliveryState.PENDING, ended_at + delay, now, outcome)
        _OUTCOMES[result.state].inc()
        return result

    async def _measure(self, tx: db.Tx) -> None:
        now = self._clock.now()
        if self._measured_at is not None and now < self._measured_at + _BACKLOG_EVERY:
            return
        self._measured_at = now
        pending, oldest_at = await backlog(tx)
        _PENDING.set(pending)
        _OVERDUE.set(max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0)


def _alert(disabled: Sequence[Endpoint]) -> None:
    """Page somebody: a merchant's systems have been deaf for days. Only once it is committed."""
    for endpoint in disabled:
        _DISABLED.inc()
        _log.error(
            "webhook_endpoint_disabled",
            endpoint_id=ids.encode("whe", endpoint.endpoint_id),
            merchant_id=ids.encode("mer", endpoint.merchant_id),
            failing_since=str(endpoint.failing_since),
        )
