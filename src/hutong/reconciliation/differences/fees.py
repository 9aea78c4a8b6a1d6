"""The actual fees of what has matched, booked as the channel's cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db, ledger
from hutong.ledger import AccountOwner, EventCode, Posting


@dataclass(frozen=True, slots=True)
class MatchedFee:
    """The fees by which the cost of matched rows changes: below zero where fewer have matched than before."""

    currency: str
    fee_minor: int


async def book_matched(
    tx: db.Tx, *, account_id: UUID, fees: Sequence[MatchedFee], now: datetime, new_id: Callable[[], UUID]
) -> None:
    """Book the change of the fees that a channel has taken for what has matched: one transfer for each currency.

    Repeat:
        Each call books. The caller keeps what was booked for a day, in the same transaction, and hands in the change.

    Errors:
        As `ledger.book`.
    """
    chains = []
    for currency in sorted({fee.currency for fee in fees}):
        change = sum(fee.fee_minor for fee in fees if fee.currency == currency)
        if change:
            leg = "cost" if change > 0 else "returned"
            posting = Posting(EventCode.CHANNEL_COST, leg, abs(change), new_id())
            owners = {AccountOwner.CHANNEL_ACCOUNT: account_id}
            chains.append(ledger.Chain([posting], owners, currency, account_id))
    if chains:
        await ledger.book(tx, chains, now=now)
