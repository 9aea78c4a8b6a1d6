"""Telling other processes what this one has learnt, and learning what they have, beside the payments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from prometheus_client import Counter, Gauge

from hutong import channels, db
from hutong.clock import Clock
from hutong.routing.configuration.configuration import Configuration
from hutong.routing.configuration.overrides import Override, standing_overrides
from hutong.routing.configuration.versions import current_version, load_configuration
from hutong.routing.experiments.assignment import Arm, Outcome, Running
from hutong.routing.experiments.experiment import add_outcomes, running_trial
from hutong.routing.health import Result, State
from hutong.routing.process_state import RoutingState, Volume, month_of
from hutong.routing.statements import sql
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_EVERY_S = 0.5
_REMEMBERED = timedelta(hours=1)
_TOLD_AT_ONCE = 5_000
_REFUSALS_AT_ONCE = 50
_REFUSALS_KEPT = timedelta(days=30)
_FORGET_EVERY = timedelta(minutes=1)
_STATES = Gauge("hutong_routing_share", "The part of its traffic that an account may get.", ["account", "interface"])
_CHANGES = Counter("hutong_routing_changes_total", "Changes of an account's health.", ["account", "interface", "state"])
_FAILURES = Counter("hutong_routing_sharing_failures_total", "Rounds in which the database did not answer.")

_Learnt = tuple[list[tuple[UUID, Result]], str, Configuration, list[Override], dict[tuple[UUID, str], Volume]]


class StateSync:
    """Keeps one process's routing in step with the others'.

    Args:
        process_id: What this process is known by among them.
        offers: Gives the accounts that may be used.
    """

    def __init__(
        self,
        database: db.Database,
        live: RoutingState,
        *,
        clock: Clock,
        process_id: UUID,
        offers: Callable[[], Awaitable[Sequence[channels.Offer]]],
    ) -> None:
        self._database = database
        self._live = live
        self._clock = clock
        self._process_id = process_id
        self._offers = offers
        self._seen_before = "0"
        self._basis_told = ""
        self._configuration = live.configuration
        self._forget_at = clock.now()
        self._states: dict[tuple[UUID, str], State] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until told to stop, whatever the database does; decisions meanwhile go by what is known."""
        well = True
        while not stop.is_set():
            try:
                await self.exchange()
                well = True
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one round, the next may find it mended
                _FAILURES.inc()
                if well:
                    _log.warning("routing_not_shared", reason=repr(error))
                well = False
            try:
                async with asyncio.timeout(_EVERY_S):
                    await stop.wait()
            except TimeoutError:
                pass

    async def exchange(self) -> None:
        """One round: tell, then learn, and say what has changed."""
        now = self._clock.now()
        await self.look(now)
        self._report(now)
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_EVERY
            await self._database.run(lambda tx: _forget(tx, now))

    async def look(self, now: datetime) -> None:
        """Tell and learn. What could not be told is told in the next round."""
        live = self._live
        live.offer(await self._offers())
        results = [live.untold.popleft() for _ in range(min(len(live.untold), _TOLD_AT_ONCE))]
        refused = [live.refused.popleft() for _ in range(min(len(live.refused), _REFUSALS_AT_ONCE))]
        volumes, live.unadded = live.unadded, {}
        outcomes, live.outcomes = live.outcomes, {}
        try:
            learnt, trial = await self._database.run(
                lambda tx: self._exchange_all(tx, results, volumes, refused, outcomes, now)
            )
        except BaseException:
            live.untold.extendleft(reversed(results))
            live.refused.extendleft(reversed(refused))
            for key, volume in volumes.items():
                again = live.unadded.setdefault(key, Volume())
                again.amount_minor += volume.amount_minor
                again.subsidy_minor += volume.subsidy_minor
            for place, outcome in outcomes.items():
                live.outcomes.setdefault(place, Outcome()).join(outcome)
            raise
        told, self._seen_before, configuration, overrides, known = learnt
        self._basis_told = live.basis[0]
        self._configuration = configuration
        live.adopt(configuration, overrides, known, trial)
        for account_id, result in told:
            live.router.learn(account_id, result, shared=True)
        live.shared_at = now

    async def _exchange_all(
        self,
        tx: db.Tx,
        results: Sequence[tuple[UUID, Result]],
        volumes: dict[tuple[UUID, date, str], Volume],
        refused: Sequence[tuple[datetime, str]],
        outcomes: dict[tuple[UUID, Arm, str], Outcome],
        now: datetime,
    ) -> tuple[_Learnt, Running | None]:
        learnt = await self._exchange(tx, results, volumes, now)
        if refused:
            await sql.add_refusals.execute(tx, [at for at, _ in refused], [record for _, record in refused])
        if outcomes:
            await add_outcomes(tx, outcomes)
        return learnt, await running_trial(tx, self._live.trial)

    async def _exchange(
        self,
        tx: db.Tx,
        results: Sequence[tuple[UUID, Result]],
        volumes: dict[tuple[UUID, date, str], Volume],
        now: datetime,
    ) -> _Learnt:
        digest, document = self._live.basis
        if digest != self._basis_told:
            await sql.add_basis.execute(tx, digest, document, now)
        # First, so that what commits after this look is looked for from here on.
        seen_before: str = await sql.visible_before.fetchval(tx)
        rows = await sql.results_since.fetch(tx, self._seen_before, self._process_id, now - _REMEMBERED)
        version = await current_version(tx)
        configuration = self._configuration
        if version != configuration.version:
            configuration = await load_configuration(tx, version)
        overrides = await standing_overrides(tx, now=now)
        if results:
            await sql.add_results.execute(
                tx,
                self._process_id,
                [result.attempt_id for _, result in results],
                [account_id for account_id, _ in results],
                [result.interface for _, result in results],
                [result.institution for _, result in results],
                [result.fault for _, result in results],
                [result.latency_ms for _, result in results],
                [result.at for _, result in results],
            )
        if volumes:
            await sql.add_volumes.execute(
                tx,
                [account_id for account_id, _, _ in volumes],
                [month for _, month, _ in volumes],
                [currency for _, _, currency in volumes],
                [volume.amount_minor for volume in volumes.values()],
                [volume.subsidy_minor for volume in volumes.values()],
            )
        known = {
            (row["account_id"], row["currency"]): Volume(row["amount_minor"], row["subsidy_minor"])
            for row in await sql.volumes.fetch(tx, month_of(now))
        }
        told = [
            (
                row["account_id"],
                Result(
                    row["at"],
                    row["attempt_id"],
                    row["fault"],
                    row["latency_ms"],
                    row["institution"],
                    row["interface"],
                ),
            )
            for row in rows
        ]
        return told, seen_before, configuration, overrides, known

    def _report(self, now: datetime) -> None:
        names = {candidate.account_id: candidate.name for candidate in self._live.candidates}
        for account_id, interface in self._live.router.known():
            health = self._live.router.health(account_id, now, interface)
            _STATES.labels(names[account_id], interface).set(health.share)
            before = self._states.get((account_id, interface), State.HEALTHY)
            if health.state is not before:
                self._states[account_id, interface] = health.state
                _CHANGES.labels(names[account_id], interface, health.state).inc()
                _log.warning(
                    "channel_health", account=names[account_id], interface=interface, was=before, is_now=health.state
                )


async def _forget(tx: db.Tx, now: datetime) -> None:
    await sql.forget_results.execute(tx, now - _REMEMBERED)
    await sql.forget_refusals.execute(tx, now - _REFUSALS_KEPT)
