"""The interface of the answers that are stored under idempotency keys; the API implements it."""

from __future__ import annotations

from typing import Protocol

from hutong.idempotency import StoredAnswer
from hutong.payments.create import PlaceResult
from hutong.payments.refunds.create import RefundResult


class Answers(Protocol):
    """Renders answers to requests, so that each is stored in the transaction of its request's effect.

    The composition root hands it in where requests are taken; other processes have none.
    """

    def order(self, result: PlaceResult) -> StoredAnswer:
        """Render the answer to an order that has this result."""
        ...

    def refund(self, result: RefundResult) -> StoredAnswer:
        """Render the answer to a refund request that has this result."""
        ...
