"""Accounts as finance sees them: found by owner, subject, currency and state, with limits; closed and reopened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from hutong import db, money
from hutong.errors import Conflict, InvalidParameter, NotFound
from hutong.ledger.accounting.amounts import currency_of, in_major_units, on_normal_side
from hutong.ledger.accounting.chart import Subject
from hutong.ledger.codec import uuid_of
from hutong.ledger.finance.subjects import list_subjects
from hutong.ledger.model import AccountFlags
from hutong.ledger.overdraft import set_overdraft_limit
from hutong.ledger.statements import sql as _sql

FLAGS = {
    "debits_must_not_exceed_credits": AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS,
    "credits_must_not_exceed_debits": AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS,
    "history": AccountFlags.HISTORY,
    "imported": AccountFlags.IMPORTED,
    "closed": AccountFlags.CLOSED,
}
"""The flags of an account by name."""


@dataclass(frozen=True, slots=True)
class AccountQuery:
    """A selection of accounts; None does not filter.

    Attributes:
        name: Part of the English or Chinese name of the subject.
        flags: Names of `FLAGS`, all of which the account has.
        after: The `cursor` of the last account of the previous page.
    """

    owner: UUID | None = None
    code: int | None = None
    name: str | None = None
    currency: str | None = None
    flags: tuple[str, ...] = ()
    closed: bool | None = None
    after: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account with its balance on its normal side, in minor and in major units.

    Attributes:
        currency: Empty for a ledger that keeps no currency.
        overdraft_limit_minor: How far an account that must not be overdrawn may go below zero.
        cursor: Its place in the order of creation.
    """

    account_id: UUID
    code: int
    name_en: str
    name_zh: str
    owner: UUID
    currency: str
    balance_minor: int
    balance: str
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int
    overdraft_limit_minor: int
    flags: tuple[str, ...]
    closed: bool
    opened_at: datetime
    cursor: int


@dataclass(frozen=True, slots=True)
class OverdraftChange:
    """A change of an account's overdraft limit."""

    old_limit_minor: int
    new_limit_minor: int
    changed_at: datetime
    changed_by: str
    reason: str


async def list_accounts(tx: db.Tx, query: AccountQuery) -> list[ListedAccount]:
    """Return a page of accounts, in the order of their creation.

    Errors:
        InvalidParameter: there is no such currency or flag.
    """
    if unknown := [flag for flag in query.flags if flag not in FLAGS]:
        raise InvalidParameter(f"there is no flag {unknown[0]}; flags are {', '.join(FLAGS)}", param="flag")
    subjects = await list_subjects(tx)
    codes = _codes(query, subjects)
    rows = await _sql.list_accounts.fetch(
        tx,
        after=query.after,
        owner=query.owner,
        ledger=None if query.currency is None else money.currency(query.currency).numeric,
        any_code=codes is None,
        codes=codes or [],
        flags=sum(int(FLAGS[flag]) for flag in set(query.flags)),
        closed=query.closed,
        limit=query.limit,
    )
    return [_listed(row, subjects) for row in rows]


async def find_account(tx: db.Tx, account_id: UUID) -> ListedAccount:
    """Return one account.

    Errors:
        NotFound: no account has this id.
    """
    rows = await _sql.accounts_of.fetch(tx, [account_id])
    if not rows:
        raise NotFound("no account has this id")
    return _listed(rows[0], await list_subjects(tx))


async def close_account(tx: db.Tx, account_id: UUID, *, by: str, reason: str, now: datetime) -> ListedAccount:
    """Close an account: from now on, the ledger refuses every transfer on it.

    Effects:
        Locks the account; records who closed it, why and when.

    Errors:
        NotFound: no account has this id.
        Conflict: it is closed already, has a balance or open holds, or a standing order uses it.
    """
    account = await _lock(tx, account_id)
    if account["flags"] & AccountFlags.CLOSED:
        raise Conflict("the account is closed already")
    balance = account["debits_posted"] - account["credits_posted"]
    if balance:
        raise Conflict(f"the account has a balance of {abs(balance)} in minor units")
    if account["debits_pending"] or account["credits_pending"]:
        raise Conflict("the account has open holds")
    order = await _sql.order_with_account.fetchval(tx, account_id)
    if order is not None:
        raise Conflict(f"the standing order {order} uses the account; stop it first")
    await _sql.set_account_closed.execute(tx, account_id=account_id, closed=True, now=now, by=by, reason=reason)
    return await find_account(tx, account_id)


async def reopen_account(tx: db.Tx, account_id: UUID, *, by: str, reason: str, now: datetime) -> ListedAccount:
    """Reopen an account that `close_account` closed. Effects as there.

    Errors:
        NotFound: no account has this id.
        Conflict: it is not closed, or a transfer closed it.
    """
    account = await _lock(tx, account_id)
    if not account["flags"] & AccountFlags.CLOSED:
        raise Conflict("the account is not closed")
    if not await _sql.last_closing.fetchval(tx, account_id):
        raise Conflict("the account was closed by a closing transfer; void that transfer to reopen it")
    await _sql.set_account_closed.execute(tx, account_id=account_id, closed=False, now=now, by=by, reason=reason)
    return await find_account(tx, account_id)


async def limit_overdraft(
    tx: db.Tx, account_id: UUID, limit_minor: int, *, by: str, reason: str, now: datetime
) -> tuple[int, ListedAccount]:
    """Let an account that must not be overdrawn go below zero down to a limit.

    Returns:
        The previous limit, and the account.

    Errors:
        NotFound: no account has this id.
        InvalidParameter: the limit is no amount, or the account may be overdrawn without a limit.
    """
    account = await find_account(tx, account_id)
    if not 0 <= limit_minor <= money.AMOUNT_MINOR_MAX:
        raise InvalidParameter("an overdraft limit is an amount from 0 to 2^63-1", param="limit_minor")
    if "debits_must_not_exceed_credits" not in account.flags:
        raise InvalidParameter("the account has no limit that an overdraft could exceed", param="account_id")
    previous = await set_overdraft_limit(tx, account_id.int, limit_minor, by=by, reason=reason, now=now)
    return previous, await find_account(tx, account_id)


async def list_overdrafts(tx: db.Tx, account_id: UUID) -> list[OverdraftChange]:
    """Return every change of the overdraft limit of an account, newest first.

    Errors:
        NotFound: no account has this id.
    """
    await find_account(tx, account_id)
    return [OverdraftChange(**row) for row in await _sql.list_overdrafts.fetch(tx, account_id)]


async def _lock(tx: db.Tx, account_id: UUID) -> asyncpg.Record:
    account = await _sql.lock_account.fetchrow(tx, uuid_of(account_id.int))
    if account is None:
        raise NotFound("no account has this id")
    return account


def _codes(query: AccountQuery, subjects: dict[int, Subject]) -> Sequence[int] | None:
    """Return the codes of the wanted subjects; None for all."""
    if query.name is None:
        return None if query.code is None else [query.code]
    part = query.name.lower()
    named = [code for code, s in subjects.items() if part in s.name_en.lower() or part in s.name_zh]
    return named if query.code is None else [code for code in named if code == query.code]


def _listed(row: Any, subjects: dict[int, Subject]) -> ListedAccount:
    subject = subjects.get(row["code"])
    balance = on_normal_side(row["code"], row["debits_posted"], row["credits_posted"])
    return ListedAccount(
        account_id=UUID(int=row["id"].int),
        code=row["code"],
        name_en=subject.name_en if subject else "",
        name_zh=subject.name_zh if subject else "",
        owner=UUID(int=row["user_data_128"].int),
        currency=currency_of(row["ledger"]),
        balance_minor=balance,
        balance=in_major_units(balance, row["ledger"]),
        debits_posted=row["debits_posted"],
        credits_posted=row["credits_posted"],
        debits_pending=row["debits_pending"],
        credits_pending=row["credits_pending"],
        overdraft_limit_minor=row["overdraft_limit"],
        flags=tuple(name for name, flag in FLAGS.items() if row["flags"] & flag),
        closed=bool(row["flags"] & AccountFlags.CLOSED),
        opened_at=datetime.fromtimestamp(row["timestamp"] // 1_000 / 1_000_000, UTC),
        cursor=row["timestamp"],
    )
