"""Reconciliation: bills in, every row matched, every difference named, owned and brought to its end.

Promises: one side is the ledger and the other the original bytes; a file counts whole or not at all; nothing is booked
by likelihood; a difference keeps its identity; and everything can be computed again from the kept originals.
"""

from hutong.reconciliation import bank, differences, files, generate, layouts, matching, reports, runs, verify
from hutong.reconciliation.archive import RunFolder
from hutong.reconciliation.computation import Limits
from hutong.reconciliation.expected import read_windows
from hutong.reconciliation.layers import LAYERS, SideSource
from hutong.reconciliation.matching.model import MatchJob
from hutong.reconciliation.model import (
    ACCOUNT_PREFIXES,
    FILE_PREFIX,
    RUN_PREFIX,
    Difference,
    DifferenceAction,
    DifferenceState,
    FileSource,
    FileState,
    Layer,
)
from hutong.reconciliation.parties import Counterparty, account_names, find_party, list_parties
from hutong.reconciliation.requests import REQUEST_PREFIX, RunRequest, find_request, list_requests, request_run
from hutong.reconciliation.tolerances import read_tolerances
from hutong.reconciliation.workplace import Reconciliation, ReconciliationConfig

__all__ = [
    "ACCOUNT_PREFIXES",
    "FILE_PREFIX",
    "LAYERS",
    "REQUEST_PREFIX",
    "RUN_PREFIX",
    "Counterparty",
    "Difference",
    "DifferenceAction",
    "DifferenceState",
    "FileSource",
    "FileState",
    "Layer",
    "Limits",
    "MatchJob",
    "Reconciliation",
    "ReconciliationConfig",
    "RunFolder",
    "RunRequest",
    "SideSource",
    "account_names",
    "bank",
    "differences",
    "files",
    "find_party",
    "find_request",
    "generate",
    "layouts",
    "list_parties",
    "list_requests",
    "matching",
    "read_tolerances",
    "read_windows",
    "reports",
    "request_run",
    "runs",
    "verify",
]
