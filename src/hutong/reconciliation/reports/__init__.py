"""Reports of a day: of an account, of a merchant, and the rows that merchants reconcile their own books by."""

from hutong.reconciliation.reports.daily import daily_report
from hutong.reconciliation.reports.figures import explained, read_figures
from hutong.reconciliation.reports.merchant_rows import MerchantSummary, summarize_merchants, write_differing_rows
from hutong.reconciliation.reports.statement import StatementPage, merchant_statement

__all__ = [
    "MerchantSummary",
    "StatementPage",
    "daily_report",
    "explained",
    "merchant_statement",
    "read_figures",
    "summarize_merchants",
    "write_differing_rows",
]
