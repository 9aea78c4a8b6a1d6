"""The rows that merchants reconcile their own books by: what channels have settled of each payment and refund.

They are read from a run's results: what has matched, and then the few rows that wait or differ, which a run writes
beside its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from hutong import ids
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.duck import ROWS_FORMAT, connect, literal, literals
from hutong.reconciliation.layers import LayerDefinition, SideSource
from hutong.reconciliation.manifest import Manifest
from hutong.reconciliation.reports.figures import DayFigures, content_of

_NAME = "differing-rows.parquet"
_FILE_BITS = 40
"""A row's place: the number of its file, and below it so many bits for its place there."""
_ROW = "key, reference, kind, day, currency, ordered, paid, settled, fee, batch, settle_day, status"


@dataclass(frozen=True, slots=True)
class MerchantRow:
    """One row of a merchant's.

    Attributes:
        place: Of the row in its account's day, for the next page.
        key: Our number at the channel.
        reference: The public id of the payment, the refund or the dispute.
        channel_fee_minor: What the channel has charged us; None where it states no fee.
        batch: The channel's settlement batch; empty where it names none.
        status: "reconciled", "pending" while the channel's row may still come, or "different".
    """

    place: int
    key: str
    reference: str
    kind: str
    day: date
    currency: str
    ordered_minor: int
    paid_minor: int
    settled_minor: int
    channel_fee_minor: int | None
    batch: str
    settle_day: date | None
    status: str


@dataclass(frozen=True, slots=True)
class MerchantSummary:
    """The rows of one merchant on an account's day.

    Attributes:
        reconciled, pending, different: How many there are, by their status.
        content: A digest of all that the rows state, in any order.
    """

    merchant_id: UUID
    reconciled: int
    pending: int
    different: int
    content: str


def write_differing_rows(folder: RunFolder, limits: Limits | None = None) -> Path:
    """Write the rows of ours that wait or differ on a day that was run, by merchant.

    Effects:
        Writes `differing-rows.parquet` to the day's folder, whole.
    """
    limits = limits or Limits()
    ours = [path for path in (folder.rows(SideSource.JOURNAL), folder.carried(SideSource.JOURNAL)) if path.exists()]
    path = folder.path / _NAME
    part = path.with_suffix(".part")
    form = literal('[{"key": "VARCHAR", "kind": "VARCHAR", "day": "DATE"}]')
    differing = [folder.differences(layer.layer) for layer in _layers(folder)]
    query = (
        f"WITH d AS (SELECT unnest(from_json(ours, {form}), recursive := true), class "
        f"FROM read_parquet({literals(differing)}) WHERE ours IS NOT NULL), "
        "e AS (SELECT key, kind, day, min(class) AS class FROM d GROUP BY ALL) "
        f"SELECT DISTINCT merchant, {_ROW.replace('day,', 'r.day,', 1).replace(', status', '')}, "
        "CASE WHEN class = 'pending' THEN 'pending' ELSE 'different' END AS status "
        f"FROM read_parquet({literals(ours)}, union_by_name = true) AS r JOIN e USING (key, kind, day) "
        f"WHERE merchant <> '' ORDER BY merchant, {_ROW}"
    )
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        duck.execute(f"COPY ({query}) TO {literal(part)} {ROWS_FORMAT}")
    part.replace(path)
    return path


def merchant_rows(
    folder: RunFolder, merchant: str, *, after: int = 0, limit: int, limits: Limits | None = None
) -> Sequence[MerchantRow]:
    """Return a page of one merchant's rows of an account's day; none before the day was run."""
    if not (folder.path / _NAME).exists():
        return []
    rows: list[tuple[Any, ...]] = []
    matched = _ROW.replace("day,", "theirs_day AS day,", 1).replace("status", "'reconciled' AS status")
    files = [(folder.matched(layer.layer), matched) for layer in _layers(folder)]
    with connect(folder.path, memory_mb=(limits or Limits()).memory_mb) as duck:
        for number, (path, columns) in enumerate([*files, (folder.path / _NAME, _ROW)]):
            first = after - (number << _FILE_BITS)
            if first >> _FILE_BITS <= 0 and len(rows) < limit:
                rows += duck.execute(
                    f"FROM read_parquet({literal(path)}, file_row_number = true) "
                    f"SELECT file_row_number + 1 + {number << _FILE_BITS} AS place, {columns} "
                    "WHERE merchant = ? AND file_row_number >= ? ORDER BY file_row_number LIMIT ?",
                    [merchant, max(first, 0), limit - len(rows)],
                ).fetchall()
    return [MerchantRow(*row) for row in rows]


def summarize_merchants(folder: RunFolder, figures: DayFigures, limits: Limits | None = None) -> list[MerchantSummary]:
    """Return what the rows of each merchant on an account's day add up to; those that differ have to be written.

    Args:
        figures: Of the day, with content.
    """
    limits = limits or Limits()
    counts = ", ".join(f"count(*) FILTER (WHERE status = '{status}')" for status in ("pending", "different"))
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        found = duck.execute(
            f"FROM read_parquet({literal(folder.path / _NAME)}) SELECT merchant, {counts}, "
            f"{content_of(_ROW)} GROUP BY merchant"
        ).fetchall()
    differing = {merchant: rest for merchant, *rest in found}
    reconciled: dict[str, tuple[int, int]] = {}
    bills = {layer.layer.value for layer in _layers(folder)}
    for line in figures.matched:
        if line.merchant and line.layer in bills:
            count, content = reconciled.get(line.merchant, (0, 0))
            reconciled[line.merchant] = count + line.count, content + line.content
    summaries = []
    for merchant in sorted(reconciled.keys() | differing.keys()):
        count, content = reconciled.get(merchant, (0, 0))
        pending, different, rest = differing.get(merchant, (0, 0, 0))
        summaries.append(
            MerchantSummary(ids.decode("mer", merchant), count, pending, different, str(content + int(rest)))
        )
    return summaries


def _layers(folder: RunFolder) -> list[LayerDefinition]:
    return [layer for layer in Manifest.read(folder.manifest).layers if layer.theirs is SideSource.BILL]
