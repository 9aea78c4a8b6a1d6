"""The results of a run, booked in one transaction: whole or not at all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from hutong import db
from hutong.reconciliation import bank, differences
from hutong.reconciliation.differences import MatchedFee
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import FileSource, Run
from hutong.reconciliation.requests import BY_ITSELF, request_run
from hutong.reconciliation.runs.announce import Announcement, announce, announce_bills
from hutong.reconciliation.runs.prepare import Day
from hutong.reconciliation.runs.results import LayerResults, explained_ppm
from hutong.reconciliation.runs.store import read_run
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run, and what it has changed.

    Attributes:
        is_unchanged: Whether the day stood on the same things as before, so that nothing was done.
        differences: How many were opened, re-opened, changed and resolved, and how many wait.
    """

    run: Run
    is_unchanged: bool = False
    differences: Mapping[str, int] | None = None


async def book(
    use: Reconciliation,
    day: Day,
    digest: str,
    manifest: Manifest,
    results: Sequence[LayerResults],
    arrivals: Sequence[bank.BatchArrival],
    announcement: Announcement,
) -> RunOutcome:
    """Book the results of a day.

    Effects:
        Records the differences, which moves money into suspense and out of it; books the change of the fees of what
        has matched, and the money that has arrived at a bank account; keeps the run; marks the files as matched.
        Requests a run of the statements that may pay what a channel's bill promises. Ends reports about unknown numbers
        that the bill's cases have now. Emits the run's events.

    Repeat:
        The same results change nothing.

    Errors:
        As `differences.record` and `ledger.book`.
    """
    account_id, now = day.party.account_id, use.clock.now()
    run_id = use.ids.new()

    async def work(tx: db.Tx) -> RunOutcome:
        await sql.lock_run.execute(tx, account_id)
        counts: dict[str, int] = defaultdict(int)
        for layer in results:
            recorded = await differences.record(
                tx,
                account_id=account_id,
                day=day.folder.day,
                layer=layer.layer,
                rows=layer.differences,
                matched_late=layer.matched_late,
                now=now,
                new_id=use.ids.new,
            )
            for name, count in asdict(recorded).items():
                counts[name] += count
        await _book_fees(tx, use, day, results)
        if day.party.source is FileSource.BANK:
            booked = await bank.book_arrivals(tx, account_id, day.folder.day, arrivals, now=now, new_id=use.ids.new)
            await announce_bills(tx, use, booked.bills, now=now)
        else:
            await _request_statements(tx, use, day)
            await differences.take_over_reports(tx, account_id, now=now)
        await sql.mark_matched.execute(tx, [file.file_id for file in day.files])
        row = await sql.keep_run.fetchrow(
            tx,
            run_id=run_id,
            account_id=account_id,
            day=day.folder.day,
            inputs=digest,
            engine=manifest.engine,
            totals=json.dumps(manifest.totals, sort_keys=True),
            explained_ppm=explained_ppm(results),
            finished_at=now,
        )
        assert row is not None
        run = read_run(row)
        await announce(tx, use, day.party, run, announcement, counts, now=now)
        return RunOutcome(run, differences=dict(counts))

    with db.time_limit(db.LONG_LIMIT_S):
        return await use.database.run(work)


async def _request_statements(tx: db.Tx, use: Reconciliation, day: Day) -> None:
    """Request the runs of bank accounts that stood on this day's bill as it was before."""
    for row in await sql.statements_after.fetch(tx, day.folder.day):
        await request_run(tx, row["account_id"], row["day"], by=BY_ITSELF, now=use.clock.now(), new_id=use.ids.new())


async def _book_fees(tx: db.Tx, use: Reconciliation, day: Day, results: Sequence[LayerResults]) -> None:
    """Book the change of the fees against what was booked for the day before, and keep the new sums."""
    account_id, business_day = day.party.account_id, day.folder.day
    totals = [total for layer in results for total in layer.totals]
    change: dict[str, int] = defaultdict(int)
    for total in totals:
        change[total.currency] += total.fee_minor
    for row in await sql.matched_totals.fetch(tx, account_id, business_day):
        change[row["currency"]] -= row["fee_minor"]
    fees = [MatchedFee(currency, minor) for currency, minor in sorted(change.items()) if minor]
    if fees:
        await differences.book_matched(tx, account_id=account_id, fees=fees, now=use.clock.now(), new_id=use.ids.new)
    await sql.drop_matched_totals.execute(tx, account_id, business_day)
    if totals:
        await sql.keep_matched_totals.execute(tx, rows=totals, account_id=account_id, day=business_day)
