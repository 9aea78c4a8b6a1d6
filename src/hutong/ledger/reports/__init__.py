"""Reports of the books: transfers, holds, reversals, balances at the ends of days, the general ledger, statements.

Promises: the figures of a closed day do not change; a report about a day that is not closed is refused.
"""

from hutong.ledger.reports.balances import (
    DayEndBalance,
    LedgerLine,
    list_accounts_between,
    list_day_end_balances,
    list_subjects_between,
)
from hutong.ledger.reports.day_statements import list_day_statements, write_day_statements
from hutong.ledger.reports.merchant_balances import AccountBalance, MerchantBalance, merchant_balances
from hutong.ledger.reports.movements import Movement, booked_at, movement_between, stream_movements
from hutong.ledger.reports.transfers import (
    ListedReversal,
    ListedTransfer,
    OpenHold,
    TransferQuery,
    find_transfer,
    is_reversal,
    list_holds,
    list_reversals,
    list_transfers,
)

__all__ = [
    "AccountBalance",
    "DayEndBalance",
    "LedgerLine",
    "ListedReversal",
    "ListedTransfer",
    "MerchantBalance",
    "Movement",
    "OpenHold",
    "TransferQuery",
    "booked_at",
    "find_transfer",
    "is_reversal",
    "list_accounts_between",
    "list_day_end_balances",
    "list_day_statements",
    "list_holds",
    "list_reversals",
    "list_subjects_between",
    "list_transfers",
    "merchant_balances",
    "movement_between",
    "stream_movements",
    "write_day_statements",
]
