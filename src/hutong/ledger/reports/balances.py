"""Balances from the closed days: of accounts at the end of a day, and of accounts and subjects between two days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from hutong import db
from hutong.errors import InvalidParameter
from hutong.ledger.accounting.amounts import currency_of, in_major_units, on_normal_side
from hutong.ledger.accounting.closed_days import require_closed
from hutong.ledger.finance.subjects import list_subjects
from hutong.ledger.statements import sql as _sql


@dataclass(frozen=True, slots=True)
class DayEndBalance:
    """The balance of an account at the end of a closed day, on its normal side.

    Attributes:
        last_moved: The last day on which the account had moved by then.
    """

    account_id: UUID
    code: int
    name_en: str
    name_zh: str
    owner: UUID
    currency: str
    last_moved: date
    balance_minor: int
    balance: str


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A subject, or one account of it, between two closed days: opening and closing are on the normal side.

    Attributes:
        account_id, owner: None for the sums of a subject.
    """

    code: int
    name_en: str
    name_zh: str
    account_id: UUID | None
    owner: UUID | None
    currency: str
    opening_minor: int
    debits_minor: int
    credits_minor: int
    closing_minor: int
    opening: str
    debits: str
    credits: str
    closing: str


async def list_day_end_balances(
    tx: db.Tx, day: date, *, code: int | None = None, after: UUID | None = None, limit: int = 100
) -> list[DayEndBalance]:
    """Return a page of the accounts that had moved by the end of a closed day, in the order of their ids.

    Errors:
        Conflict: the day is not closed.
    """
    await require_closed(tx, day)
    subjects = await list_subjects(tx)
    found = []
    rows = await _sql.day_end_balances.fetch(tx, day=day, code=code, after=after or UUID(int=0), limit=limit)
    for row in rows:
        subject = subjects.get(row["code"])
        balance = on_normal_side(row["code"], row["closing_debits"], row["closing_credits"])
        found.append(
            DayEndBalance(
                account_id=UUID(int=row["id"].int),
                code=row["code"],
                name_en=subject.name_en if subject else "",
                name_zh=subject.name_zh if subject else "",
                owner=UUID(int=row["owner"].int),
                currency=currency_of(row["ledger"]),
                last_moved=row["day"],
                balance_minor=balance,
                balance=in_major_units(balance, row["ledger"]),
            )
        )
    return found


async def list_subjects_between(tx: db.Tx, since: date, until: date) -> list[LedgerLine]:
    """Return the general ledger by subject between two closed days, both included.

    Errors:
        InvalidParameter: the first day is after the last.
        Conflict: one of the days is not closed.
    """
    await _require_range(tx, since, until)
    rows = await _sql.subjects_between.fetch(tx, since=since, until=until)
    return await _lines(tx, rows)


async def list_accounts_between(
    tx: db.Tx, since: date, until: date, *, code: int | None = None, after: UUID | None = None, limit: int = 100
) -> list[LedgerLine]:
    """Return a page of the general ledger by account, in the order of the accounts' ids. Errors as by subject."""
    await _require_range(tx, since, until)
    rows = await _sql.accounts_between.fetch(
        tx, since=since, until=until, code=code, after=after or UUID(int=0), limit=limit
    )
    return await _lines(tx, rows)


async def _require_range(tx: db.Tx, since: date, until: date) -> None:
    if since > until:
        raise InvalidParameter(f"the first day {since} is after the last day {until}", param="since")
    await require_closed(tx, since, param="since")
    await require_closed(tx, until, param="until")


async def _lines(tx: db.Tx, rows: list[Any]) -> list[LedgerLine]:
    subjects = await list_subjects(tx)
    lines = []
    for row in rows:
        code, ledger = row["code"], row["ledger"]
        subject = subjects.get(code)
        debits, credits = int(row["debits"]), int(row["credits"])  # noqa: A001 - the ledger's term
        opening = on_normal_side(code, row["opening_debits"] or 0, row["opening_credits"] or 0)
        closing = opening + on_normal_side(code, debits, credits)
        lines.append(
            LedgerLine(
                code=code,
                name_en=subject.name_en if subject else "",
                name_zh=subject.name_zh if subject else "",
                account_id=UUID(int=row["id"].int) if "id" in row else None,
                owner=UUID(int=row["owner"].int) if "owner" in row else None,
                currency=currency_of(ledger),
                opening_minor=opening,
                debits_minor=debits,
                credits_minor=credits,
                closing_minor=closing,
                opening=in_major_units(opening, ledger),
                debits=in_major_units(debits, ledger),
                credits=in_major_units(credits, ledger),
                closing=in_major_units(closing, ledger),
            )
        )
    return lines
