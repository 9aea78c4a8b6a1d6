"""/v1/operator/ledger: the books, for finance."""

from hutong.api.operator.ledger import accounts, bookings, memos, orders, periods, reports

ROUTERS = (
    accounts.router,
    bookings.router,
    reports.router,
    periods.router,
    orders.router,
    memos.router,
)
