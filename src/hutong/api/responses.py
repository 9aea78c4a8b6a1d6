"""JSON answers whose content is complete; FastAPI would check it against its model a second time.

Those about payments and refunds are rendered once, and stored under an idempotency key where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from hutong import payments
from hutong.http_responses import REPLAYED
from hutong.idempotency import StoredAnswer
from hutong.payments import disputes, refunds

MEDIA_TYPE = "application/json"
_REFUSED = 409
"""The stored status of a refusal, which is rendered again for each request: a problem names its request."""


def json_answer(document: Any, status: int = 200) -> Response:
    """Answer with a document."""
    return Response(orjson.dumps(document), status, media_type=MEDIA_TYPE)


def rendered_answer(body: bytes, status: int = 200) -> Response:
    """Answer with a document that is already rendered as JSON."""
    return Response(body, status, media_type=MEDIA_TYPE)


def stored_answer(answer: StoredAnswer) -> Response:
    """Answer with what is stored under an idempotency key, or would be; a repetition says that it is one."""
    return Response(answer.body, answer.status, REPLAYED if answer.is_replayed else None, MEDIA_TYPE)


class JsonAnswers:
    """Renders answers as JSON; implements `payments.Answers`."""

    def __init__(self, documents: payments.Documents) -> None:
        self._documents = documents

    def payment(self, payment: payments.Payment) -> bytes:
        """Render a payment."""
        return orjson.dumps(self._documents.payment(payment))

    def payment_with_refunds(self, payment: payments.Payment, entries: Sequence[refunds.Refund]) -> bytes:
        """Render a payment with its refunds."""
        return orjson.dumps(
            self._documents.payment(payment) | {"refunds": [self._documents.refund(refund) for refund in entries]}
        )

    def refund_object(self, refund: refunds.Refund) -> bytes:
        """Render a refund."""
        return orjson.dumps(self._documents.refund(refund))

    def dispute(self, dispute: disputes.Dispute) -> bytes:
        """Render a dispute."""
        return orjson.dumps(dispute.document())

    def responded(self, dispute: disputes.Dispute) -> StoredAnswer:
        """Render the answer to a response to a dispute: 202 while the channel has not decided about it."""
        is_sending = any(response.finished_at is None for response in dispute.responses)
        return StoredAnswer(202 if is_sending else 200, self.dispute(dispute))

    def order(self, result: payments.PlaceResult) -> StoredAnswer:
        """Render the answer to an order that has this result."""
        if result.payment is None:
            return StoredAnswer(_REFUSED, b"")
        return StoredAnswer(201 if result.is_new else 200, self.payment(result.payment))

    def refund(self, result: refunds.RefundResult) -> StoredAnswer:
        """Render the answer to a refund request that has this result."""
        if result.refusal is not None:
            return StoredAnswer(_REFUSED, result.refusal.encode())
        assert result.refund is not None, "what was not refused has a refund"
        created = result.outcome is refunds.RefundOutcome.CREATED
        return StoredAnswer(201 if created else 200, self.refund_object(result.refund))

    def to_order(self, result: payments.PlaceResult) -> Response:
        """Answer an order with the stored answer, or one rendered now.

        Errors:
            OrderNoReused: it is a refusal.
        """
        answer = result.answer or self.order(result)
        if answer.status == _REFUSED:
            error = payments.errors.OrderNoReused(
                "`merchant_order_no` was used for a payment with other content", param="merchant_order_no"
            )
            error.is_replayed = answer.is_replayed
            raise error
        return stored_answer(answer)

    def to_refund(self, result: refunds.RefundResult) -> Response:
        """Answer a refund request with the stored answer, or one rendered now.

        Errors:
            The error of each RefundRefusal.
        """
        answer = result.answer or self.refund(result)
        if answer.status >= _REFUSED:
            error = refunds.refusal_error(refunds.RefundRefusal(answer.body.decode()))
            error.is_replayed = answer.is_replayed
            raise error
        return stored_answer(answer)
