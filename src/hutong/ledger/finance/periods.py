"""The closing of months and years: income and expense carried to the year's profit, and that to retained earnings.

The days of a closed period are closed, so the entries that carry its balances belong to the date on which the period is
closed. They have codes of their own. What a closing carries is what stood on the accounts at the end of the period,
without amounts that the closings of earlier periods have carried off since.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from hutong import db, money
from hutong.errors import Conflict, InvalidParameter
from hutong.ledger.accounting.amounts import currency_of, in_major_units
from hutong.ledger.accounting.chart import (
    PLATFORM_OWNERS,
    PROFIT_OF_THE_YEAR,
    RETAINED_EARNINGS,
    AccountOwner,
    SubjectClass,
    account_id,
)
from hutong.ledger.accounting.closed_days import require_closed
from hutong.ledger.accounting.events import EventCode
from hutong.ledger.accounting.subjects import list_subjects
from hutong.ledger.accounts import open_accounts
from hutong.ledger.codec import uuid_of
from hutong.ledger.finance.entries import create_or_refuse
from hutong.ledger.ledger import BATCH_MAX
from hutong.ledger.model import Transfer
from hutong.ledger.statements import sql as _sql

_COMPANY = PLATFORM_OWNERS[AccountOwner.COMPANY]
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_YEAR = re.compile(r"[0-9]{4}")


@dataclass(frozen=True, slots=True)
class Carry:
    """An amount that a closing carried off an account; a credit balance is positive."""

    account_id: UUID
    code: int
    currency: str
    transfer_id: UUID
    amount_minor: int
    amount: str


@dataclass(frozen=True, slots=True)
class Period:
    """A closed month, `2026-03`, or a closed year, `2026`.

    Attributes:
        accounts: The number of accounts whose balances were carried.
    """

    period: str
    last_day: date
    closed_at: datetime
    closed_by: str
    reason: str
    accounts: int


async def close_month(
    tx: db.Tx, month: str, *, by: str, reason: str, new_id: Callable[[], UUID], now: datetime
) -> list[Carry]:
    """Close a month whose days are closed, and carry its income and expense to the profit of the year.

    Effects:
        Books one transfer for each account of income or expense with a balance; records the closing. No other
        closing runs meanwhile.

    Returns:
        The amounts carried, by account.

    Errors:
        InvalidParameter: the text is not a month.
        Conflict: a day of the month is not closed, the month is closed already, an earlier one is not, or the ledger
            refused a transfer.
    """
    if not _MONTH.fullmatch(month) or month < "0001":
        raise InvalidParameter(f"{month} is not a month, such as 2026-03", param="month")
    await _sql.one_period_closer.execute(tx)
    first = date.fromisoformat(f"{month}-01")
    last = _month_after(first) - timedelta(days=1)
    await _check_month(tx, month, last)
    subjects = await list_subjects(tx)
    codes = [code for code, s in subjects.items() if s.klass in (SubjectClass.INCOME, SubjectClass.EXPENSE)]
    balances = await _sql.balances_to_carry.fetch(tx, last_day=last, codes=codes)
    return await _carry(
        tx, (month, last), balances, to=PROFIT_OF_THE_YEAR, code=EventCode.MONTH_CLOSING, by=by, reason=reason,
        new_id=new_id, now=now,
    )  # fmt: skip


async def close_year(
    tx: db.Tx, year: str, *, by: str, reason: str, new_id: Callable[[], UUID], now: datetime
) -> list[Carry]:
    """Close a year whose months are closed, and carry its profit to retained earnings. Effects as for a month.

    Errors:
        InvalidParameter: the text is not a year.
        Conflict: a month of the year is not closed, or the year is closed already.
    """
    if not _YEAR.fullmatch(year) or year == "0000":
        raise InvalidParameter(f"{year} is not a year, such as 2026", param="year")
    await _sql.one_period_closer.execute(tx)
    closed = {period.period for period in await list_periods(tx)}
    if year in closed:
        raise Conflict(f"the year {year} is closed already", param="year")
    if f"{year}-12" not in closed:
        raise Conflict(f"the month {year}-12 is not closed", param="year")
    profits = [
        {"id": uuid_of(account_id(PROFIT_OF_THE_YEAR, _COMPANY, money.currency_of_ledger(row["ledger"]).code)),
         "code": PROFIT_OF_THE_YEAR, "ledger": row["ledger"], "amount": row["amount"]}
        for row in await _sql.profit_of_year.fetch(tx, year)
    ]  # fmt: skip
    return await _carry(
        tx, (year, date(int(year), 12, 31)), profits, to=RETAINED_EARNINGS, code=EventCode.YEAR_CLOSING, by=by,
        reason=reason, new_id=new_id, now=now,
    )  # fmt: skip


async def list_periods(tx: db.Tx) -> list[Period]:
    """Return the closed periods in order, a year after its months."""
    return [Period(**row) for row in await _sql.list_periods.fetch(tx)]


async def list_carries(tx: db.Tx, period: str) -> list[Carry]:
    """Return the amounts that the closing of a period carried; none if it is not closed."""
    return [_read_carry(row) for row in await _sql.list_carries.fetch(tx, period)]


async def _check_month(tx: db.Tx, month: str, last: date) -> None:
    months = [period.period for period in await list_periods(tx) if "-" in period.period]
    if month in months:
        raise Conflict(f"the month {month} is closed already", param="month")
    await require_closed(tx, last, param="month")
    closed = await _sql.closed_days.fetchrow(tx)
    assert closed is not None
    due = f"{_month_after(date.fromisoformat(f'{months[-1]}-01')):%Y-%m}" if months else f"{closed['first']:%Y-%m}"
    if month != due:
        raise Conflict(f"the next month to close is {due}", param="month")


async def _carry(
    tx: db.Tx, period: tuple[str, date], balances: Sequence[Any], *, to: int, code: EventCode, by: str, reason: str,
    new_id: Callable[[], UUID], now: datetime,
) -> list[Carry]:  # fmt: skip
    name, last_day = period
    ledgers = sorted({row["ledger"] for row in balances})
    targets = {number: (to, _COMPANY, money.currency_of_ledger(number).code) for number in ledgers}
    await open_accounts(tx, [*targets.values()], now=now)
    transfers = []
    for row in balances:
        account, target, amount = row["id"].int, account_id(*targets[row["ledger"]]), row["amount"]
        debit, credit = (account, target) if amount > 0 else (target, account)
        transfers.append(
            Transfer(
                id=new_id().int, debit_account_id=debit, credit_account_id=credit, amount=abs(amount),
                ledger=row["ledger"], code=code,
            )
        )  # fmt: skip
    for start in range(0, len(transfers), BATCH_MAX):
        await create_or_refuse(tx, transfers[start : start + BATCH_MAX], now=now)
    await _sql.add_period.execute(tx, period=name, last_day=last_day, now=now, by=by, reason=reason)
    await _sql.add_carries.execute(
        tx,
        period=name,
        account_id=[row["id"] for row in balances],
        transfer_id=[uuid_of(transfer.id) for transfer in transfers],
        amount=[row["amount"] for row in balances],
    )
    return await list_carries(tx, name)


def _month_after(first: date) -> date:
    if (first.year, first.month) == (date.max.year, 12):
        raise InvalidParameter(f"{first:%Y-%m} is the last month that a date can have", param="month")
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def _read_carry(row: Any) -> Carry:
    return Carry(
        account_id=UUID(int=row["account_id"].int),
        code=row["code"],
        currency=currency_of(row["ledger"]),
        transfer_id=UUID(int=row["transfer_id"].int),
        amount_minor=row["amount"],
        amount=in_major_units(row["amount"], row["ledger"]),
    )
