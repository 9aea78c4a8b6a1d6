"""Routes for operators."""

from hutong.api.operator import (
    approvals,
    bills,
    channel_codes,
    experiments,
    ledger,
    payments,
    refunds,
    routing,
    suggestions,
)

ROUTERS = (
    approvals.router,
    payments.router,
    refunds.router,
    bills.router,
    channel_codes.router,
    routing.router,
    suggestions.router,
    experiments.router,
    *ledger.ROUTERS,
)
