"""Routes for merchants."""

from hutong.api.merchant import bills, customers, disputes, payment_actions, payments, refunds, sandbox, webhooks

ROUTERS = (
    payments.router,
    payment_actions.router,
    refunds.router,
    disputes.router,
    bills.router,
    customers.router,
    webhooks.router,
    sandbox.router,
)
