"""The scope that an API key needs for each operation: the one list. An operation that is not in it is refused."""

from __future__ import annotations

from collections.abc import Mapping

from hutong.merchants import Scope

_OPERATIONS = {
    Scope.PAYMENTS_READ: """
        GET /v1/methods
        GET /v1/payments
        GET /v1/payments/{payment_id}
        GET /v1/payments/{payment_id}/items
        GET /v1/payments/{payment_id}/refunds
        GET /v1/payments/{payment_id}/timeline
        GET /v1/customers/{customer_id}
        GET /v1/refunds
        GET /v1/refunds/{refund_id}
        GET /v1/disputes
        GET /v1/disputes/{dispute_id}
        GET /v1/bills
        GET /v1/bills/export
        GET /v1/bills/{payment_id}
        GET /v1/reconciliation/rows
        GET /v1/reconciliation/rows/export
        GET /v1/sandbox/clock
    """,
    Scope.PAYMENTS_WRITE: """
        POST /v1/payments
        PATCH /v1/payments/{payment_id}
        POST /v1/payments/{payment_id}/attempts
        POST /v1/payments/{payment_id}/cancel
        POST /v1/payments/{payment_id}/capture
        POST /v1/payments/{payment_id}/close
        POST /v1/customers
        POST /v1/sandbox/clock
    """,
    Scope.REFUNDS_WRITE: """
        POST /v1/payments/{payment_id}/refunds
    """,
    Scope.DISPUTES_WRITE: """
        POST /v1/disputes/{dispute_id}/accept
        POST /v1/disputes/{dispute_id}/respond
    """,
    Scope.WEBHOOKS_READ: """
        GET /v1/webhook-endpoints
        GET /v1/webhook-endpoints/{endpoint_id}
        GET /v1/webhook-endpoints/{endpoint_id}/deliveries
    """,
    Scope.WEBHOOKS_WRITE: """
        POST /v1/webhook-endpoints
        PATCH /v1/webhook-endpoints/{endpoint_id}
        DELETE /v1/webhook-endpoints/{endpoint_id}
        POST /v1/webhook-endpoints/{endpoint_id}/enable
        POST /v1/webhook-endpoints/{endpoint_id}/replay
        POST /v1/webhook-endpoints/{endpoint_id}/rotate
    """,
    Scope.EVENTS_READ: """
        GET /v1/events
        GET /v1/events/{event_id}
    """,
    Scope.BALANCE_READ: """
        GET /v1/balance
    """,
}

SCOPES: Mapping[tuple[str, str], Scope] = {
    (method, path): scope
    for scope, operations in _OPERATIONS.items()
    for method, path in (line.split() for line in operations.strip().splitlines())
}
"""By method and path, as the route states it."""
