"""The export of our side of a day: three files of rows from one state of the database, made once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import date, datetime
from uuid import UUID

from hutong import channels, db, routing
from hutong.clock import instant
from hutong.errors import Conflict
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.expected.journal import FeeRule, write_journal
from hutong.reconciliation.expected.orders import write_orders
from hutong.reconciliation.expected.rows_file import writing_rows
from hutong.reconciliation.layers import SideSource
from hutong.reconciliation.model import DayWindow
from hutong.reconciliation.statements import sql

_OURS = (SideSource.ORDERS, SideSource.PAYMENTS, SideSource.JOURNAL)


async def export_sides(
    database: db.Database,
    folder: RunFolder,
    account_id: UUID,
    window: DayWindow,
    day: date,
    now: datetime,
    *,
    limits: Limits | None = None,
    again: bool = False,
) -> None:
    """Write what the books and the orders have of a channel account's day, and of the margin after it.

    Args:
        again: Write the rows even if they are there.

    Effects:
        Writes `rows/orders.parquet`, `rows/payments.parquet` and `rows/journal.parquet`, each whole. They are of one
        state of the database.

    Repeat:
        Nothing: the rows of a day are frozen.

    Errors:
        Conflict: the day, or the margin after it, is not over.
        InvariantBroken: the rows are not what the channel's receivable has moved by.
    """
    if not again and all(folder.rows(source).exists() for source in _OURS):
        return
    complete_at = window.complete_at(day)
    if now < complete_at:
        raise Conflict(f"`day` is not over at this account before {instant(complete_at)}", param="day")
    memory_mb = (limits or Limits()).memory_mb
    async with AsyncExitStack() as files:
        # The journal comes into place last: where it stands, everything does.
        journal, attempts, orders = [
            await files.enter_async_context(writing_rows(folder.rows(source), memory_mb=memory_mb))
            for source in _OURS[::-1]
        ]
        async with database.transaction() as tx:
            await sql.read_one_state.execute(tx)
            fee_of = await _fee_rule(tx, account_id, window.begin_of(day))
            await write_orders(tx, orders, attempts, account_id, window, day)
            for row in await write_journal(tx, journal, account_id, window, day, fee_of):
                orders.add(row)


async def _fee_rule(tx: db.Tx, account_id: UUID, at: datetime) -> FeeRule:
    """Return what the account is expected to charge for payments from an instant on."""
    accounts = {entry.account_id: entry for entry in await channels.accounts.list_accounts(tx)}
    account = accounts.get(account_id)
    price = None if account is None else await routing.price_at(tx, f"{account.channel}/{account.name}", at)
    return lambda amount_minor: None if price is None else price.expected_fee_minor(amount_minor)
