"""Bills: every payment with its refunds and its customer in one row, for lists and searches.

Promises: the rows are made of events and can be made again, from events or from the tables, with the same bytes; events
may come in any order and any number of times; what stands here is behind by a known amount and decides nothing: a
payment never waits for it. It may live in a database of its own.
"""

from hutong.search.documents import RecordLine, record_document, record_line, to_csv
from hutong.search.errors import EventsArchived, SearchTooWide
from hutong.search.facts import facts_of
from hutong.search.model import (
    Facts,
    Page,
    PaymentFact,
    PaymentRecord,
    ProfileFact,
    Progress,
    RecordQuery,
    RecordStatus,
    RefundFact,
)
from hutong.search.projection import apply
from hutong.search.projector import as_of, follow, progress
from hutong.search.rebuild import Digest, Rebuilt, digest, rebuild
from hutong.search.search import export, find_record, search, search_plan
from hutong.search.worker import FOLLOW_EVERY_S, SCHEMAS, ProjectionWorker

__all__ = [
    "FOLLOW_EVERY_S",
    "SCHEMAS",
    "Digest",
    "EventsArchived",
    "Facts",
    "Page",
    "PaymentFact",
    "PaymentRecord",
    "ProfileFact",
    "Progress",
    "ProjectionWorker",
    "Rebuilt",
    "RecordLine",
    "RecordQuery",
    "RecordStatus",
    "RefundFact",
    "SearchTooWide",
    "apply",
    "as_of",
    "digest",
    "export",
    "facts_of",
    "find_record",
    "follow",
    "progress",
    "rebuild",
    "record_document",
    "record_line",
    "search",
    "search_plan",
    "to_csv",
]
