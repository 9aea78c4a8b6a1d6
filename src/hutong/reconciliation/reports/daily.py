"""The daily report of an account, for one merchant or for all."""

from __future__ import annotations

from typing import Any

from hutong.errors import NotFound
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.reports.figures import DayFigures, DifferenceLine, MatchedLine, explained, read_figures


def daily_report(folder: RunFolder, *, merchant: str | None = None, limits: Limits | None = None) -> dict[str, Any]:
    """Return what the run of a day has found, of one merchant or of all.

    Args:
        merchant: The merchant's public id.

    Errors:
        NotFound: the day was not run.
    """
    if not folder.manifest.exists():
        raise NotFound(f"there is no run of this account on {folder.day}")
    figures = read_figures(folder, limits)
    merchants = sorted({line.merchant for line in figures.matched} | {line.merchant for line in figures.differences})
    shown = [each for each in merchants if merchant in (None, each)]
    return {
        "object": "reconciliation_report",
        "account_id": folder.account,
        "day": folder.day.isoformat(),
        "explained": explained(figures, merchant),
        "merchants": [_of_merchant(figures, each) for each in shown],
    }


def _of_merchant(figures: DayFigures, merchant: str) -> dict[str, Any]:
    return {
        "merchant_id": merchant or None,
        "matched": [_matched(line) for line in figures.matched if line.merchant == merchant],
        "differences": [_difference(line) for line in figures.differences if line.merchant == merchant],
        "explained": explained(figures, merchant),
    }


def _matched(line: MatchedLine) -> dict[str, Any]:
    return {
        "layer": line.layer,
        "kind": line.kind,
        "currency": line.currency,
        "count": line.count,
        "ordered_minor": line.ordered_minor,
        "paid_minor": line.paid_minor,
        "settled_minor": line.settled_minor,
        "fee_minor": line.fee_minor,
        "net_minor": line.settled_minor - line.fee_minor,
    }


def _difference(line: DifferenceLine) -> dict[str, Any]:
    return {
        "layer": line.layer,
        "class": line.klass,
        "currency": line.currency,
        "count": line.count,
        "long_minor": line.long_minor,
        "short_minor": line.short_minor,
    }
