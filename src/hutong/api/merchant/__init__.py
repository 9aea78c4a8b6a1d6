"""Routes for merchants."""

from hutong.api.merchant import (
    bills,
    customers,
    disputes,
    methods,
    payment_actions,
    payments,
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
    customers.router,
    webhooks.router,
    sandbox.router,
)
