"""The rows that merchants reconcile their own books by: what channels have settled of each payment and refund.

A run's results are sorted by merchant once, beside the results, so that one merchant's page reads little.
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
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.manifest import Manifest

_NAME = "merchant-rows.parquet"
_STATED = (
    "key", "kind", "day", "currency", "ordered", "paid", "settled", "fee", "batch", "settle_day", "status",
)  # fmt: skip


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


def write_merchant_rows(folder: RunFolder, limits: Limits | None = None) -> Path:
    """Write the rows of all merchants of a day that was run, by merchant.

    Effects:
        Writes `merchant-rows.parquet` to the day's folder, whole.
    """
    limits = limits or Limits()
    layers = [layer for layer in Manifest.read(folder.manifest).layers if layer.theirs is SideSource.BILL]
    matched = [folder.matched(layer.layer) for layer in layers]
    ours = [path for path in (folder.rows(SideSource.JOURNAL), folder.carried(SideSource.JOURNAL)) if path.exists()]
    differing = [folder.differences(layer.layer) for layer in layers]
    path = folder.path / _NAME
    part = path.with_suffix(".part")
    columns = "merchant, key, reference, kind, {day} AS day, currency, ordered, paid, settled, fee, batch, settle_day"
    form = literal('[{"key": "VARCHAR", "kind": "VARCHAR", "day": "DATE"}]')
    query = (
        f"WITH m AS (SELECT {columns.format(day='theirs_day')}, 'reconciled' AS status "
        f"FROM read_parquet({literals(matched)}) WHERE merchant <> ''), "
        f"d AS (SELECT unnest(from_json(ours, {form}), recursive := true), class "
        f"FROM read_parquet({literals(differing)}) WHERE ours IS NOT NULL), "
        "e AS (SELECT key, kind, day, min(class) AS class FROM d GROUP BY ALL), "
        f"o AS (SELECT DISTINCT {columns.format(day='r.day')}, "
        "CASE WHEN class = 'pending' THEN 'pending' ELSE 'different' END AS status "
        f"FROM read_parquet({literals(ours)}, union_by_name = true) AS r JOIN e USING (key, kind, day) "
        "WHERE merchant <> '') "
        "FROM (FROM m UNION ALL FROM o) ORDER BY merchant, day, kind, key, status, settled, fee, paid, ordered, batch"
    )
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        duck.execute(f"COPY ({query}) TO {literal(part)} {ROWS_FORMAT}")
    part.replace(path)
    return path


def merchant_rows(
    folder: RunFolder, merchant: str, *, after: int = 0, limit: int, limits: Limits | None = None
) -> Sequence[MerchantRow]:
    """Return a page of one merchant's rows of an account's day; none before the day was run."""
    path = folder.path / _NAME
    if not path.exists():
        return []
    with connect(folder.path, memory_mb=(limits or Limits()).memory_mb) as duck:
        rows: list[tuple[Any, ...]] = duck.execute(
            f"FROM read_parquet({literal(path)}, file_row_number = true) SELECT file_row_number + 1 AS place, key, "
            "reference, kind, day, currency, ordered, paid, settled, fee, batch, settle_day, status "
            "WHERE merchant = ? AND place > ? ORDER BY place LIMIT ?",
            [merchant, after, limit],
        ).fetchall()
    return [MerchantRow(*row) for row in rows]


def summarize_merchants(folder: RunFolder, limits: Limits | None = None) -> list[MerchantSummary]:
    """Return what the rows of each merchant on an account's day add up to; they have to be written."""
    limits = limits or Limits()
    counts = ", ".join(
        f"count(*) FILTER (WHERE status = '{status}')" for status in ("reconciled", "pending", "different")
    )
    with connect(folder.path, memory_mb=limits.memory_mb, threads=limits.threads) as duck:
        # A sum does not depend on the order, and equal rows count as often as they are there. A version of DuckDB that
        # hashes otherwise costs an event more for a day that is run again; a lasting digest costs five times the time.
        rows = duck.execute(
            f"FROM read_parquet({literal(folder.path / _NAME)}) SELECT merchant, {counts}, "
            f"sum(hash({', '.join(_STATED)})::HUGEINT)::VARCHAR GROUP BY merchant ORDER BY merchant"
        ).fetchall()
    return [MerchantSummary(ids.decode("mer", merchant), *rest) for merchant, *rest in rows]
