"""Differences: what the sides do not agree about, each owned by a person and brought to its end with a voucher.

Promises: a difference keeps its identity and its history in every run; what its money waits for lies in suspense, and
suspense holds nothing else; long and short are never netted; where money moves, two persons have looked at it.
"""

from hutong.reconciliation.differences.bulk import preview, preview_document, refusal_document, select_decisions
from hutong.reconciliation.differences.cases import (
    BULK_MAX,
    DifferenceFilter,
    assign,
    count_differences,
    find_difference,
    history,
    list_all_differences,
    list_differences,
)
from hutong.reconciliation.differences.closing import closed_keys
from hutong.reconciliation.differences.decisions import CaseDecision, CaseDecisions, Checked, decide, list_proposals
from hutong.reconciliation.differences.documents import count_document, difference_document, history_document
from hutong.reconciliation.differences.drive import drive_approved
from hutong.reconciliation.differences.fees import MatchedFee, book_matched
from hutong.reconciliation.differences.partners import suggest_partners
from hutong.reconciliation.differences.record import RecordedDifferences, record
from hutong.reconciliation.differences.reported import take_over_reports
from hutong.reconciliation.differences.rules import check_duties
from hutong.reconciliation.differences.settle import approval_handlers
from hutong.reconciliation.differences.sheets import (
    SHEET_BYTES_MAX,
    read_sheet,
    write_faults,
    write_sheet,
    write_workbook,
)
from hutong.reconciliation.differences.suspense import check_suspense
from hutong.reconciliation.differences.watch import report_open_cases

__all__ = [
    "BULK_MAX",
    "SHEET_BYTES_MAX",
    "CaseDecision",
    "CaseDecisions",
    "Checked",
    "DifferenceFilter",
    "MatchedFee",
    "RecordedDifferences",
    "approval_handlers",
    "assign",
    "book_matched",
    "check_duties",
    "check_suspense",
    "closed_keys",
    "count_differences",
    "count_document",
    "decide",
    "difference_document",
    "drive_approved",
    "find_difference",
    "history",
    "history_document",
    "list_all_differences",
    "list_differences",
    "list_proposals",
    "preview",
    "preview_document",
    "read_sheet",
    "record",
    "refusal_document",
    "report_open_cases",
    "select_decisions",
    "suggest_partners",
    "take_over_reports",
    "write_faults",
    "write_sheet",
    "write_workbook",
]
