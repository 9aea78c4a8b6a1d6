"""Open cases as those see them who watch the platform: counted by layer, class and age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from prometheus_client import Gauge

from hutong import db
from hutong.reconciliation.differences.cases import ASSIGNABLE, DifferenceFilter
from hutong.reconciliation.statements import sql

_OPEN = Gauge(
    "hutong_reconciliation_cases", "Open differences by layer, class and the days since their first.",
    ["layer", "class", "age"],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpenCases:
    """How many cases are open, and the first day of the oldest; None without any."""

    count: int
    oldest_day: date | None


async def report_open_cases(tx: db.Tx, *, now: datetime) -> OpenCases:
    """Count the open cases; what only waits for the next file is none.

    Effects:
        Sets the metric `hutong_reconciliation_cases`.
    """
    where = DifferenceFilter(states=tuple(sorted(ASSIGNABLE)))
    rows = await sql.open_cases_by_age.fetch(tx, today=now.date(), **where.parameters)
    _OPEN.clear()
    for row in rows:
        _OPEN.labels(row["layer"], row["klass"], row["age"]).set(row["count"])
    return OpenCases(sum(row["count"] for row in rows), min((row["oldest_day"] for row in rows), default=None))
