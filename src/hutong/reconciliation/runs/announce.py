"""The events of a run: of its results, for the platform's own systems, and of the merchants' statements it changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from hutong import db, events, ids
from hutong.clock import instant
from hutong.reconciliation import files, reports
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.model import FILE_PREFIX, RUN_PREFIX, BillFile, FileState, Run
from hutong.reconciliation.parties import Counterparty
from hutong.reconciliation.statements import sql
from hutong.reconciliation.workplace import Reconciliation
from hutong.telemetry import get_logger

_log = get_logger(__name__)


class ReconciliationEventType(StrEnum):
    """The types of events that runs emit."""

    COMPLETED = "reconciliation.completed"
    """Of the platform itself."""
    BILL_CLOSED = "reconciliation.bill_closed"
    BILL_REOPENED = "reconciliation.bill_reopened"
    """Of the platform itself: the bank has taken the money of a closed bill back."""
    STATEMENT_READY = "reconciliation.statement_ready"
    """Of one merchant."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the events of a run state.

    Attributes:
        figures: The counts, the volumes, the explained share and the differences by class.
        statements: Of each merchant that has rows on the day.
    """

    figures: Mapping[str, Any]
    statements: Sequence[reports.MerchantSummary] = ()


def read_announcement(folder: RunFolder, manifest: Manifest, limits: Limits, *, has_merchants: bool) -> Announcement:
    """Return what the events of a day state, from its run's results.

    Args:
        has_merchants: Whether the merchants' rows of the day are written.
    """
    matched, differences = [], []
    for layer, totals in sorted(manifest.totals.items()):
        counts: dict[str, list[int]] = {}
        for by_currency in totals["matched"].values():
            for currency, entry in by_currency.items():
                sums = counts.setdefault(currency, [0, 0])
                sums[0] += entry["count"]
                sums[1] += entry["theirs"]
        matched += [
            {"layer": layer, "currency": currency, "count": count, "net_minor": net}
            for currency, (count, net) in sorted(counts.items())
        ]
        for klass, by_currency in sorted(totals["classes"].items()):
            differences += [
                {
                    "layer": layer,
                    "class": klass,
                    "currency": currency,
                    "count": entry["count"],
                    "long_minor": (entry["absolute"] + entry["amount"]) // 2,
                    "short_minor": (entry["absolute"] - entry["amount"]) // 2,
                }
                for currency, entry in sorted(by_currency.items())
            ]
    found = reports.read_figures(folder, limits, with_content=has_merchants)
    figures = {"matched": matched, "differences": differences, "explained": reports.explained(found)}
    return Announcement(figures, reports.summarize_merchants(folder, found, limits) if has_merchants else ())


async def announce(
    tx: db.Tx,
    use: Reconciliation,
    party: Counterparty,
    run: Run,
    announcement: Announcement,
    changes: Mapping[str, int],
    *,
    now: datetime,
) -> None:
    """Emit the events of a run.

    Args:
        changes: How many differences were opened, re-opened, changed and resolved.

    Effects:
        Emits `reconciliation.completed` if the run states something else than the last one of its day, or has changed
        a difference; and `reconciliation.statement_ready` to each merchant whose rows of the day have changed.

    Repeat:
        The same results emit nothing.
    """
    emitted = []
    digest = hashlib.sha256(orjson.dumps(announcement.figures, option=orjson.OPT_SORT_KEYS)).hexdigest()
    is_new = await sql.announce_run.fetch(tx, run_id=run.run_id, announced=digest)
    counted = {name: changes.get(name, 0) for name in ("opened", "reopened", "changed", "resolved")}
    if is_new or any(counted.values()):
        data = {
            "id": ids.encode(RUN_PREFIX, run.run_id),
            "object": "reconciliation_result",
            "account_id": party.name,
            "channel": party.channel or None,
            "day": run.day.isoformat(),
            "finished_at": instant(run.finished_at),
            **announcement.figures,
            "changes": counted,
        }
        emitted.append(events.Event(use.ids.new(), ReconciliationEventType.COMPLETED, None, run.run_id, data))
    if party.channel:
        emitted += await _statements(tx, use, party, run, announcement.statements)
    await events.record(tx, emitted, now=now)


async def announce_bills(tx: db.Tx, use: Reconciliation, bills: Sequence[BillFile], *, now: datetime) -> None:
    """Emit an event for each bill that was closed or re-opened; the latter is an alert too."""
    for file in bills:
        if file.state is not FileState.CLOSED:
            _log.warning("reconciliation_bill_reopened", file=ids.encode(FILE_PREFIX, file.file_id))
    emitted = [
        events.Event(
            use.ids.new(),
            ReconciliationEventType.BILL_CLOSED
            if file.state is FileState.CLOSED
            else ReconciliationEventType.BILL_REOPENED,
            None,
            file.file_id,
            files.file_document(file),
        )
        for file in bills
    ]
    await events.record(tx, emitted, now=now)


async def _statements(
    tx: db.Tx, use: Reconciliation, party: Counterparty, run: Run, statements: Sequence[reports.MerchantSummary]
) -> list[events.Event]:
    """Keep what an account's day has for merchants; return an event for each for which it has changed."""
    await sql.lock_statements.execute(tx, run.day)
    changed = await sql.change_statements.fetch(
        tx, rows=statements, account_id=party.account_id, day=run.day, channel=party.channel
    )
    merchants: list[UUID] = [row["merchant_id"] for row in changed]
    emitted = []
    for row in await sql.statements_of_day.fetch(tx, day=run.day, merchant_ids=merchants):
        merchant_id, day = row["merchant_id"], run.day.isoformat()
        data = {
            "object": "reconciliation_statement",
            "day": day,
            "channels": list(row["channels"]),
            "rows": row["reconciled"] + row["pending"] + row["different"],
            "reconciled": row["reconciled"],
            "pending": row["pending"],
            "different": row["different"],
        }
        object_id = use.ids.derive("reconciliation_statement", merchant_id, day)
        emitted.append(
            events.Event(use.ids.new(), ReconciliationEventType.STATEMENT_READY, merchant_id, object_id, data)
        )
    return emitted
