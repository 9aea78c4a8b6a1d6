"""The worker: webhooks and streams without a pause, and a table of repeated jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from prometheus_client import Gauge

from hutong import backup, db, events, ledger, payments, reconciliation, routing, search
from hutong.app.heads import keep_head
from hutong.app.platform import Platform, broker, query_database_url
from hutong.app.restore import watch_restore
from hutong.clock import ClockJumps
from hutong.config import home_folder
from hutong.reconciliation import differences
from hutong.telemetry import get_logger

_JOB_LIMIT_S = 60.0
_LONG_JOB_LIMIT_S = 3600.0
_PATIENCE_S = 0.5
_log = get_logger(__name__)
_SEGMENTS_WAITING = Gauge("hutong_backup_segments_waiting", "Finished log segments of 16 MiB that are not archived.")
_ARCHIVING_FAILS = Gauge("hutong_backup_archiving_fails", "1 while the last attempt to archive a segment failed.")
_BOOKS_BROKEN = Gauge("hutong_books_broken", "Invariants of the books that did not hold at the last check.")


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts that jobs work with.

    Attributes:
        relay: Publishes streams; None without a broker.
        records: Maintains the searchable payment records.
        disputes: Watches disputes.
        clock_jumps: Notices jumps of the machine's clock.
    """

    platform: Platform
    webhooks: events.WebhookWorker
    relay: events.Relay | None
    records: search.ProjectionWorker
    disputes: payments.disputes.DisputeWatch
    clock_jumps: ClockJumps


@dataclass(frozen=True, slots=True)
class Job:
    """Repeated work.

    Attributes:
        every_s: The pause between the end of one run and the start of the next.
        what: One line, for the documentation.
        limit_s: The longest transaction.
    """

    name: str
    every_s: float
    run: Callable[[Worker], Awaitable[object]]
    what: str
    limit_s: float = _JOB_LIMIT_S

    async def run_limited(self, worker: Worker) -> None:
        """Run the job once, with its limit."""
        with db.time_limit(self.limit_s):
            await self.run(worker)


async def number_events(worker: Worker) -> None:
    """Number new events, and wake the relay to publish them."""
    settings = worker.platform.settings
    count = await events.sequence(worker.platform.database, source=settings.event_source, zone=settings.zone)
    if count and worker.relay is not None:
        worker.relay.wake()


async def poll_attempts(worker: Worker) -> None:
    """Poll attempts; those whose channel does not answer soon hold up nobody."""
    await worker.platform.lifecycle.sweep(patience_s=_PATIENCE_S)


async def poll_refunds(worker: Worker) -> None:
    """Send and poll refunds; those whose channel does not answer soon hold up nobody."""
    await worker.platform.lifecycle.refunds.sweep(patience_s=_PATIENCE_S)


async def poll_disputes(worker: Worker) -> None:
    """Poll open disputes and send responses; those whose channel does not answer soon hold up nobody."""
    await worker.disputes.sweep(patience_s=_PATIENCE_S)


async def probe_accounts(worker: Worker) -> None:
    """Probe the failed accounts that get no payments."""
    platform = worker.platform
    await routing.probe_idle(
        platform.accounts,
        platform.lifecycle.route_selector.routing_state,
        clock=platform.clock,
        new_id=platform.ids.new,
    )


async def suggest_switches(worker: Worker) -> None:
    """Record the switches that channel health suggests, where operators confirm each one."""
    platform = worker.platform
    state, now = platform.lifecycle.route_selector.routing_state, platform.clock.now()
    await platform.database.run(lambda tx: routing.suggest(tx, state, now=now, new_id=platform.ids.new))


async def guard_experiment(worker: Worker) -> None:
    """End an experiment whose draft performs worse than its guardrail allows."""
    platform = worker.platform
    await platform.database.run(lambda tx: routing.guard_experiment(tx, now=platform.clock.now()))


async def keep_books(platform: Platform) -> None:
    """Maintain the ledger: partitions, expiry of holds, standing orders, the seal, the day cut."""
    await ledger.maintain(platform.database, now=platform.clock.now(), new_id=platform.ids.new)


async def keep_events(worker: Worker) -> None:
    """Make event partitions ahead, and archive those past their retention."""
    platform = worker.platform
    await events.apply_retention(
        platform.database,
        now=platform.clock.now(),
        keep=timedelta(days=platform.settings.events_keep_days),
        folder=platform.settings.events_archive,
        published=platform.settings.broker_url is not None,
    )


async def check_books(platform: Platform) -> None:
    """Check the invariants of the books. A broken one is logged at the highest level, to page a person."""
    async with platform.database.transaction() as tx:
        findings = await ledger.check_invariants(tx, now=platform.clock.now())
        problems = [*findings.problems, *await differences.check_suspense(tx)]
    _BOOKS_BROKEN.set(len(problems))
    for problem in problems:
        _log.critical("books_broken", problem=problem)


async def drive_differences(worker: Worker) -> None:
    """Bring on the approved differences that ask a channel, and free those whose proposals were closed."""
    platform = worker.platform
    await differences.drive_approved(platform.database, platform.lifecycle, clock=platform.clock)


async def report_cases(worker: Worker) -> None:
    """Count the open differences by layer, class and age."""
    platform = worker.platform
    await platform.database.run(lambda tx: differences.report_open_cases(tx, now=platform.clock.now()))


async def watch(worker: Worker) -> None:
    """Raise the mark by which a restore is noticed; while catching up, adopt what has become known, and end it."""
    platform = worker.platform
    home = home_folder(platform.settings)
    if await watch_restore(platform.database, home, now=platform.clock.now()) is not None:
        await platform.adoption.adopt_known()
        await payments.restored.finish_when_complete(platform.database, now=platform.clock.now())


async def look_at_clock(worker: Worker) -> None:
    """After a jump of the machine's clock make everything open due: its times are those of another clock."""
    jump = worker.clock_jumps.jump()
    if jump is None:
        return
    now = worker.platform.clock.now()
    await worker.platform.database.run(lambda tx: payments.restored.query_everything_open(tx, now=now))
    await events.make_all_due(worker.platform.database, now=now)
    worker.clock_jumps.accept()
    if jump and worker.platform.sandbox_clock is None:
        _log.error("clock_jumped", seconds=round(jump.total_seconds()))


async def fetch_bills(worker: Worker) -> None:
    """While catching up after a restore, fetch and read the bills of the lost time."""
    platform = worker.platform
    await payments.restored.fetch_lost_bills(
        platform.database, platform.accounts, clock=platform.clock, policy=platform.transactions.policy
    )


async def fetch_reconciliation_bills(worker: Worker) -> None:
    """Fetch the bills that are due, and read the files that were uploaded; not while catching up after a restore."""
    use = worker.platform.reconciliation
    if use.database.catching_up_since is None:
        await reconciliation.files.read_received(use)
        await reconciliation.files.fetch_due(use)


async def check_archiving(platform: Platform) -> None:
    """Check that the embedded database archives its changes, if it is to do so."""
    archiving = await platform.database.run(backup.read_archiving)
    _SEGMENTS_WAITING.set(archiving.waiting)
    _ARCHIVING_FAILS.set(archiving.is_failing)
    if archiving.is_failing or archiving.is_late:
        _log.error("archiving_failed", waiting=archiving.waiting, last=archiving.last_archived_at.isoformat())


JOBS: tuple[Job, ...] = (
    Job("sequence", events.SEQUENCE_EVERY_S, number_events, "Number new events in their streams."),
    Job("records", search.PROJECT_EVERY_S, lambda w: w.records.run_once(), "Bring payment records up to date."),
    Job("expiry", 0.5, lambda w: w.platform.lifecycle.expire(), "Request the close of payments that have expired."),
    Job("sweep", 0.5, poll_attempts, "Poll attempts that are due.", db.REQUEST_LIMIT_S),
    Job("refunds", 0.5, poll_refunds, "Send and poll the refunds that are due.", db.REQUEST_LIMIT_S),
    Job("disputes", 5.0, poll_disputes, "Poll disputes that are due, and send responses.", db.REQUEST_LIMIT_S),
    Job("lost_disputes", 3600.0, lambda w: w.disputes.find_lost(), "List disputes, to find those without a message."),
    Job("dispute_reminders", 60.0, lambda w: w.disputes.remind(), "Remind of disputes that need an answer soon."),
    Job(
        "dispute_cover",
        600.0,
        lambda w: w.platform.lifecycle.disputes.cover(),
        "Hold for disputes what a merchant's balance did not cover.",
    ),
    Job(
        "doubts",
        15.0,
        lambda w: w.platform.lifecycle.report_in_doubt(),
        "Report doubts and open exceptions.",
    ),
    Job("exceptions", 60.0, lambda w: w.platform.lifecycle.match_exceptions(), "Match kept messages with new numbers."),
    Job(
        "differences",
        10.0,
        drive_differences,
        "Ask channels about approved differences, and free those whose proposals were closed.",
    ),
    Job("cases", 60.0, report_cases, "Count the open differences by their age."),
    Job("probe", 5.0, probe_accounts, "Probe failed channel accounts that get no payments."),
    Job("suggestions", 1.0, suggest_switches, "Suggest routing switches to operators."),
    Job("experiment", 1.0, guard_experiment, "End a routing experiment that performs worse than its guardrail."),
    Job("restore", 5.0, watch, "Notice a restore of the database; while catching up, adopt what is known and end it."),
    Job("clock", 1.0, look_at_clock, "After a jump of the machine's clock, query and deliver everything open."),
    Job("bills", 5.0, fetch_bills, "While catching up, fetch the channels' bills of the lost time and read them."),
    Job(
        "fetch",
        10.0,
        fetch_reconciliation_bills,
        "Fetch the channels' bills at their hour, and read the files that came in.",
        _LONG_JOB_LIMIT_S,
    ),
    Job(
        "reconcile",
        5.0,
        lambda w: reconciliation.runs.run_due(w.platform.reconciliation),
        "Reconcile the days whose bills have come.",
        _LONG_JOB_LIMIT_S,
    ),
    Job("tidy", 60.0, lambda w: w.platform.lifecycle.tidy(), "Delete old idempotency keys and notifications."),
    Job(
        "books",
        5.0,
        lambda w: keep_books(w.platform),
        "Maintain the ledger: partitions, holds, orders, day cut.",
        _LONG_JOB_LIMIT_S,
    ),
    Job(
        "heads",
        600.0,
        lambda w: keep_head(w.platform),
        "Keep the head of the books' chain outside of the database.",
        _LONG_JOB_LIMIT_S,
    ),
    Job("events", 60.0, keep_events, "Make event partitions ahead, and archive old ones.", _LONG_JOB_LIMIT_S),
    Job("archiving", 60.0, lambda w: check_archiving(w.platform), "Check that the embedded database archives."),
    Job(
        "invariants", 300.0, lambda w: check_books(w.platform), "Check the invariants of the books.", _LONG_JOB_LIMIT_S
    ),
)
"""Every repeated job of the worker; the documentation prints this table."""


def make_worker(platform: Platform) -> Worker:
    """Make the parts that the jobs of a platform work with. Errors as `broker`."""
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
    separate_url = query_database_url(platform.settings)
    records = search.ProjectionWorker(platform.database, platform.records, clock=platform.clock, own_url=separate_url)
    disputes = payments.disputes.DisputeWatch(
        platform.database,
        platform.accounts,
        platform.lifecycle,
        platform.transactions.disputes,
        clock=platform.clock,
        sandbox=platform.settings.sandbox,
    )
    return Worker(platform, webhooks, relay, records, disputes, ClockJumps(platform.clock))


async def work(platform: Platform, stop: asyncio.Event) -> None:
    """Run the background jobs until `stop` is set, then finish the deliveries in progress."""
    worker = make_worker(platform)
    async with asyncio.TaskGroup() as group:
        endless = [group.create_task(worker.webhooks.run())]
        if worker.relay is not None:
            endless.append(group.create_task(worker.relay.run()))
        for job in JOBS:
            group.create_task(db.every(job.every_s, partial(job.run_limited, worker), stop, name=job.name))
        await stop.wait()
        worker.webhooks.stop()
        if worker.relay is not None:
            worker.relay.stop()
        await asyncio.gather(*endless)
