"""A day of an account is reconciled, and the days that stand on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from enum import StrEnum

from hutong.reconciliation import bank, matching, reports
from hutong.reconciliation.computation import match_layers
from hutong.reconciliation.exclusion import alone
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import FileSource
from hutong.reconciliation.parties import Counterparty
from hutong.reconciliation.runs.announce import Announcement, read_announcement
from hutong.reconciliation.runs.book import RunOutcome, book
from hutong.reconciliation.runs.prepare import Day, complete, days_from, find_day, freeze, plan_of
from hutong.reconciliation.runs.results import LayerResults, read_results
from hutong.reconciliation.workplace import Reconciliation
from hutong.telemetry import get_logger

_log = get_logger(__name__)


class Stage(StrEnum):
    """The steps of a run."""

    EXPECT = "expect"
    """Our own side is written from the books, and the files' rows are gathered."""
    MATCH = "match"
    BOOK = "book"


Report = Callable[[date, Stage], Awaitable[None]]
"""Called with the day and the step of each step that begins."""


async def _nothing(_day: date, _stage: Stage) -> None:
    """Report to nobody."""


async def run_day(
    use: Reconciliation, party: Counterparty, day: date, *, again: bool = False, report: Report = _nothing
) -> list[RunOutcome]:
    """Reconcile a day of an account, and then the days after it that were run before, in their order.

    Args:
        again: Compute and book the day even if it stands on what it stood on before.

    Effects:
        Writes the run's folder, and books its results in one transaction for each day.

    Repeat:
        A day that stands on the same things changes nothing, and then the days after it are not looked at. A run that
        was killed at any point is done again, with the same results.

    Errors:
        Conflict: the day is not over, no bill of it has come, another process runs a day of the account, or the
            platform is catching up after a restore.
        BillRefused: an archived file is no longer what it was.
        InvariantBroken: the books or the totals do not prove the matched part.
    """
    async with alone(use.config.folder, party.name):
        first = await _run_one(use, party, day, again=again, report=report)
        outcomes = [first]
        if first.is_unchanged:
            return outcomes
        for later in await days_from(use, party.account_id, day):
            # It may stand on the same rows and is booked again all the same: the earlier day has changed what is open.
            outcomes += [await _run_one(use, party, later, again=True, report=report)]
        return outcomes


async def _run_one(use: Reconciliation, party: Counterparty, day: date, *, again: bool, report: Report) -> RunOutcome:
    found = await find_day(use, party, day)
    await report(day, Stage.EXPECT)
    digest = await freeze(use, found)
    is_same = found.last is not None and found.last.inputs == digest and found.folder.manifest.exists()
    if is_same and not again and found.last is not None:
        return RunOutcome(found.last, is_unchanged=True)
    await complete(use, found)
    await report(day, Stage.MATCH)
    manifest, results, arrivals, announcement = await asyncio.to_thread(_compute, use, found)
    await report(day, Stage.BOOK)
    outcome = await book(use, found, digest, manifest, results, arrivals, announcement)
    counts = dict(outcome.differences or {})
    _log.info("reconciliation_run", account=party.name, day=day.isoformat(), **counts)
    return outcome


def _compute(
    use: Reconciliation, day: Day
) -> tuple[Manifest, list[LayerResults], list[bank.BatchArrival], Announcement]:
    config, limits = use.config, use.config.limits
    engine = matching.engine(config.engine, spark_master=config.spark_master)
    manifest = match_layers(day.folder, plan_of(use, day), engine, limits)
    manifest.write(day.folder.manifest)
    results = [read_results(day.folder, definition, limits) for definition in day.party.layers]
    arrivals = []
    if day.party.source is FileSource.BANK:
        arrivals = bank.read_arrivals(day.folder, memory_mb=config.memory_mb)
    else:
        reports.write_differing_rows(day.folder, limits)
    announcement = read_announcement(day.folder, manifest, limits, has_merchants=day.party.source is FileSource.BILL)
    return manifest, results, arrivals, announcement
