"""Answers about payments and refunds: rendered once, and stored under an idempotency key where there is one."""

from __future__ import annotations

import orjson

from hutong import payments
from hutong.idempotency import StoredAnswer
from hutong.payments import refunds

_REFUSED = 409
"""The stored status of a refusal, which is rendered again for each request: a problem names its request."""


class JsonAnswers:
    """Renders answers as JSON; implements `payments.Answers`."""

    def __init__(self, documents: payments.Documents) -> None:
        self._documents = documents

    def payment(self, payment: payments.Payment) -> bytes:
        """Render a payment."""
        return orjson.dumps(self._documents.payment(payment))

    def refund_object(self, refund: refunds.Refund) -> bytes:
        """Render a refund."""
        return orjson.dumps(refunds.refund_document(refund))

    def order(self, result: payments.PlaceResult) -> StoredAnswer:
        """Render the answer to an order that has this result."""
        if result.is_refused:
            return StoredAnswer(_REFUSED, b"")
        assert result.payment is not None, "what was placed has a payment"
        return StoredAnswer(201 if result.is_new else 200, self.payment(result.payment))

    def refund(self, result: refunds.RefundResult) -> StoredAnswer:
        """Render the answer to a refund request that has this result."""
        if result.refusal is not None:
            return StoredAnswer(_REFUSED, result.refusal.encode())
        assert result.refund is not None, "what was not refused has a refund"
        created = result.outcome is refunds.RefundOutcome.CREATED
        return StoredAnswer(201 if created else 200, self.refund_object(result.refund))

    def to_order(self, result: payments.PlaceResult) -> StoredAnswer:
        """Return the answer to an order: the stored one, or one rendered now.

        Errors:
            OrderNoReused: it is a refusal.
        """
        answer = result.answer or self.order(result)
        if answer.status == _REFUSED:
            raise payments.OrderNoReused(
                "`merchant_order_no` was used for a payment with other content", param="merchant_order_no"
            )
        return answer

    def to_refund(self, result: refunds.RefundResult) -> StoredAnswer:
        """Return the answer to a refund request: the stored one, or one rendered now.

        Errors:
            The error of each RefundRefusal.
        """
        answer = result.answer or self.refund(result)
        if answer.status >= _REFUSED:
            raise refunds.refusal_error(refunds.RefundRefusal(answer.body.decode()))
        return answer
