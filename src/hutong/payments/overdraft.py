"""Agreed overdrafts: how far refunds may take a merchant's balance below zero."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from hutong import db, ledger
from hutong.payments.postings import MERCHANT_PENDING


async def agree_overdraft(
    tx: db.Tx, merchant_id: UUID, currency: str, limit_minor: int, *, by: str, reason: str, now: datetime
) -> int:
    """Set the limit below zero of a merchant's pending settlement (2001); the ledger itself enforces it.

    Effects:
        Opens the account if the merchant has none yet; records the agreement with its author, reason and time.

    Returns:
        The previous limit.

    Errors:
        InvalidParameter: no such currency.
    """
    await ledger.open_accounts(tx, [(MERCHANT_PENDING, merchant_id, currency)], now=now)
    account_id = ledger.account_id(MERCHANT_PENDING, merchant_id, currency)
    return await ledger.set_overdraft_limit(tx, account_id, limit_minor, by=by, reason=reason, now=now)
