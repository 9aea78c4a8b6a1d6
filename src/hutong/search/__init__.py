"""Bills: every payment with its refunds and its customer in one row, for lists and searches.

Promises: the rows are made of events and can be made again, from events or from the tables, with the same bytes; events
may come in any order and any number of times; what stands here is behind by a known amount and decides nothing: a
payment never waits for it. It may live in a database of its own.
"""

from hutong.search.documents import BillLine, bill_document, bill_line, to_csv
from hutong.search.errors import EventsArchived, SearchTooWide
from hutong.search.facts import facts_of
from hutong.search.model import Bill, BillStatus, Facts, Page, PaymentFact, ProfileFact, Progress, RefundFact, Wanted
from hutong.search.projection import apply
from hutong.search.projector import as_of, follow, progress
from hutong.search.rebuild import Digest, Rebuilt, digest, rebuild
from hutong.search.search import export, find_bill, search, search_plan
from hutong.search.worker import FOLLOW_EVERY_S, ROOMS, Follower

__all__ = [
    "FOLLOW_EVERY_S",
    "ROOMS",
    "Bill",
    "BillLine",
    "BillStatus",
    "Digest",
    "EventsArchived",
    "Facts",
    "Follower",
    "Page",
    "PaymentFact",
    "ProfileFact",
    "Progress",
    "Rebuilt",
    "RefundFact",
    "SearchTooWide",
    "Wanted",
    "apply",
    "as_of",
    "bill_document",
    "bill_line",
    "digest",
    "export",
    "facts_of",
    "find_bill",
    "follow",
    "progress",
    "rebuild",
    "search",
    "search_plan",
    "to_csv",
]
