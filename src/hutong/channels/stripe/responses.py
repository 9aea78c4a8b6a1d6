"""Stripe: what its objects say, each proven to be about our number before a word of it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from hutong.channels.model import ActionKind, ChannelAnswer, ChannelState, Order, PayerAction, Refund, text
from hutong.channels.stripe.client import NoWord, StripeWire, amount, currency, instant, metadata

CARD = "card"
PAGE = "card_page"
"""The methods: a token that the merchant's application got from Stripe, and Stripe's own page."""

_ENDED = frozenset({ChannelState.SUCCEEDED, ChannelState.FAILED, ChannelState.CLOSED})


class StripeObjects:
    """Reads for one account."""

    def __init__(self, wire: StripeWire, *, livemode: bool) -> None:
        self._wire = wire
        self._livemode = livemode

    def intent(
        self, intent: Mapping[str, Any], number: str, *, order: Order | None = None, at: datetime | None = None
    ) -> ChannelAnswer:
        """What a PaymentIntent says.

        Args:
            number: Our number of the attempt, which it must carry.
            order: What was ordered, where we know it; amount and currency must be the same.
            at: When it came to this, where a message says so.

        Errors:
            NoWord: it is not a PaymentIntent, not about this number, account mode, amount or currency.
        """
        intent_id = self._ours(intent, "payment_intent", "pi_", number, "attempt_no")
        ordered, spoken = amount(intent.get("amount")), currency(intent.get("currency"))
        if ordered is None or spoken is None:
            raise NoWord("unreadable", "a PaymentIntent without an amount or a currency")
        if order is not None and (ordered, spoken) != (order.amount_minor, order.currency):
            raise NoWord("not_ours", "the answer is about another amount or currency")
        word = text(intent.get("status"), 64)
        state, code = self._wire.state("intent_status", word)
        answer = ChannelAnswer(state, ordered, spoken, intent_id, word, code=code, action=_action(intent))
        error = intent.get("last_payment_error")
        if isinstance(error, dict) and word in ("requires_payment_method", "canceled"):
            # A canceled intent whose card was declined has failed; one that nobody tried to pay is closed.
            answer = self._declined(answer, error)
        if state is ChannelState.SUCCEEDED:
            answer = replace(answer, amount_minor=_received(intent, ordered))
        charge = intent.get("latest_charge")
        charged_at = instant(charge.get("created")) if isinstance(charge, dict) else None
        when = at or instant(intent.get("canceled_at")) or charged_at or instant(intent.get("created"))
        decided = answer.state in _ENDED or state is ChannelState.AUTHORIZED
        return replace(answer, happened_at=when if decided else None)

    def _declined(self, answer: ChannelAnswer, error: Mapping[str, Any]) -> ChannelAnswer:
        code = text(error.get("code"), 64) or text(error.get("type"), 64) or "missing"
        words = self._wire.words(
            "pay", code, text(error.get("decline_code"), 64) or "", text(error.get("message"), 256)
        )
        return replace(
            answer,
            state=ChannelState.FAILED if answer.state is ChannelState.CLOSED else answer.state,
            channel_code=words.channel_code,
            channel_message=words.channel_message,
            code=words.code,
            retryable=words.retryable,
        )

    def session(
        self, session: Mapping[str, Any], number: str, *, order: Order | None = None, at: datetime | None = None
    ) -> ChannelAnswer:
        """What a Checkout Session says; once it is complete, what its PaymentIntent says, which must be in it whole.

        Errors:
            NoWord: as for `intent`.
        """
        session_id = self._ours(session, "checkout.session", "cs_", number, "attempt_no")
        ordered, spoken = amount(session.get("amount_total")), currency(session.get("currency"))
        if order is not None and (ordered, spoken) != (order.amount_minor, order.currency):
            raise NoWord("not_ours", "the answer is about another amount or currency")
        word = text(session.get("status"), 64)
        if word == "complete":
            intent = session.get("payment_intent")
            if not isinstance(intent, dict):
                raise NoWord("unreadable", "a complete session without its PaymentIntent")
            return self.intent(intent, number, order=order, at=at)
        state, code = self._wire.state("session_status", word)
        address = str(session.get("url")) if state is ChannelState.PENDING else ""
        return ChannelAnswer(
            state,
            ordered,
            spoken,
            session_id,
            word,
            code=code,
            action=PayerAction(ActionKind.REDIRECT, address) if _is_address(address) else None,
            happened_at=at if state is ChannelState.CLOSED else None,
        )

    def refund(
        self, refund: Mapping[str, Any], number: str, *, asked: Refund | None = None, at: datetime | None = None
    ) -> ChannelAnswer:
        """What a refund says.

        Errors:
            NoWord: it is not a refund, not about this number, amount or currency.
        """
        refund_id = self._ours(refund, "refund", "re_", number, "refund_no")
        given, spoken = amount(refund.get("amount")), currency(refund.get("currency"))
        if given is None or spoken is None:
            raise NoWord("unreadable", "a refund without an amount or a currency")
        if asked is not None and (given, spoken) != (asked.amount_minor, asked.order.currency):
            raise NoWord("not_ours", "the answer is about another amount or currency")
        word = text(refund.get("status"), 64)
        state, code = self._wire.state("refund_status", word)
        reason = text(refund.get("failure_reason"), 64) if state is ChannelState.FAILED else None
        if reason is not None:
            code = self._wire.words("refund_failure", reason, "", None).code
        decided = state in _ENDED
        return ChannelAnswer(
            state,
            given,
            spoken,
            refund_id,
            reason or word,
            code=code,
            happened_at=(at or instant(refund.get("created"))) if decided else None,
        )

    def _ours(self, thing: Mapping[str, Any], kind: str, prefix: str, number: str, name: str) -> str:
        """The object's id, if it is of this kind, of our mode and carries our number."""
        found = thing.get("id")
        if thing.get("object") != kind or not isinstance(found, str) or not is_id(found, prefix):
            raise NoWord("unreadable", f"the answer is not a {kind}")
        if thing.get("livemode", self._livemode) is not self._livemode:
            raise NoWord("not_ours", "the answer is about the other mode of the account")
        if metadata(thing, name) != number:
            raise NoWord("not_ours", "the answer is about another number")
        return found


def is_id(value: object, prefix: str) -> bool:
    """Whether this may be an id of Stripe's of this kind; it goes into an address."""
    return (
        isinstance(value, str)
        and value.startswith(prefix)
        and len(value) <= 255
        and value.isascii()
        and value.replace("_", "").isalnum()
    )


def _received(intent: Mapping[str, Any], ordered: int) -> int:
    """What was taken. Stripe always says; where it is not said, nothing but the whole is on record."""
    if "amount_received" not in intent:
        return ordered
    received = amount(intent["amount_received"])
    if received is None:
        raise NoWord("unreadable", "a success without an amount")
    return received


def _action(intent: Mapping[str, Any]) -> PayerAction | None:
    """What the payer has to do: 3-D Secure on a page of his bank's, or in the application by Stripe's own code."""
    action = intent.get("next_action")
    if intent.get("status") != "requires_action" or not isinstance(action, dict):
        return None
    redirect = action.get("redirect_to_url")
    if isinstance(redirect, dict) and _is_address(redirect.get("url")):
        return PayerAction(ActionKind.REDIRECT, str(redirect["url"]))
    secret = intent.get("client_secret")
    if action.get("type") == "use_stripe_sdk" and isinstance(secret, str):
        return PayerAction(ActionKind.SDK, orjson.dumps({"client_secret": secret}).decode())
    return None


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 4096
