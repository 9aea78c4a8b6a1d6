"""The books for finance: accounts and the chart, manual entries, closed periods, standing orders, memo ledgers.

Promises: a period is closed once, and an account only without a balance; a refused request writes nothing.
"""

from hutong.ledger.accounting.chart import Subject
from hutong.ledger.accounting.memo import (
    MemoEntry,
    MemoLedger,
    MemoTotal,
    list_memo_entries,
    list_memo_ledgers,
    list_memo_totals,
)
from hutong.ledger.accounting.standing_orders import (
    StandingOrder,
    add_standing_order,
    list_standing_orders,
    stop_standing_order,
)
from hutong.ledger.finance.accounts import (
    AccountQuery,
    ListedAccount,
    close_account,
    find_account,
    limit_overdraft,
    list_accounts,
    list_overdrafts,
    reopen_account,
)
from hutong.ledger.finance.entries import EntryLine, Side, book_entry, book_transfer, check_entry
from hutong.ledger.finance.periods import Carry, Period, close_month, close_year, list_carries, list_periods
from hutong.ledger.finance.subjects import add_subject, list_subjects, make_subject, open_account

__all__ = [
    "AccountQuery",
    "Carry",
    "EntryLine",
    "ListedAccount",
    "MemoEntry",
    "MemoLedger",
    "MemoTotal",
    "Period",
    "Side",
    "StandingOrder",
    "Subject",
    "add_standing_order",
    "add_subject",
    "book_entry",
    "book_transfer",
    "check_entry",
    "close_account",
    "close_month",
    "close_year",
    "find_account",
    "limit_overdraft",
    "list_accounts",
    "list_carries",
    "list_memo_entries",
    "list_memo_ledgers",
    "list_memo_totals",
    "list_overdrafts",
    "list_periods",
    "list_standing_orders",
    "list_subjects",
    "make_subject",
    "open_account",
    "reopen_account",
    "stop_standing_order",
]
