"""The worker: webhooks and streams that go on without a pause, and a table of jobs that are repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from prometheus_client import Gauge

from hutong import db, events, ledger, routing, search
from hutong.app.platform import Platform, broker, query_database_url
from hutong.telemetry import get_logger

_log = get_logger(__name__)
_BOOKS_BROKEN = Gauge("hutong_books_broken", "Invariants of the books that did not hold at the last check.")


@dataclass(frozen=True, slots=True)
class Worker:
    """What jobs work with.

    Attributes:
        relay: Publishes streams; None without a broker.
        records: Keeps the payment records that are searched.
    """

    platform: Platform
    webhooks: events.WebhookWorker
    relay: events.Relay | None
    records: search.ProjectionWorker


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is repeated.

    Attributes:
        every_s: The pause between the end of one run and the start of the next.
        what: One line, for the documentation.
    """

    name: str
    every_s: float
    run: Callable[[Worker], Awaitable[object]]
    what: str


async def number_events(worker: Worker) -> None:
    """Give new events their numbers, and have them published at once."""
    settings = worker.platform.settings
    count = await events.sequence(worker.platform.database, source=settings.event_source, zone=settings.zone)
    if count and worker.relay is not None:
        worker.relay.wake()


async def probe_accounts(worker: Worker) -> None:
    """Ask the accounts that have failed and get no payments whether they are back."""
    platform = worker.platform
    await routing.probe_idle(
        platform.accounts,
        platform.lifecycle.route_selector.routing_state,
        clock=platform.clock,
        new_id=platform.ids.new,
    )


async def suggest_switches(worker: Worker) -> None:
    """Where operators confirm each switch, write down what the health of channels suggests."""
    platform = worker.platform
    state, now = platform.lifecycle.route_selector.routing_state, platform.clock.now()
    await platform.database.run(lambda tx: routing.suggest(tx, state, now=now, new_id=platform.ids.new))


async def guard_experiment(worker: Worker) -> None:
    """End the experiment of a draft that does worse than its guardrail allows."""
    platform = worker.platform
    await platform.database.run(lambda tx: routing.guard_experiment(tx, now=platform.clock.now()))


async def keep_books(platform: Platform) -> None:
    """Do what the ledger needs again and again: partitions, expiry of holds, standing orders, the seal, the day cut."""
    await ledger.upkeep(platform.database, now=platform.clock.now(), new_id=platform.ids.new)


async def keep_events(worker: Worker) -> None:
    """Make partitions of events ahead, and end what has been kept for long enough."""
    platform = worker.platform
    await events.keep_events(
        platform.database,
        now=platform.clock.now(),
        keep=timedelta(days=platform.settings.events_keep_days),
        folder=platform.settings.events_archive,
        published=platform.settings.broker_url is not None,
    )


async def check_books(platform: Platform) -> None:
    """Check whether the books hold; what does not is logged at the highest level, to page a person."""
    async with platform.database.transaction() as tx:
        found = await ledger.check_invariants(tx, now=platform.clock.now())
    _BOOKS_BROKEN.set(len(found.problems))
    for problem in found.problems:
        _log.critical("books_broken", problem=problem)


JOBS: tuple[Job, ...] = (
    Job("sequence", events.SEQUENCE_EVERY_S, number_events, "Number new events."),
    Job("records", search.FOLLOW_EVERY_S, lambda w: w.records.follow(), "Bring payment records up to date."),
    Job("sweep", 0.5, lambda w: w.platform.lifecycle.sweep(), "Poll attempts, end what has expired."),
    Job("refunds", 0.5, lambda w: w.platform.lifecycle.refunds.sweep(), "Send and poll refunds that are due."),
    Job(
        "doubts", 15.0, lambda w: w.platform.lifecycle.report_attempts_in_doubt(), "Report attempts that are in doubt."
    ),
    Job("probe", 5.0, probe_accounts, "Probe failed accounts that get no payments."),
    Job("suggestions", 1.0, suggest_switches, "Suggest switches of routing to operators."),
    Job("experiment", 1.0, guard_experiment, "End an experiment that does worse than its guardrail."),
    Job("tidy", 60.0, lambda w: w.platform.lifecycle.tidy(), "Forget keys and notifications past their time."),
    Job("books", 5.0, lambda w: keep_books(w.platform), "Ledger: partitions, expired holds, standing orders, day cut."),
    Job("events", 60.0, keep_events, "Events: partitions ahead, retention, archive."),
    Job("invariants", 300.0, lambda w: check_books(w.platform), "Check that the books hold."),
)
"""Every repeated job of the worker; the documentation prints this table."""


def make_worker(platform: Platform) -> Worker:
    """Put together what the jobs of a platform work with. Errors as `broker`."""
    connect = broker(platform.settings)
    webhooks = events.WebhookWorker(
        platform.database,
        platform.vault,
        platform.clock,
        new_id=platform.ids.new,
        allow_private=platform.settings.sandbox,
    )
    relay = None
    if connect is not None:
        relay = events.Relay(platform.database, platform.clock, connect=connect, new_id=platform.ids.new)
    own_url = query_database_url(platform.settings)
    records = search.ProjectionWorker(platform.database, platform.bills, clock=platform.clock, own_url=own_url)
    return Worker(platform, webhooks, relay, records)


async def work(platform: Platform, stop: asyncio.Event) -> None:
    """Run the background jobs until `stop` is set, then finish the deliveries that have begun."""
    worker = make_worker(platform)
    async with asyncio.TaskGroup() as group:
        going = [group.create_task(worker.webhooks.run())]
        if worker.relay is not None:
            going.append(group.create_task(worker.relay.run()))
        for job in JOBS:
            group.create_task(db.every(job.every_s, partial(job.run, worker), stop, name=job.name))
        await stop.wait()
        worker.webhooks.stop()
        if worker.relay is not None:
            worker.relay.stop()
        await asyncio.gather(*going)
