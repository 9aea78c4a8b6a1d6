"""Reports of a day: of an account, of a merchant, and the rows that merchants reconcile their own books by."""

from hutong.reconciliation.reports.daily import daily_report
from hutong.reconciliation.reports.merchant_rows import write_merchant_rows
from hutong.reconciliation.reports.statement import StatementPage, merchant_statement

__all__ = ["StatementPage", "daily_report", "merchant_statement", "write_merchant_rows"]
