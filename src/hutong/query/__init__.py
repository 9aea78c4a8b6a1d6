"""Bills: every payment with its refunds and its customer in one row, for lists and searches.

Promises: the rows are made of events and can be made again, from events or from the tables, with the same bytes; events
may come in any order and any number of times; what stands here is behind by a known amount and decides nothing: a
payment never waits for it. It may live in a database of its own.
"""

from hutong.query.apply import apply
from hutong.query.errors import EventsArchived, SearchTooWide
from hutong.query.facts import facts_of
from hutong.query.follow import follow, progress
from hutong.query.model import Bill, BillStatus, Page, PaymentFact, Progress, RefundFact, Wanted
from hutong.query.rebuild import Digest, Rebuilt, digest, rebuild
from hutong.query.search import export, find_bill, search

ROOMS = ("db", "query")
"""Whose migrations a database of its own needs."""

__all__ = [
    "ROOMS",
    "Bill",
    "BillStatus",
    "Digest",
    "EventsArchived",
    "Page",
    "PaymentFact",
    "Progress",
    "Rebuilt",
    "RefundFact",
    "SearchTooWide",
    "Wanted",
    "apply",
    "digest",
    "export",
    "facts_of",
    "find_bill",
    "follow",
    "progress",
    "rebuild",
    "search",
]
