"""Balances of a merchant, as the merchant's accounts have them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from hutong import db
from hutong.ledger.accounting.amounts import currency_of
from hutong.ledger.accounting.chart import (
    DISPUTE_HELD,
    MERCHANT_AVAILABLE,
    MERCHANT_PAYOUT_FUNDS,
    MERCHANT_PENDING,
)
from hutong.ledger.statements import sql as _sql


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """The balance of one account, on the credit side.

    Attributes:
        balance_minor: What is booked for good.
        incoming_minor, outgoing_minor: What is held for it and from it, and neither booked nor released yet.
    """

    balance_minor: int = 0
    incoming_minor: int = 0
    outgoing_minor: int = 0


@dataclass(frozen=True, slots=True)
class MerchantBalance:
    """A merchant's balances in one currency.

    Attributes:
        pending: Captured and not settled; refunds are taken from it.
        available: Settled, to be paid out.
        payout_funds: For payouts to others.
        disputed: Held for disputes.
        overdraft_limit_minor: How far `pending` may go below zero, by agreement.
    """

    currency: str
    pending: AccountBalance
    available: AccountBalance
    payout_funds: AccountBalance
    disputed: AccountBalance
    overdraft_limit_minor: int

    @property
    def refundable_minor(self) -> int:
        """What refunds can take now, as the ledger decides it."""
        return max(self.pending.balance_minor - self.pending.outgoing_minor + self.overdraft_limit_minor, 0)


async def merchant_balances(tx: db.Tx, merchant_id: UUID) -> list[MerchantBalance]:
    """Return a merchant's balances, one for each currency that has an account, in the order of the currencies' codes.

    Reads the accounts' own sums, however many transfers there are.
    """
    subjects = [MERCHANT_PENDING, MERCHANT_AVAILABLE, MERCHANT_PAYOUT_FUNDS, DISPUTE_HELD]
    accounts: dict[int, dict[int, AccountBalance]] = {}
    limits: dict[int, int] = {}
    for row in await _sql.balances_of_owner.fetch(tx, merchant_id, subjects):
        balance = row["credits_posted"] - row["debits_posted"]
        of_ledger = accounts.setdefault(row["ledger"], {})
        of_ledger[row["code"]] = AccountBalance(balance, row["credits_pending"], row["debits_pending"])
        if row["code"] == MERCHANT_PENDING:
            limits[row["ledger"]] = row["overdraft_limit"]
    none = AccountBalance()
    balances = []
    for number, of_ledger in accounts.items():
        pending, available, payout_funds, disputed = (of_ledger.get(code, none) for code in subjects)
        currency, limit = currency_of(number), limits.get(number, 0)
        balances.append(MerchantBalance(currency, pending, available, payout_funds, disputed, limit))
    return sorted(balances, key=lambda balance: balance.currency)
