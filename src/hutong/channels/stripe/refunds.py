"""Stripe: giving money back.

The list of an intent's refunds is always current, unlike the search. It is looked at before every refund: for one that
was made under our number already, however long ago, and for how much is left, since a refund above the rest must not
be sent at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hutong.channels.capability import Capabilities
from hutong.channels.model import ChannelAnswer, ChannelState, Order, Refund
from hutong.channels.stripe.client import NoWord, StripeWire, amount, metadata
from hutong.channels.stripe.responses import StripeObjects, is_id
from hutong.errors import InvalidParameter

_PAGES_MAX = 10
_NOT_GIVEN = frozenset({"failed", "canceled"})


class StripeRefunds:
    """Refunds of one account. Every verb may raise NoWord."""

    def __init__(self, wire: StripeWire, objects: StripeObjects, can: Capabilities) -> None:
        self._wire = wire
        self._objects = objects
        self._can = can

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Make a refund, or tell of the one that stands under this number.

        Errors:
            InvalidParameter: above what is left, or too late; nothing was sent.
        """
        order, rule = refund.order, self._can.refund
        assert rule is not None, "Stripe refunds"
        if not 0 < refund.amount_minor <= order.amount_minor:
            raise InvalidParameter("more than was paid", param="amount_minor")
        intent_id = await self.intent_of(order)
        if intent_id is None:
            return ChannelAnswer(ChannelState.NOT_FOUND)
        made = await self._made(intent_id)
        if isinstance(made, ChannelAnswer):
            return made
        own = [thing for thing in made if metadata(thing, "refund_no") == refund.refund_no]
        if own:
            return self._objects.refund(own[0], refund.refund_no, asked=refund)
        given = sum(amount(thing.get("amount")) or 0 for thing in made if thing.get("status") not in _NOT_GIVEN)
        if given + refund.amount_minor > order.amount_minor:
            raise InvalidParameter("more than is left of what was paid", param="amount_minor")
        if now - order.placed_at > rule.window:
            raise InvalidParameter("the payment is too old to be refunded", param="refund")
        fields = {
            "payment_intent": intent_id,
            "amount": str(refund.amount_minor),
            "metadata[refund_no]": refund.refund_no,
            "metadata[attempt_no]": order.attempt_no,
            "metadata[notify_url]": refund.notify_url[:500],
        }
        if refund.reason:
            fields["metadata[reason]"] = refund.reason[:500]
        reply = await self._wire.post("/v1/refunds", fields, key=refund.refund_no)
        if reply.ok and not reply.replayed:
            return self._objects.refund(reply.content, refund.refund_no, asked=refund)
        refusal = self._wire.refusal("refund", reply)
        if reply.ok or refusal.state is ChannelState.FAILED:
            # A refusal speaks of this submission; only the list can say that no earlier one was taken.
            found = await self.query(refund)
            return found if found.state is not ChannelState.NOT_FOUND or reply.ok else refusal
        return refusal

    async def query(self, refund: Refund) -> ChannelAnswer:
        """Ask by Stripe's id where it is known, else look through the intent's refunds for our number."""
        known = refund.channel_refund_no
        if known is not None and is_id(known, "re_"):
            reply = await self._wire.get(f"/v1/refunds/{known}")
            if not reply.ok:
                return self._wire.refusal("query_refund", reply)
            return self._objects.refund(reply.content, refund.refund_no, asked=refund)
        intent_id = await self.intent_of(refund.order)
        if intent_id is None:
            return ChannelAnswer(ChannelState.NOT_FOUND)
        made = await self._made(intent_id)
        if isinstance(made, ChannelAnswer):
            return made
        for thing in made:
            if metadata(thing, "refund_no") == refund.refund_no:
                return self._objects.refund(thing, refund.refund_no, asked=refund)
        return ChannelAnswer(ChannelState.NOT_FOUND)

    async def intent_of(self, order: Order) -> str | None:
        """The PaymentIntent of an order; None where Stripe knows of none.

        Errors:
            NoWord: no proven answer.
        """
        known = order.channel_order_no
        if known is not None and is_id(known, "pi_"):
            return known
        if known is not None and is_id(known, "cs_"):
            reply = await self._wire.get(f"/v1/checkout/sessions/{known}")
            found = [reply.content.get("payment_intent")]
        else:
            wanted = {"query": f"metadata['attempt_no']:'{order.attempt_no}'"}
            reply = await self._wire.get("/v1/payment_intents/search", wanted)
            data = reply.content.get("data")
            found = [thing.get("id") for thing in data if isinstance(thing, dict)] if isinstance(data, list) else []
        if not reply.ok:
            refusal = self._wire.refusal("query", reply)
            if refusal.state is ChannelState.NOT_FOUND:
                return None
            raise NoWord(refusal.channel_code or "unreadable", refusal.channel_message)
        intent_ids = [intent_id for intent_id in found if is_id(intent_id, "pi_")]
        return intent_ids[0] if len(intent_ids) == 1 else None

    async def _made(self, intent_id: str) -> list[Mapping[str, Any]] | ChannelAnswer:
        """All refunds of an intent, or what kept us from learning them."""
        made: list[Mapping[str, Any]] = []
        wanted = {"payment_intent": intent_id, "limit": "100"}
        for _ in range(_PAGES_MAX):
            reply = await self._wire.get("/v1/refunds", wanted)
            if not reply.ok:
                return self._wire.refusal("query_refund", reply)
            data = reply.content.get("data")
            if not isinstance(data, list) or not all(isinstance(thing, dict) for thing in data):
                raise NoWord("unreadable", "not a list of refunds")
            made += data
            last = data[-1].get("id") if data else None
            if reply.content.get("has_more") is not True:
                return made
            if not is_id(last, "re_"):
                raise NoWord("unreadable", "not a list of refunds")
            wanted = wanted | {"starting_after": str(last)}
        raise NoWord("unreadable", "more refunds than one payment has")
