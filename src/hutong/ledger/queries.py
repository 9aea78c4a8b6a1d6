"""The queries of TigerBeetle: the transfers and balances of an account, accounts and transfers by their fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hutong import db
from hutong.ledger.codec import check_numbers, read_account, read_transfer, signed, uuid_of
from hutong.ledger.model import (
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
_read_balance = db.reader(
    AccountBalance, ("debits_pending", "debits_posted", "credits_pending", "credits_posted", "timestamp")
)


async def get_account_transfers(tx: db.Tx, query: AccountFilter) -> list[Transfer]:
    """Return the transfers of one account, as `Ledger.get_account_transfers` promises."""
    return [read_transfer(record) for record in await _account_rows(tx, query)]


async def get_account_balances(tx: db.Tx, query: AccountFilter) -> list[AccountBalance]:
    """Return the balances of one account after each of its transfers; none unless it keeps its history."""
    check_numbers(query.account_id, 0, 0, 0)
    if not await _sql.keeps_history.fetchval(tx, uuid_of(query.account_id)):
        return []
    return [_read_balance(record) for record in await _account_rows(tx, query)]


async def query_accounts(tx: db.Tx, query: QueryFilter) -> list[Account]:
    """Return accounts by their fields."""
    arguments = _query_arguments(query)
    if arguments is None:
        return []
    reverse = bool(query.flags & QueryFilterFlags.REVERSED)
    records = await _sql.query_accounts.fetch(
        tx, user_data_128=uuid_of(query.user_data_128), reversed=reverse, **arguments
    )
    return [read_account(record) for record in records]


async def query_transfers(tx: db.Tx, query: QueryFilter) -> list[Transfer]:
    """Return transfers by their fields."""
    arguments = _query_arguments(query)
    if arguments is None:
        return []
    reverse = bool(query.flags & QueryFilterFlags.REVERSED)
    if query.user_data_128:
        records = await _sql.query_transfers_of.fetch(
            tx, user_data_128=uuid_of(query.user_data_128), reversed=reverse, **arguments
        )
    elif reverse:
        records = await _sql.query_transfers_reversed.fetch(tx, **arguments)
    else:
        records = await _sql.query_transfers.fetch(tx, **arguments)
    return [read_transfer(record) for record in records]


async def _account_rows(tx: db.Tx, query: AccountFilter) -> Sequence[Any]:
    flags = int(query.flags)
    bounds = _bounds(query)
    check_numbers(query.account_id | query.user_data_128, query.user_data_64, query.user_data_32, query.code)
    if bounds is None or query.account_id in (0, ID_MAX) or not flags & _SIDES or flags >> 3:
        return []
    reverse = flags & AccountFilterFlags.REVERSED
    statement = _sql.account_transfers_reversed if reverse else _sql.account_transfers
    return await statement.fetch(
        tx,
        account_id=uuid_of(query.account_id),
        user_data_128=uuid_of(query.user_data_128),
        user_data_64=signed(query.user_data_64),
        user_data_32=query.user_data_32,
        code=query.code,
        debits=bool(flags & AccountFilterFlags.DEBITS),
        credits=bool(flags & AccountFilterFlags.CREDITS),
        limit=min(query.limit, ROWS_MAX),
        **bounds,
    )


def _query_arguments(query: QueryFilter) -> dict[str, Any] | None:
    """Return the arguments that all queries share; None for a filter that is not valid, which matches nothing."""
    check_numbers(query.user_data_128, query.user_data_64, query.user_data_32 | query.ledger, query.code)
    bounds = _bounds(query)
    if bounds is None or int(query.flags) >> 1:
        return None
    return {
        "user_data_64": signed(query.user_data_64),
        "user_data_32": query.user_data_32,
        "ledger": query.ledger,
        "code": query.code,
        "limit": min(query.limit, ROWS_MAX),
        **bounds,
    }


def _bounds(query: AccountFilter | QueryFilter) -> dict[str, Any] | None:
    """Return the requested range of timestamps, both ends included; None if the filter is not valid."""
    least, most = query.timestamp_min, query.timestamp_max or TIMESTAMP_MAX - 1
    if not 0 <= least <= most < TIMESTAMP_MAX or query.limit <= 0:
        return None
    return {"least": least, "most": most}
