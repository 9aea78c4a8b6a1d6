"""Payment records: every payment with its refunds and its customer in one row, for lists and searches.

Promises: the rows are derived from events and can be rebuilt, from the events or from the tables, with the same bytes;
events may arrive in any order and any number of times; records lag by a known amount and decide nothing, and no payment
waits for them. They may live in a database of their own.
"""

from hutong.search.documents import RecordLine, record_document, record_line, to_csv
from hutong.search.model import PaymentRecord, RecordQuery, RecordStatus, SourceProgress
from hutong.search.projection import NEVER
from hutong.search.projector import as_of, project_events, read_progress
from hutong.search.rebuild import RebuildResult, rebuild_records
from hutong.search.search import export_records, find_profile, find_record, search_records
from hutong.search.statement import HeadingLanguage, StatementRow, statement_csv, statement_rows
from hutong.search.worker import PROJECT_EVERY_S, SCHEMA_PACKAGES, ProjectionWorker

__all__ = [
    "NEVER",
    "PROJECT_EVERY_S",
    "SCHEMA_PACKAGES",
    "HeadingLanguage",
    "PaymentRecord",
    "ProjectionWorker",
    "RebuildResult",
    "RecordLine",
    "RecordQuery",
    "RecordStatus",
    "SourceProgress",
    "StatementRow",
    "as_of",
    "export_records",
    "find_profile",
    "find_record",
    "project_events",
    "read_progress",
    "rebuild_records",
    "record_document",
    "record_line",
    "search_records",
    "statement_csv",
    "statement_rows",
    "to_csv",
]
