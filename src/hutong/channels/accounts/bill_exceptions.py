"""Rows of bills that could not be read, kept for people: once, however often the bill is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.channels.accounts.accounts import ACCOUNT_PREFIX
from hutong.channels.bill import Bill, BillRow
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
    if faults:
        await sql.keep_bill_exceptions.execute(
            tx, rows=faults, account_id=account_id, kind=bill.kind, day=bill.day, found_at=now
        )
    return len(faults)


async def list_bill_exceptions(
    tx: db.Tx, *, account_id: UUID | None = None, day: date | None = None, limit: int = 1_000
) -> list[BillException]:
    """Return kept exceptions, the latest days first, of all accounts or one, of all days or one."""
    rows = await sql.list_bill_exceptions.fetch(tx, account_id, day, limit)
    return [BillException(**row) for row in rows]
