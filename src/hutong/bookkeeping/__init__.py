"""The acts of people on the books: each with its person and reason in the audit journal, large ones by two persons.

Promises: a manual entry takes two persons, and so does a booking or reversal above the limit of one; an act and its
entry in the journal are committed together.
"""

from hutong.bookkeeping.accounts import (
    add_subject,
    agree_overdraft,
    close_account,
    open_account,
    reopen_account,
    set_overdraft_limit,
)
from hutong.bookkeeping.bookings import (
    APPROVAL_HANDLERS,
    Booked,
    Booking,
    Reversed,
    book_by_hand,
    propose_entry,
    reverse,
)
from hutong.bookkeeping.limits import read_limits
from hutong.bookkeeping.person import Person
from hutong.bookkeeping.schedule import (
    add_standing_order,
    archive,
    close_month,
    close_year,
    enter_memo,
    stop_standing_order,
)

__all__ = [
    "APPROVAL_HANDLERS",
    "Booked",
    "Booking",
    "Person",
    "Reversed",
    "add_standing_order",
    "add_subject",
    "agree_overdraft",
    "archive",
    "book_by_hand",
    "close_account",
    "close_month",
    "close_year",
    "enter_memo",
    "open_account",
    "propose_entry",
    "read_limits",
    "reopen_account",
    "reverse",
    "set_overdraft_limit",
    "stop_standing_order",
]
