"""Reading: the transfers and balances of an account, accounts and transfers by their fields, limits on overdrafts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hutong import db
from hutong.errors import NotFound
from hutong.ledger.codec import account_of, check_numbers, signed, transfer_of, uuid_of
from hutong.ledger.model import (
    BALANCE_MAX,
    ID_MAX,
    TIMESTAMP_MAX,
    Account,
    AccountBalance,
    AccountFilter,
    AccountFilterFlags,
    QueryFilter,
    QueryFilterFlags,
    Transfer,
)
from hutong.ledger.statements import sql as _sql

ROWS_MAX = 8_192
_SIDES = int(AccountFilterFlags.DEBITS | AccountFilterFlags.CREDITS)


async def get_account_transfers(tx: db.Tx, given: AccountFilter) -> list[Transfer]:
    """The transfers of one account; `Ledger.get_account_transfers` is the face of this."""
    return [transfer_of(record[:13]) for record in await _account_rows(tx, given)]


async def get_account_balances(tx: db.Tx, given: AccountFilter) -> list[AccountBalance]:
    """The balances of one account after each of its transfers; empty unless it keeps its history."""
    check_numbers(given.account_id, 0, 0, 0)
    if not await _sql.keeps_history.fetchval(tx, uuid_of(given.account_id)):
        return []
    rows = await _account_rows(tx, given)
    return [AccountBalance(row[13], row[14], row[15], row[16], row[12]) for row in rows]


async def query_accounts(tx: db.Tx, given: QueryFilter) -> list[Account]:
    """Accounts by their fields."""
    arguments = _query_arguments(given)
    if arguments is None:
        return []
    reverse = bool(given.flags & QueryFilterFlags.REVERSED)
    records = await _sql.query_accounts.fetch(tx, *arguments, uuid_of(given.user_data_128), reverse)
    return [account_of(record) for record in records]


async def query_transfers(tx: db.Tx, given: QueryFilter) -> list[Transfer]:
    """Transfers by their fields."""
    arguments = _query_arguments(given)
    if arguments is None:
        return []
    reverse = bool(given.flags & QueryFilterFlags.REVERSED)
    if given.user_data_128:
        records = await _sql.query_transfers_of.fetch(tx, *arguments, uuid_of(given.user_data_128), reverse)
    elif reverse:
        records = await _sql.query_transfers_reversed.fetch(tx, *arguments)
    else:
        records = await _sql.query_transfers.fetch(tx, *arguments)
    return [transfer_of(record) for record in records]


async def set_overdraft_limit(
    tx: db.Tx, account_id: int, limit_minor: int, *, by: str, reason: str, now: datetime
) -> int:
    """Let an account that must not be overdrawn go below zero down to a limit, holds counted.

    A limit below what is overdrawn already refuses further debits and takes nothing back.

    Effects:
        Locks the account; records who changed what, why and when.

    Returns:
        The limit before.

    Errors:
        NotFound: no such account.
    """
    if not 0 <= limit_minor <= BALANCE_MAX:
        raise ValueError("an overdraft limit is an amount")
    old = await _sql.set_overdraft_limit.fetchval(tx, uuid_of(account_id), limit_minor, now, by, reason)
    if old is None:
        raise NotFound("no account has this id")
    return int(old)


async def _account_rows(tx: db.Tx, given: AccountFilter) -> Sequence[Any]:
    flags = int(given.flags)
    bounds = _bounds(given)
    check_numbers(given.account_id | given.user_data_128, given.user_data_64, given.user_data_32, given.code)
    if bounds is None or given.account_id in (0, ID_MAX) or not flags & _SIDES or flags >> 3:
        return []
    reverse = flags & AccountFilterFlags.REVERSED
    statement = _sql.account_transfers_reversed if reverse else _sql.account_transfers
    return await statement.fetch(
        tx, uuid_of(given.account_id), *bounds, uuid_of(given.user_data_128), signed(given.user_data_64),
        given.user_data_32, given.code, bool(flags & AccountFilterFlags.DEBITS),
        bool(flags & AccountFilterFlags.CREDITS), min(given.limit, ROWS_MAX),
    )  # fmt: skip


def _query_arguments(given: QueryFilter) -> tuple[int, ...] | None:
    """The arguments all queries share; None for a filter that is not valid, which finds nothing."""
    check_numbers(given.user_data_128, given.user_data_64, given.user_data_32 | given.ledger, given.code)
    bounds = _bounds(given)
    if bounds is None or int(given.flags) >> 1:
        return None
    return (
        *bounds, signed(given.user_data_64), given.user_data_32, given.ledger, given.code, min(given.limit, ROWS_MAX),
    )  # fmt: skip


def _bounds(given: AccountFilter | QueryFilter) -> tuple[int, int] | None:
    """The range of timestamps asked for, ends included; None if the filter is not valid."""
    least, most = given.timestamp_min, given.timestamp_max or TIMESTAMP_MAX - 1
    if not 0 <= least <= most < TIMESTAMP_MAX or given.limit <= 0:
        return None
    return least, most
