"""Rows of bills that could not be read, kept for people: once, however often the bill is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.channels.accounts.accounts import ACCOUNT_PREFIX
from hutong.channels.bill import Bill, BillRow, RowFault, exception_row
from hutong.channels.statements import sql
from hutong.clock import instant


@dataclass(frozen=True, slots=True)
class BillException:
    """One row of a bill that could not be read.

    Attributes:
        line_no: The line of the file on which the row begins, from 1.
        text: The row as the channel wrote it.
        found_at: When the bill was first read.
    """

    account_id: UUID
    channel: str
    account: str
    kind: str
    day: date
    line_no: int
    reason: str
    text: str
    found_at: datetime

    def document(self) -> dict[str, Any]:
        """Return the form for operators."""
        return asdict(self) | {
            "account_id": ids.encode(ACCOUNT_PREFIX, self.account_id),
            "day": self.day.isoformat(),
            "found_at": instant(self.found_at),
        }


async def keep_bill_exceptions(
    tx: db.Tx, account_id: UUID, bill: Bill, rows: Iterable[BillRow], *, now: datetime
) -> int:
    """Keep the exceptions among the rows of a bill.

    Repeat:
        A line that is kept stays as it is.

    Returns:
        The number of exceptions among the rows.
    """
    faults = [row.fault for row in rows if row.fault is not None]
    await _keep(tx, account_id, bill.kind, bill.day, faults, now)
    return len(faults)


async def keep_faults(
    tx: db.Tx, account_id: UUID, kind: str, day: date, faults: Iterable[tuple[int, str, str]], *, now: datetime
) -> None:
    """Keep rows of a bill that could not be read.

    Args:
        faults: Of each, the line on which it begins, why it cannot be read, and the row as the channel wrote it.

    Repeat:
        A line that is kept stays as it is.
    """
    rows = [exception_row(line_no, reason, text) for line_no, reason, text in faults]
    await _keep(tx, account_id, kind, day, [row.fault for row in rows if row.fault is not None], now)


async def _keep(tx: db.Tx, account_id: UUID, kind: str, day: date, faults: Sequence[RowFault], now: datetime) -> None:
    if faults:
        await sql.keep_bill_exceptions.execute(tx, rows=faults, account_id=account_id, kind=kind, day=day, found_at=now)


async def list_bill_exceptions(
    tx: db.Tx, *, account_id: UUID | None = None, day: date | None = None, limit: int = 1_000
) -> list[BillException]:
    """Return kept exceptions, the latest days first, of all accounts or one, of all days or one."""
    rows = await sql.list_bill_exceptions.fetch(tx, account_id, day, limit)
    return [BillException(**row) for row in rows]
