"""Synchronization of routing state between processes, through the database and apart from the payments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from prometheus_client import Counter, Gauge

from hutong import channels, db
from hutong.clock import JUMP, Clock, ClockJumps
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.configuration.overrides import Override, active_overrides
from hutong.routing.configuration.versions import current_version, load_configuration
from hutong.routing.decisions.record import CapabilitySnapshot, add_capability_snapshot
from hutong.routing.experiments.assignment import RunningExperiment
from hutong.routing.experiments.experiment import add_outcomes, running_experiment
from hutong.routing.health import AttemptResult, HealthState
from hutong.routing.process_state import Pending, RoutingState, Volume, month_of
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_EVERY_S = 0.5
_WARN_AT = 2
"""Failures in a row before a line is logged: one alone, as of a database that was busy for a moment, harms nothing."""
_RESULTS_KEPT = timedelta(hours=1)
_REFUSALS_KEPT = timedelta(days=30)
_DELETE_EVERY = timedelta(minutes=1)
_RESULTS_AT_ONCE = 5_000
_REFUSALS_AT_ONCE = 50
_SHARES = Gauge("hutong_routing_share", "The share of its traffic that an account may get.", ["account", "interface"])
_CHANGES = Counter("hutong_routing_changes_total", "Changes of an account's health.", ["account", "interface", "state"])
_FAILURES = Counter("hutong_routing_sharing_failures_total", "Failed exchanges of routing state with the database.")


@dataclass(frozen=True, slots=True)
class _Shared:
    """The state that all processes share, as read in one exchange.

    Attributes:
        read_from: The oldest transaction that may have been missed; the next exchange reads from it.
        results: Results of other processes, each with its account.
        volumes: This month's, by account and currency.
    """

    read_from: str
    results: Sequence[tuple[UUID, AttemptResult]]
    configuration: Configuration
    overrides: Sequence[Override]
    volumes: Mapping[tuple[UUID, str], Volume]
    experiment: RunningExperiment | None


class StateSync:
    """Keeps the routing state of one process in step with the others.

    Args:
        process_id: Identifies this process among the others.
        offers: Returns the accounts that may be used.
    """

    def __init__(
        self,
        database: db.Database,
        state: RoutingState,
        *,
        clock: Clock,
        process_id: UUID,
        offers: Callable[[], Awaitable[Sequence[channels.Offer]]],
    ) -> None:
        self._database = database
        self._state = state
        self._clock = clock
        self._process_id = process_id
        self._offers = offers
        self._read_from = "0"
        self._kept_digest = ""
        self._configuration = state.configuration
        self._delete_at = clock.now()
        self._health_states: dict[tuple[UUID, str], HealthState] = {}
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Exchange state until `stop` is set. While the database is away, decisions go by what is known.

        After a jump of the clock nothing is known of the accounts' health: all results are those of another clock.
        """
        jumps = ClockJumps(self._clock)

        async def turn() -> None:
            if jumps.jump() is not None:
                self._state.router.forget_results()
                self._delete_at = self._clock.now()
                jumps.accept()
            await self._exchange_or_count()

        await db.every(_EVERY_S, turn, stop, name="routing sync")

    async def _exchange_or_count(self) -> None:
        try:
            await self.exchange()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one exchange, the next may succeed
            _FAILURES.inc()
            self._failures += 1
            if self._failures == _WARN_AT:
                _log.warning("routing_not_shared", reason=repr(error))
        else:
            self._failures = 0

    async def exchange(self) -> None:
        """Synchronize, report changes of health, and delete what is too old now and then."""
        now = self._clock.now()
        await self.sync(now)
        self._report_health(now)
        if now >= self._delete_at:
            self._delete_at = now + _DELETE_EVERY
            await self._database.run(lambda tx: _delete_old(tx, now))

    async def sync(self, now: datetime) -> None:
        """Share what is pending and take over what others have shared. What could not be shared stays pending."""
        state = self._state
        state.offer(await self._offers())
        snapshot = state.capability_snapshot
        pending = state.take_pending(results_max=_RESULTS_AT_ONCE, refusals_max=_REFUSALS_AT_ONCE)
        try:
            shared = await self._database.run(lambda tx: self._exchange(tx, pending, snapshot, now))
        except BaseException:
            state.restore(pending)
            raise
        self._read_from, self._kept_digest = shared.read_from, snapshot.digest
        self._configuration = shared.configuration
        state.adopt(shared.configuration, shared.overrides, shared.volumes, shared.experiment)
        state.learn_shared(shared.results)

    async def _exchange(self, tx: db.Tx, pending: Pending, snapshot: CapabilitySnapshot, now: datetime) -> _Shared:
        if snapshot.digest != self._kept_digest:
            await add_capability_snapshot(tx, snapshot, now=now)
        # Before the results: what commits after this statement is read by the next exchange.
        read_from: str = await sql.visible_before.fetchval(tx)
        rows = await sql.results_since.fetch(tx, self._read_from, self._process_id, now - _RESULTS_KEPT, now + JUMP)
        configuration = await self._current_configuration(tx)
        overrides = await active_overrides(tx, now=now)
        await self._write(tx, pending)
        return _Shared(
            read_from,
            [(row["account_id"], _read_result(row)) for row in rows],
            configuration,
            overrides,
            await _read_volumes(tx, month_of(now)),
            await running_experiment(tx, self._state.experiment),
        )

    async def _current_configuration(self, tx: db.Tx) -> Configuration:
        version = await current_version(tx)
        if version == self._configuration.version:
            return self._configuration
        return await load_configuration(tx, version)

    async def _write(self, tx: db.Tx, pending: Pending) -> None:
        if pending.results:
            await sql.add_results.execute(
                tx,
                rows=[result for _, result in pending.results],
                process_id=self._process_id,
                account_id=[account_id for account_id, _ in pending.results],
            )
        if pending.volumes:
            await sql.add_volumes.execute(
                tx,
                rows=list(pending.volumes.values()),
                account_id=[account_id for account_id, _, _ in pending.volumes],
                month=[month for _, month, _ in pending.volumes],
                currency=[currency for _, _, currency in pending.volumes],
            )
        if pending.refusals:
            at, records = zip(*pending.refusals, strict=True)
            await sql.add_refusals.execute(tx, at, records)
        if pending.outcomes:
            await add_outcomes(tx, pending.outcomes)

    def _report_health(self, now: datetime) -> None:
        names = {candidate.account_id: candidate.name for candidate in self._state.candidates}
        # What was reported is reported again although its results were forgotten meanwhile: it counts as healthy.
        for account_id, interface in sorted({*self._state.router.tracked(), *self._health_states}):
            if account_id not in names:
                continue
            health = self._state.router.health(account_id, now, interface)
            _SHARES.labels(names[account_id], interface).set(health.share)
            previous = self._health_states.get((account_id, interface), HealthState.HEALTHY)
            if health.state is not previous:
                self._health_states[account_id, interface] = health.state
                _CHANGES.labels(names[account_id], interface, health.state).inc()
                _log.warning(
                    "channel_health", account=names[account_id], interface=interface, was=previous, is_now=health.state
                )


async def _read_volumes(tx: db.Tx, month: date) -> dict[tuple[UUID, str], Volume]:
    rows = await sql.volumes.fetch(tx, month)
    return {(row["account_id"], row["currency"]): _read_volume(row) for row in rows}


async def _delete_old(tx: db.Tx, now: datetime) -> None:
    await sql.delete_results.execute(tx, now - _RESULTS_KEPT, now + JUMP)
    await sql.delete_refusals.execute(tx, now - _REFUSALS_KEPT)


_read_result = db.reader(AttemptResult, sql["result"])
_read_volume = db.reader(Volume, sql["volume"])
