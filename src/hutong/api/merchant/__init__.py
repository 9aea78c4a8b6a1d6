"""Routes for merchants."""

from hutong.api.merchant import (
    balance,
    bills,
    customers,
    disputes,
    events,
    payment_actions,
    payments,
    refunds,
    webhooks,
)

ROUTERS = (
    payments.router,
    payment_actions.router,
    refunds.router,
    disputes.router,
    bills.router,
    balance.router,
    customers.router,
    events.router,
    webhooks.router,
)
