"""Numbers that nothing here has and that a channel has reported before its bill states them: one case for both."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ids, payments
from hutong.reconciliation.model import DIFFERENCE_PREFIX
from hutong.reconciliation.statements import sql


async def take_over_reports(tx: db.Tx, account_id: UUID, *, now: datetime) -> int:
    """End the exceptions about unknown numbers that have become cases of the account's bill.

    A case has the money in suspense and can be ended by an action; an exception can only be ignored. So the case goes
    on, and the exception names it.

    Effects:
        The exceptions are `matched`.

    Repeat:
        Nothing.

    Returns:
        How many exceptions were taken over.
    """
    reports = [item for item in await payments.exceptions.list_unknown(tx, account_id) if item.number]
    if not reports:
        return 0
    rows = await sql.cases_of_numbers.fetch(
        tx,
        account_id=account_id,
        exception_ids=[item.exception_id for item in reports],
        numbers=[item.number for item in reports],
        channel_numbers=[item.channel_order_no or item.number for item in reports],
    )
    reasons = {
        row["exception_id"]: f"the channel's bill has it: {ids.encode(DIFFERENCE_PREFIX, row['difference_id'])}"
        for row in rows
    }
    await payments.exceptions.take_over(tx, reasons, now=now)
    return len(reasons)
