"""/v1/operator/reconciliation: bills and bank statements against the books."""

from hutong.api.operator.reconciliation import bank_accounts, differences, files, reports, runs, sheets

ROUTERS = (
    sheets.router,
    sheets.uploads,
    differences.router,
    files.router,
    files.uploads,
    runs.router,
    reports.router,
    bank_accounts.router,
)
