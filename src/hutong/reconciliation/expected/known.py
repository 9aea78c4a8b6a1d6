"""Attempts and refunds that a bill names and that are not booked: pending here, or failed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from hutong import db, ids, payments
from hutong.payments import export
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import KNOWN, Limits
from hutong.reconciliation.expected.rows_file import OurRow, writing_rows
from hutong.reconciliation.expected.unbooked_keys import unbooked_keys
from hutong.reconciliation.model import RowKind, RowState

_CHUNK = 5_000
_PENDING = frozenset(
    {
        payments.AttemptState.CREATED,
        payments.AttemptState.SUBMITTED,
        payments.AttemptState.UNKNOWN,
        payments.AttemptState.AUTHORIZED,
        payments.refunds.RefundState.HELD,
        payments.refunds.RefundState.PAYOUT,
        payments.refunds.RefundState.MANUAL,
    }
)


async def known_states(tx: db.Tx, keys: Collection[str], *, account_id: UUID, day: date, at: datetime) -> list[OurRow]:
    """Return the rows of attempts and refunds of an account that have these numbers and are not booked.

    Args:
        day, at: Given to the rows: they have no time in the books.
    """
    found = await export.unbooked_numbers(tx, set(keys))
    return [_row(number, day, at) for number in found if number.account_id == account_id]


async def write_known(
    database: db.Database, folder: RunFolder, account_id: UUID, *, at: datetime, limits: Limits
) -> Path:
    """Write `rows/known.parquet` for the numbers that the day's bill names and the journal's rows do not have.

    Repeat:
        What was pending then may be booked now: a run that is computed again asks again.
    """
    path = folder.path / "rows" / KNOWN
    async with writing_rows(path, memory_mb=limits.memory_mb) as rows:
        for keys in unbooked_keys(folder, _CHUNK, limits):
            async with database.transaction() as tx:
                found = await known_states(tx, keys, account_id=account_id, day=folder.day, at=at)
            for row in found:
                rows.add(row)
    return path


def _row(number: export.UnbookedNumber, day: date, at: datetime) -> OurRow:
    kind, sign = RowKind.PAYMENT, 1
    if number.kind is not export.NumberKind.PAYMENT:
        kind, sign = (RowKind.PAYOUT if number.kind is export.NumberKind.PAYOUT else RowKind.REFUND), -1
    amount = sign * number.amount_minor
    return OurRow(
        kind,
        number.number,
        day,
        at,
        number.currency,
        amount,
        amount,
        amount,
        state=RowState.PENDING if number.state in _PENDING else RowState.FAILED,
        channel_no=number.channel_no,
        original_key=number.original_no,
        merchant=ids.encode("mer", number.merchant_id),
        reference=number.reference,
    )
