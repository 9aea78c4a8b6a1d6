"""Files: how bills and bank statements come in, and what becomes of each."""

from hutong.reconciliation.files.fetch import Fetch, fetch_day, fetch_due, list_fetches, unfetched_bills
from hutong.reconciliation.files.read import read_file, read_received
from hutong.reconciliation.files.receive import Incoming, check_name, input_of, receive, staging
from hutong.reconciliation.files.store import file_document, files_that_count, find_file, list_files
from hutong.reconciliation.parsing import check_layout

__all__ = [
    "Fetch",
    "Incoming",
    "check_layout",
    "check_name",
    "fetch_day",
    "fetch_due",
    "file_document",
    "files_that_count",
    "find_file",
    "input_of",
    "list_fetches",
    "list_files",
    "read_file",
    "read_received",
    "receive",
    "staging",
    "unfetched_bills",
]
