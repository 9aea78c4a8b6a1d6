"""Routes for operators."""

from hutong.api.operator import (
    approvals,
    bill_exceptions,
    bills,
    channel_codes,
    disputes,
    exceptions,
    experiments,
    ledger,
    payments,
    reconciliation,
    refunds,
    restore,
    routing,
    suggestions,
)

ROUTERS = (
    approvals.router,
    payments.router,
    refunds.router,
    exceptions.router,
    disputes.router,
    restore.router,
    bills.router,
    bill_exceptions.router,
    channel_codes.router,
    routing.router,
    suggestions.router,
    experiments.router,
    *ledger.ROUTERS,
    *reconciliation.ROUTERS,
)
