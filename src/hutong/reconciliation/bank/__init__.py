"""Bank statements, the accounts that they are of, and the bookings of money that has arrived.

Promises: a statement counts whole or not at all; its balances are proven before anything is read from it; only booked
entries of the account itself become rows; and money is booked once, whatever comes twice.
"""

from hutong.reconciliation.bank.accounts import BankAccount, add_account, find_account, list_accounts
from hutong.reconciliation.bank.arrivals import ArrivalsBooked, book_arrivals
from hutong.reconciliation.bank.fetch import fetch_statement
from hutong.reconciliation.bank.model import BANK_WINDOW, FORMATS
from hutong.reconciliation.bank.receivers import SETTING, receivers_of
from hutong.reconciliation.bank.results import BatchArrival, read_arrivals
from hutong.reconciliation.bank.statement import finish_rows, normalise_statement

__all__ = [
    "BANK_WINDOW",
    "FORMATS",
    "SETTING",
    "ArrivalsBooked",
    "BankAccount",
    "BatchArrival",
    "add_account",
    "book_arrivals",
    "fetch_statement",
    "find_account",
    "finish_rows",
    "list_accounts",
    "normalise_statement",
    "read_arrivals",
    "receivers_of",
]
