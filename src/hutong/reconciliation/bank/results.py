"""The arrivals of batches, read from the results of a bank account's run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from hutong import ids
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.batches import arrived
from hutong.reconciliation.duck import connect, literals
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import DifferenceClass, Layer

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class BatchArrival:
    """What has arrived of one batch of a channel account, as a run knows it.

    Attributes:
        account_id: The channel account.
        day: The day of the bill.
        expected_minor, arrived_minor: Signed: below zero where the channel takes money.
    """

    batch: str
    currency: str
    account_id: UUID
    day: date
    expected_minor: int
    arrived_minor: int


def read_arrivals(folder: RunFolder, *, memory_mb: int = 512) -> list[BatchArrival]:
    """Return what has arrived of every batch that a run of a bank account knows, from its results.

    A batch whose money differs has arrived as far as the batch explains it, see `arrived`; one that is ambiguous or
    missing has not.
    """
    # One that has settled before still is: else a corrected statement could not take back what its forerunner did.
    found = (folder.rows(SideSource.BATCHES), folder.carried(SideSource.BATCHES), folder.settled(SideSource.BATCHES))
    batches = [path for path in found if path.exists()]
    if not batches or not folder.differences(Layer.BATCH_BANK).exists():
        return []
    with connect(folder.path, memory_mb=memory_mb) as connection:
        partial = {key: arrived(*sums) for key, sums in _partial(connection, folder).items()}
        # What has no partner yet, or another sum than its partners, waits for the next day; all else has arrived.
        waiting = literals([folder.carry(SideSource.BATCHES)])
        rows = connection.execute(
            "SELECT batch, currency, reference, original_key, sum(settled)::BIGINT, "
            "sum(if((file, line, day) IN (SELECT (file, line, day) "
            f"FROM read_parquet({waiting})), 0, settled))::BIGINT "
            f"FROM read_parquet({literals(batches)}, union_by_name = true) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return [
        BatchArrival(
            batch,
            currency,
            ids.decode("acc", reference),
            date.fromisoformat(day),
            expected,
            paid or partial.get(batch, 0),
        )
        for batch, currency, reference, day, expected, paid in rows
    ]


def _partial(connection: duckdb.DuckDBPyConnection, folder: RunFolder) -> dict[str, tuple[int, int]]:
    """Return what the batches that differ in money expect and have received."""
    files = literals([folder.differences(Layer.BATCH_BANK)])
    rows = connection.execute(
        f"SELECT key, ours, theirs FROM read_parquet({files}) WHERE class = $1 AND \"column\" = 'settled'",
        [DifferenceClass.MISMATCH],
    ).fetchall()
    return {key: (_settled(ours), _settled(theirs)) for key, ours, theirs in rows}


def _settled(rows: str | None) -> int:
    return sum(row["settled"] for row in json.loads(rows or "[]"))
