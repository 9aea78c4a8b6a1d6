"""Stripe's objects and errors, read into the terms of all channels.

An object counts only if it is about our number.

Source:
    https://docs.stripe.com/api/payment_intents/object (`application_fee_amount` goes to the platform of the charge).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from hutong.channels.codes.codes import Codes, Meaning
from hutong.channels.errors import NoAnswer
from hutong.channels.model import (
    FINAL_STATES,
    ActionKind,
    ChannelAnswer,
    ChannelState,
    OrderReference,
    PayerAction,
    RefundRequest,
    text,
)
from hutong.channels.stripe.client import StripeReply
from hutong.channels.stripe.requests import UNITS
from hutong.channels.sums import Sums
from hutong.money import AMOUNT_MINOR_MAX

REFUND_IDS = ("re_", "pyr_")
"""How the ids of refunds begin; those of payments that are not by card with the second."""
_CODE_LENGTH_MAX = 1024
_PROVEN_REFUSALS = frozenset({400, 401, 402, 403, 404})
"""Statuses with which Stripe states that it did nothing. After 409, 429 and from 500 on it may still act."""


class StripeResponses:
    """A reader of the answers and objects of one account.

    Attributes:
        livemode: Whether its objects move money; those of the other mode are not about this account.
    """

    def __init__(self, codes: Codes, *, livemode: bool) -> None:
        self._codes = codes
        self.livemode = livemode

    def refusal(self, interface: str, reply: StripeReply) -> ChannelAnswer:
        """Look up the error of an answer that is not the requested success."""
        error = reply.error
        code = text(error.get("code"), 64) or text(error.get("type"), 64)
        message = text(error.get("message"), 256)
        if code is None or reply.status < 400:
            return ChannelAnswer(
                ChannelState.UNKNOWN, channel_code=code or f"http_{reply.status}", channel_message=message
            )
        answer = self._code(interface, code, text(error.get("decline_code"), 64) or "", message)
        if interface == "refund" and error.get("param") == "amount" and "unrefunded amount" in (message or ""):
            answer = replace(answer, code="refund_exceeds")  # this refusal has no code of its own
        if answer.state is not ChannelState.UNKNOWN and reply.status not in _PROVEN_REFUSALS:
            return replace(answer, state=ChannelState.UNKNOWN, code="in_doubt", code_entry=None, retryable=True)
        return answer

    def _code(self, interface: str, code: str, decline_code: str, message: str | None) -> ChannelAnswer:
        """Look up a code with its decline code."""
        meaning = self._codes.read(interface, code, decline_code, message=message or "")
        shown = f"{code}/{decline_code}" if decline_code and decline_code != code else code
        return ChannelAnswer(
            meaning.state,
            channel_code=shown[:64],
            channel_message=message,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            retryable=meaning.retryable,
        )

    def _status(self, interface: str, status: object) -> Meaning:
        """Look up a status. An unmapped one is UNKNOWN."""
        return self._codes.read(interface, text(status, 64) or "missing")

    def intent(
        self, intent: Mapping[str, Any], number: str, *, order: OrderReference | None = None, at: datetime | None = None
    ) -> ChannelAnswer:
        """Read a PaymentIntent.

        Args:
            number: Our number of the attempt, which it must carry.
            order: The order, where it is known; unless money has moved, amount and currency must be the same.
            at: When the intent reached this state, where a notification has that time.

        Errors:
            NoAnswer: it is not a PaymentIntent, not about this number, account mode, amount or currency.
        """
        intent_id = self._ours(intent, "payment_intent", ("pi_",), number, "attempt_no")
        ordered, currency = to_amount(intent.get("amount"), intent.get("currency")), to_currency(intent.get("currency"))
        if ordered is None or currency is None:
            raise NoAnswer("unreadable", "a PaymentIntent without an amount or a currency")
        status = text(intent.get("status"), 64)
        meaning = self._status("intent_status", status)
        state = meaning.state
        is_other = order is not None and (ordered, currency) != (order.amount_minor, order.currency)
        if is_other and state is not ChannelState.SUCCEEDED:
            raise NoAnswer("not_ours", "the answer is about another amount or currency")
        answer = ChannelAnswer(
            state,
            ordered,
            currency,
            intent_id,
            status,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            action=_action(intent),
        )
        error = intent.get("last_payment_error")
        if isinstance(error, dict) and status in ("requires_payment_method", "canceled"):
            # A canceled intent whose card was declined has failed; one that nobody paid is closed.
            answer = self._declined(answer, error)
        if state is ChannelState.SUCCEEDED:
            received = _received(intent, ordered)
            answer = replace(answer, amount_minor=received, sums=_sums(intent, received))
        charge = intent.get("latest_charge")
        charged_at = to_instant(charge.get("created")) if isinstance(charge, dict) else None
        when = at or to_instant(intent.get("canceled_at")) or charged_at or to_instant(intent.get("created"))
        decided = answer.state in FINAL_STATES or state is ChannelState.AUTHORIZED
        return replace(answer, happened_at=when if decided else None)

    def _declined(self, answer: ChannelAnswer, error: Mapping[str, Any]) -> ChannelAnswer:
        code = text(error.get("code"), 64) or text(error.get("type"), 64) or "missing"
        decline = self._code("pay", code, text(error.get("decline_code"), 64) or "", text(error.get("message"), 256))
        return replace(
            answer,
            state=ChannelState.FAILED if answer.state is ChannelState.CLOSED else answer.state,
            channel_code=decline.channel_code,
            channel_message=decline.channel_message,
            code=decline.code,
            code_entry=decline.code_entry,
            retryable=decline.retryable,
        )

    def session(
        self,
        session: Mapping[str, Any],
        number: str,
        *,
        order: OrderReference | None = None,
        at: datetime | None = None,
    ) -> ChannelAnswer:
        """Read a Checkout Session; once it is complete, its PaymentIntent, which must be expanded in it.

        Errors:
            NoAnswer: as for `intent`.
        """
        session_id = self._ours(session, "checkout.session", ("cs_",), number, "attempt_no")
        status = text(session.get("status"), 64)
        if status == "complete":
            intent = session.get("payment_intent")
            if not isinstance(intent, dict):
                raise NoAnswer("unreadable", "a complete session without its PaymentIntent")
            return self.intent(intent, number, order=order, at=at)
        currency = to_currency(session.get("currency"))
        ordered = to_amount(session.get("amount_total"), session.get("currency"))
        if order is not None and (ordered, currency) != (order.amount_minor, order.currency):
            raise NoAnswer("not_ours", "the answer is about another amount or currency")
        meaning = self._status("session_status", status)
        address = str(session.get("url")) if meaning.state is ChannelState.PENDING else ""
        return ChannelAnswer(
            meaning.state,
            ordered,
            currency,
            session_id,
            status,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            action=PayerAction(ActionKind.REDIRECT, address) if _is_address(address) else None,
            happened_at=at if meaning.state is ChannelState.CLOSED else None,
        )

    def refund(
        self,
        refund: Mapping[str, Any],
        number: str,
        *,
        request: RefundRequest | None = None,
        at: datetime | None = None,
    ) -> ChannelAnswer:
        """Read a refund.

        Errors:
            NoAnswer: it is not a refund, not about this number, or, while no money has moved, about another amount.
        """
        refund_id = self._ours(refund, "refund", REFUND_IDS, number, "refund_no")
        refunded, currency = (
            to_amount(refund.get("amount"), refund.get("currency")),
            to_currency(refund.get("currency")),
        )
        if refunded is None or currency is None:
            raise NoAnswer("unreadable", "a refund without an amount or a currency")
        status = text(refund.get("status"), 64)
        meaning = self._status("refund_status", status)
        state = meaning.state
        is_other = request is not None and (refunded, currency) != (request.amount_minor, request.order.currency)
        if is_other and state is not ChannelState.SUCCEEDED:
            raise NoAnswer("not_ours", "the answer is about another amount or currency")
        reason = text(refund.get("failure_reason"), 64) if state is ChannelState.FAILED else None
        if reason is not None:
            meaning = self._codes.read("refund_failure", reason)
        return ChannelAnswer(
            state,
            refunded,
            currency,
            refund_id,
            reason or status,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            happened_at=(at or to_instant(refund.get("created"))) if state in FINAL_STATES else None,
        )

    def foreign(self, thing: Mapping[str, Any], kind: str, *prefixes: str, at: datetime | None) -> ChannelAnswer:
        """Read a PaymentIntent or a refund that carries no number of ours.

        Errors:
            NoAnswer: it is not such an object, about the other account mode, or without an amount or a currency.
        """
        object_id = self.identify(thing, kind, prefixes)
        amount = to_amount(thing.get("amount_received", thing.get("amount")), thing.get("currency"))
        currency = to_currency(thing.get("currency"))
        if amount is None or currency is None:
            raise NoAnswer("unreadable", f"a {kind} without an amount or a currency")
        status = text(thing.get("status"), 64)
        meaning = self._status("refund_status" if kind == "refund" else "intent_status", status)
        return ChannelAnswer(
            meaning.state,
            amount,
            currency,
            object_id,
            status,
            code=meaning.unified_code,
            code_entry=meaning.entry,
            happened_at=at,
        )

    def _ours(self, thing: Mapping[str, Any], kind: str, prefixes: tuple[str, ...], number: str, name: str) -> str:
        """Return the object's id, after checking its kind, its mode and its number of ours."""
        object_id = self.identify(thing, kind, prefixes)
        if metadata(thing, name) != number:
            raise NoAnswer("not_ours", "the answer is about another number")
        return object_id

    def identify(self, thing: Mapping[str, Any], kind: str, prefixes: tuple[str, ...]) -> str:
        """Return the object's id, after checking its kind and its mode.

        Errors:
            NoAnswer: it is of another kind, or of the other account mode.
        """
        object_id = thing.get("id")
        if thing.get("object") != kind or not isinstance(object_id, str) or not is_id(object_id, *prefixes):
            raise NoAnswer("unreadable", f"the answer is not a {kind}")
        if thing.get("livemode", self.livemode) is not self.livemode:
            raise NoAnswer("not_ours", "the answer is about the other mode of the account")
        return object_id


def is_id(value: object, *prefixes: str) -> bool:
    """Return whether this may be one of Stripe's ids of these kinds; it goes into an address."""
    return (
        isinstance(value, str)
        and value.startswith(prefixes)
        and len(value) <= 255
        and value.isascii()
        and value.replace("_", "").isalnum()
    )


def _received(intent: Mapping[str, Any], ordered: int) -> int:
    """Return the amount taken. Stripe always states it; where it is missing, only the whole is on record."""
    if "amount_received" not in intent:
        return ordered
    received = to_amount(intent["amount_received"], intent.get("currency"))
    if received is None:
        raise NoAnswer("unreadable", "a success without an amount")
    return received


def _sums(intent: Mapping[str, Any], received: int) -> Sums | None:
    """Return the sums of a paid intent; None if all are equal. A platform's application fee is not settled.

    Errors:
        NoAnswer: the fee is above the amount, or is none.
    """
    fee = intent.get("application_fee_amount")
    if fee in (None, 0):
        return None
    fee = to_amount(fee, intent.get("currency"))
    if fee is None or fee > received:
        raise NoAnswer("sums_contradict", "the application fee is not a part of the amount")
    return Sums(received, received, received - fee, withheld_minor=fee)


def element_action(intent: Mapping[str, Any], publishable_key: str | None) -> PayerAction | None:
    """Return what Stripe's form in the merchant's page needs, while the intent waits for the payer."""
    secret = intent.get("client_secret")
    if intent.get("status") not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        return None
    if not isinstance(secret, str) or publishable_key is None:
        raise NoAnswer("unreadable", "a PaymentIntent without its client secret")
    content = {"client_secret": secret, "publishable_key": publishable_key}
    return PayerAction(ActionKind.SDK, orjson.dumps(content).decode())


def _action(intent: Mapping[str, Any]) -> PayerAction | None:
    """Return the payer's action: a page of the payer's bank or wallet, a code to scan, or a step by Stripe's SDK.

    Stripe's form does the steps of its own intents.
    """
    action = intent.get("next_action")
    if intent.get("status") != "requires_action" or not isinstance(action, dict):
        return None
    if intent.get("automatic_payment_methods"):
        return None
    for name in ("redirect_to_url", "alipay_handle_redirect"):
        redirect = action.get(name)
        if isinstance(redirect, dict) and _is_address(redirect.get("url")):
            return PayerAction(ActionKind.REDIRECT, str(redirect["url"]))
    code = action.get("wechat_pay_display_qr_code")
    if isinstance(code, dict) and isinstance(code.get("data"), str) and 0 < len(code["data"]) <= _CODE_LENGTH_MAX:
        return PayerAction(ActionKind.QR_CODE, code["data"])
    secret = intent.get("client_secret")
    if action.get("type") == "use_stripe_sdk" and isinstance(secret, str):
        return PayerAction(ActionKind.SDK, orjson.dumps({"client_secret": secret}).decode())
    return None


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 4096


def to_amount(value: object, currency: object) -> int | None:
    """Convert a positive amount from Stripe's units of a currency to minor units; None for anything else."""
    return to_minor(value, currency) if type(value) is int and 0 < value <= AMOUNT_MINOR_MAX else None


def to_minor(value: int, currency: object) -> int | None:
    """Convert an amount from Stripe's units; None for a part of a minor unit."""
    minor, rest = divmod(value, UNITS.get(to_currency(currency) or "", 1))
    return None if rest else minor


def to_currency(value: object) -> str | None:
    """Return an ISO 4217 code, which Stripe writes in lower case; None for anything else."""
    return value.upper() if isinstance(value, str) and re.fullmatch("[a-z]{3}", value) else None


def to_instant(value: object) -> datetime | None:
    """Convert seconds since 1970; None for anything else."""
    if type(value) is not int or not 0 < value < 1 << 36:
        return None
    return datetime.fromtimestamp(value, UTC)


def metadata(thing: Mapping[str, Any], name: str) -> str | None:
    """Return a value that we attached to an object when we created it."""
    values = thing.get("metadata")
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, str) else None
