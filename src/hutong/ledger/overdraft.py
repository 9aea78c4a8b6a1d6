"""Overdraft limits: how far an account that must not be overdrawn may go below zero by agreement."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db
from hutong.errors import NotFound
from hutong.ledger.accounting.chart import MERCHANT_PENDING, account_id
from hutong.ledger.accounts import open_accounts
from hutong.ledger.codec import uuid_of
from hutong.ledger.model import BALANCE_MAX
from hutong.ledger.statements import sql as _sql


async def agree_overdraft(
    tx: db.Tx, merchant_id: UUID, currency: str, limit_minor: int, *, by: str, reason: str, now: datetime
) -> int:
    """Let refunds take a merchant's pending settlement (2001) below zero, down to a limit that the ledger enforces.

    Effects:
        Opens the account if the merchant has none yet; records who agreed to the limit, why and when.

    Returns:
        The previous limit.

    Errors:
        InvalidParameter: there is no such currency.
    """
    await open_accounts(tx, [(MERCHANT_PENDING, merchant_id, currency)], now=now)
    account = account_id(MERCHANT_PENDING, merchant_id, currency)
    return await set_overdraft_limit(tx, account, limit_minor, by=by, reason=reason, now=now)


async def set_overdraft_limit(
    tx: db.Tx, account_id: int, limit_minor: int, *, by: str, reason: str, now: datetime
) -> int:
    """Let an account that must not be overdrawn go below zero down to a limit, holds included.

    A limit below the current overdraft refuses further debits and takes nothing back.

    Effects:
        Locks the account; records who changed the limit, why and when.

    Returns:
        The previous limit.

    Errors:
        NotFound: no account has this id.
    """
    if not 0 <= limit_minor <= BALANCE_MAX:
        raise ValueError("an overdraft limit is an amount from 0 to 2^63-1")
    previous = await _sql.set_overdraft_limit.fetchval(tx, uuid_of(account_id), limit_minor, now, by, reason)
    if previous is None:
        raise NotFound("no account has this id")
    return int(previous)
