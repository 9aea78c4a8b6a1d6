"""Runs: a day of an account is computed from its files and the books, and booked whole."""

from hutong.reconciliation.runs.announce import ReconciliationEventType
from hutong.reconciliation.runs.book import RunOutcome
from hutong.reconciliation.runs.run import Stage, run_day
from hutong.reconciliation.runs.store import list_runs, run_document
from hutong.reconciliation.runs.work import run_due

__all__ = [
    "ReconciliationEventType",
    "RunOutcome",
    "Stage",
    "list_runs",
    "run_day",
    "run_document",
    "run_due",
]
