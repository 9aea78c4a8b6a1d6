"""Stripe's refunds.

The list of an intent's refunds is always current, unlike the search. It is read before every refund, for a refund that
already exists under our number, however old, and for the amount left, since a refund above it must not be sent at all.

Source:
    https://docs.stripe.com/api/refunds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, ChannelState, OrderReference, RefundRequest
from hutong.channels.refusals import confirm_refusal
from hutong.channels.stripe.client import StripeClient
from hutong.channels.stripe.requests import REFUND_WINDOW, REFUND_WINDOWS, check_number, check_step, refund_fields
from hutong.channels.stripe.responses import REFUND_IDS, StripeResponses, is_id, metadata, to_amount
from hutong.errors import InvalidParameter

_PAGES_MAX = 10
_NOT_REFUNDED = frozenset({"failed", "canceled"})
_EXCEEDS = ChannelAnswer(
    ChannelState.FAILED,
    channel_code="refund_exceeds",
    channel_message="the refund is greater than the amount of the charge that is not refunded yet",
    code="refund_exceeds",
)
"""Refused before it is sent: a dashboard or another system has given that much back already."""


def _given_back(refunds: list[Mapping[str, Any]]) -> int:
    """Return the sum of the refunds that have moved money, or will."""
    return sum(
        to_amount(one.get("amount"), one.get("currency")) or 0
        for one in refunds
        if one.get("status") not in _NOT_REFUNDED
    )


def _only_id(candidates: list[object]) -> str | None:
    intent_ids = [str(intent_id) for intent_id in candidates if is_id(intent_id, "pi_")]
    return intent_ids[0] if len(intent_ids) == 1 else None


class StripeRefunds:
    """The refunds of one account."""

    def __init__(self, client: StripeClient, responses: StripeResponses) -> None:
        self._client = client
        self._responses = responses

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Create a refund, or return the state of the one that exists under this number.

        Errors:
            InvalidParameter: above the order's amount, or too late; nothing was sent.
        """
        del now
        check_number(refund.refund_no, "refund_no")
        check_number(refund.order.attempt_no, "attempt_no")
        try:
            return await self._refund(refund)
        except NoAnswer as error:
            return error.answer

    async def _refund(self, refund: RefundRequest) -> ChannelAnswer:
        if not 0 < refund.amount_minor <= refund.order.amount_minor:
            raise InvalidParameter("a refund is at most the order's amount", param="amount_minor")
        check_step(refund.amount_minor, refund.order.currency)
        found = await self._search(refund)
        if isinstance(found, ChannelAnswer):
            return found
        intent_id, refunds = found
        if _given_back(refunds) + refund.amount_minor > refund.order.amount_minor:
            return _EXCEEDS
        if refund.created_at - refund.order.placed_at > REFUND_WINDOWS.get(refund.order.method, REFUND_WINDOW):
            raise InvalidParameter("Stripe no longer refunds this order", param="refund")
        reply = await self._client.post("/v1/refunds", refund_fields(refund, intent_id), key=refund.refund_no)
        if reply.ok and reply.replayed:
            return await self._query(refund)
        if reply.ok:
            return self._responses.refund(reply.content, refund.refund_no, request=refund)
        refusal = self._responses.refusal("refund", reply)
        # Only the list can show that Stripe accepted no earlier submission.
        return await confirm_refusal(refusal, lambda: self._query(refund), pending=True)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query by Stripe's id where it is known, else look through the intent's refunds for our number."""
        del now
        check_number(refund.refund_no, "refund_no")
        try:
            return await self._query(refund)
        except NoAnswer as error:
            return error.answer

    async def _query(self, refund: RefundRequest) -> ChannelAnswer:
        in_dashboard = is_id(refund.refund_no, *REFUND_IDS)
        refund_id = refund.refund_no if in_dashboard else refund.channel_refund_no
        if refund_id is not None and is_id(refund_id, *REFUND_IDS):
            reply = await self._client.get(f"/v1/refunds/{refund_id}")
            if not reply.ok:
                return self._responses.refusal("query_refund", reply)
            if in_dashboard:
                return self._responses.foreign(reply.content, "refund", *REFUND_IDS, at=None)
            return self._responses.refund(reply.content, refund.refund_no, request=refund)
        found = await self._search(refund)
        return found if isinstance(found, ChannelAnswer) else ChannelAnswer(ChannelState.NOT_FOUND)

    async def _search(self, refund: RefundRequest) -> ChannelAnswer | tuple[str, list[Mapping[str, Any]]]:
        """Look for our number among the refunds of the order's intent.

        Returns:
            Stripe's answer about it, or the intent with its refunds if none has this number.
        """
        intent_id = await self.find_intent(refund.order)
        if intent_id is None:
            return ChannelAnswer(ChannelState.NOT_FOUND)
        refunds = await self._list(intent_id)
        if isinstance(refunds, ChannelAnswer):
            return refunds
        for existing in refunds:
            if metadata(existing, "refund_no") == refund.refund_no:
                return self._responses.refund(existing, refund.refund_no, request=refund)
        return intent_id, refunds

    async def find_intent(self, order: OrderReference) -> str | None:
        """Return the id of an order's PaymentIntent; None where Stripe has none.

        Errors:
            NoAnswer: no usable answer.
        """
        order_no = order.channel_order_no
        if order_no is not None and is_id(order_no, "pi_"):
            return order_no
        if order_no is not None and is_id(order_no, "cs_"):
            reply = await self._client.get(f"/v1/checkout/sessions/{order_no}")
            candidates = [reply.content.get("payment_intent")]
        else:
            found = await self._client.find_intents(order)
            if isinstance(found, list):
                return _only_id([intent.get("id") for intent in found])
            reply, candidates = found, []
        if not reply.ok:
            refusal = self._responses.refusal("query", reply)
            if refusal.state is ChannelState.NOT_FOUND:
                return None
            raise NoAnswer(refusal.channel_code or "unreadable", refusal.channel_message)
        return _only_id(candidates)

    async def _list(self, intent_id: str) -> list[Mapping[str, Any]] | ChannelAnswer:
        """Return all refunds of an intent, or Stripe's refusal to list them."""
        refunds: list[Mapping[str, Any]] = []
        filters = {"payment_intent": intent_id, "limit": "100"}
        for _ in range(_PAGES_MAX):
            reply = await self._client.get("/v1/refunds", filters)
            if not reply.ok:
                return self._responses.refusal("query_refund", reply)
            data = reply.content.get("data")
            if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
                raise NoAnswer("unreadable", "not a list of refunds")
            refunds += data
            last = data[-1].get("id") if data else None
            if reply.content.get("has_more") is not True:
                return refunds
            if not is_id(last, *REFUND_IDS):
                raise NoAnswer("unreadable", "not a list of refunds")
            filters = filters | {"starting_after": str(last)}
        raise NoAnswer("unreadable", "more refunds than one payment has")
