"""Routes for merchants."""

from hutong.api.merchant import (
    balance,
    bills,
    customers,
    disputes,
    events,
    methods,
    payment_actions,
    payments,
    reconciliation,
    refunds,
    sandbox,
    webhooks,
)

ROUTERS = (
    payments.router,
    payment_actions.router,
    methods.router,
    refunds.router,
    disputes.router,
    bills.router,
    reconciliation.router,
    balance.router,
    customers.router,
    events.router,
    webhooks.router,
    sandbox.router,
)
