"""Settlement batches: what the bills of channels say that the bank will receive, one row for each batch.

A batch is named by the channel's own number of it, where bill rows carry one, or else by the merchant's number and the
day of the bill. Its money is what settles less the fees; what failed counts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hutong.reconciliation.duck import connect, create_table, literal
from hutong.reconciliation.model import DayWindow, RowKind, RowState
from hutong.reconciliation.rows import ROW_COLUMNS

SETTLED_KINDS = (
    RowKind.PAYMENT,
    RowKind.REFUND,
    RowKind.REFUND_FAILURE,
    RowKind.PAYOUT,
    RowKind.DISPUTE,
    RowKind.FEE,
    RowKind.OTHER,
)
"""The rows of a bill that move money between the channel and us."""


@dataclass(frozen=True, slots=True)
class SettledBill:
    """The rows of one channel account's bill of one day.

    Attributes:
        account: The public id of the channel account.
        rows: The Parquet file of the bill's rows.
    """

    account: str
    day: date
    rows: Path


def export_batches(
    bills: Sequence[SettledBill], out: Path, *, currency: str, window: DayWindow, memory_mb: int = 512
) -> int:
    """Write the batches that bills promise to a bank account.

    Args:
        out: The Parquet file of rows of kind `batch`; written whole or not at all. `reference` is the account's public
            id, `original_key` the day of the bill.
        currency: The bank account's; batches in another one go to another account.
        window: Of the bank account: where the bill does not say it, money has value on the next day that counts.

    Repeat:
        The same rows.

    Returns:
        How many batches there are. One whose money is nothing is none.
    """
    part = out.with_suffix(".part")
    columns = ", ".join(f'"{name}"' for name in ROW_COLUMNS)
    try:
        with connect(out.parent, memory_mb=memory_mb) as connection:
            connection.execute(create_table("batch"))
            for place, bill in enumerate(sorted(bills, key=lambda bill: (bill.account, bill.day))):
                found = _batches(bill, place, currency, window.next_day(bill.day))
                connection.execute(f"INSERT INTO batch SELECT {columns} FROM ({found})")
            connection.execute(f"COPY (FROM batch ORDER BY file, line) TO {literal(part)} (FORMAT parquet)")
            (count,) = connection.execute("SELECT count(*) FROM batch").fetchall()[0]
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return int(count)


def first_with_batches(bills: Sequence[SettledBill], scratch: Path, *, currency: str) -> SettledBill | None:
    """Return the first bill that promises money in a currency; None if none does."""
    with connect(scratch) as connection:
        for bill in bills:
            if connection.execute(f"SELECT 1 FROM ({_batches(bill, 0, currency, bill.day)}) LIMIT 1").fetchone():
                return bill
    return None


def _batches(bill: SettledBill, place: int, currency: str, value_day: date) -> str:
    """Return the query for the batches of one bill."""
    kinds = ", ".join(literal(kind) for kind in SETTLED_KINDS)
    account, day = literal(bill.account), f"DATE {literal(bill.day.isoformat())}"
    value = f"DATE {literal(value_day.isoformat())}"
    named = f"if(batch <> '', batch, concat(if(merchant <> '', merchant, {account}), ':', {day}))"
    return f"""
        SELECT
            {literal(RowKind.BATCH)} AS kind, batch AS key, '' AS channel_no, {literal(bill.day.isoformat())}
            AS original_key, merchant, {day} AS day, NULL::TIMESTAMP AS at, currency, net AS ordered, net AS paid,
            net AS settled, NULL::BIGINT AS fee, {literal(RowState.SUCCEEDED)} AS state, batch, value AS settle_day,
            '' AS memo, {account} AS reference, {place} AS file, row_number() OVER (ORDER BY batch) AS line
        FROM (
            SELECT
                {named} AS batch, currency, min(merchant) AS merchant, sum(settled - coalesce(fee, 0))::BIGINT AS net,
                coalesce(max(settle_day), {value}) AS value
            FROM read_parquet({literal(bill.rows)})
            WHERE kind IN ({kinds}) AND state <> {literal(RowState.FAILED)} AND currency = {literal(currency)}
            GROUP BY 1, 2
            HAVING net <> 0
        )
    """


def arrived(expected_minor: int, received_minor: int) -> int:
    """Return the part of received money that a batch explains: none of the other sign, and no more than it owes."""
    low, high = sorted((0, expected_minor))
    return min(max(received_minor, low), high)
