"""Bills: every payment with its refunds and its customer in one row, for lists and searches.

Promises: the rows are made of events and can be made again, from events or from the tables, with the same bytes; events
may come in any order and any number of times; what stands here is behind by a known amount and decides nothing: a
payment never waits for it. It may live in a database of its own.
"""

from hutong.query.apply import apply
from hutong.query.document import BillLine, bill_document, bill_line, to_csv
from hutong.query.errors import EventsArchived, SearchTooWide
from hutong.query.facts import facts_of
from hutong.query.follow import as_of, follow, progress
from hutong.query.follower import FOLLOW_EVERY_S, ROOMS, Follower
from hutong.query.model import Bill, BillStatus, Facts, Page, PaymentFact, ProfileFact, Progress, RefundFact, Wanted
from hutong.query.rebuild import Digest, Rebuilt, digest, rebuild
from hutong.query.search import export, find_bill, search, search_plan

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
