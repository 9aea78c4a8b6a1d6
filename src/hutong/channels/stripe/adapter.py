"""Stripe: cards, by a token that the merchant's application got from Stripe, or on Stripe's own page.

`card` makes a PaymentIntent and confirms it in a second call. Money moves only in the second, and by then its id is
known, so an attempt whose number a search does not find yet has taken nothing. `card_page` makes a Checkout Session,
whose address nobody but us learns. No card number ever reaches us.

Stripe's answers are not signed. They are believed because TLS proves the one host that is configured. Its messages are
signed and are believed for that alone.

Every change carries an Idempotency-Key made of our number. Stripe answers a repetition with what it answered first,
so what is marked as replayed is never read: the object itself is asked for.

Source:
    https://docs.stripe.com/api/payment_intents, https://docs.stripe.com/api/checkout/sessions,
    https://docs.stripe.com/api/refunds, https://docs.stripe.com/api/idempotent_requests,
    https://docs.stripe.com/api/events/types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from hutong.channels.bill import Bill, BillRow
from hutong.channels.capability import BillRule, Capabilities, Method, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.errors import NotificationRefused
from hutong.channels.http import Http
from hutong.channels.model import (
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    Order,
    PayRequest,
    Refund,
    after_sending,
)
from hutong.channels.protocol import Channel, Finding
from hutong.channels.stripe.bill import KIND, download, read
from hutong.channels.stripe.client import NoWord, Reply, StripeWire
from hutong.channels.stripe.credentials import SIGNATURE_HEADER, StripeCredentials, StripeKeys, Unproven
from hutong.channels.stripe.diagnostics import examine
from hutong.channels.stripe.limits import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN
from hutong.channels.stripe.notifications import NUMBER, read_event
from hutong.channels.stripe.refunds import StripeRefunds
from hutong.channels.stripe.responses import CARD, PAGE, StripeObjects, is_id
from hutong.errors import InvalidParameter

_TOKEN = re.compile(r"pm_[0-9A-Za-z_]{1,252}")
_ENDED = frozenset({ChannelState.SUCCEEDED, ChannelState.FAILED, ChannelState.CLOSED})
_UNDER_WAY = frozenset({"requires_confirmation", "requires_action", "processing"})
_EXPAND = {"expand[]": "latest_charge"}
_EXPAND_SESSION = {"expand[]": "payment_intent.latest_charge"}


class Stripe(Channel):
    """One account, in live or in test mode."""

    capabilities = Capabilities(
        channel="stripe",
        methods={
            CARD: Method(ActionKind.REDIRECT, requires=frozenset({"token"}), manual_capture=True),
            PAGE: Method(ActionKind.REDIRECT, manual_capture=True),
        },
        currencies=frozenset(AMOUNT_MINOR_MIN),
        amount_minor_min=min(AMOUNT_MINOR_MIN.values()),
        amount_minor_max=AMOUNT_MINOR_MAX,
        order_no_length_max=64,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=23),  # keys are kept for a day, and no attempt may outlive its own
        notifies=True,
        resubmits=True,
        subject_length_max=250,
        refund=RefundRule(window=timedelta(days=180), count_max=100, notifies=True),
        partial_capture=True,
        authorization_kept=timedelta(days=7),
        amount_minor_min_of=AMOUNT_MINOR_MIN,
        bill=BillRule((KIND,), "stripe_balance_jsonl", 1, timedelta(0), timedelta(days=3650)),
    )
    Credentials: ClassVar[type[BaseModel]] = StripeCredentials
    code_map = files("hutong.channels.codes") / "maps" / "stripe.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "stripe.documented.csv"

    def __init__(self, credentials: StripeCredentials, http: Http, codes: Codes) -> None:
        self._keys = StripeKeys(credentials)
        self._wire = StripeWire(credentials, http, self._keys, codes)
        self._objects = StripeObjects(self._wire, livemode=self._keys.livemode)
        self._refunds = StripeRefunds(self._wire, self._objects, self.capabilities)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Take the money by a token, or make the page on which the payer gives his card to Stripe."""
        self._check(request)
        order = Order(request.attempt_no, request.method, request.amount_minor, request.currency, request.expires_at)
        try:
            if request.method == PAGE:
                return await self._open_page(request, order, now)
            return await self._charge(request, order, now)
        except NoWord as nothing:
            return nothing.answer

    def _check(self, request: PayRequest) -> None:
        if request.method not in self.capabilities.methods:
            raise InvalidParameter("Stripe does not offer this method", param="method")
        if request.currency not in self.capabilities.currencies:
            raise InvalidParameter("Stripe does not take this currency", param="currency")
        if not self.capabilities.takes(request.amount_minor, request.currency):
            raise InvalidParameter("Stripe does not take this amount", param="amount_minor")
        _check_number(request.attempt_no, "attempt_no")
        if request.method == CARD and not _TOKEN.fullmatch(request.payer.get("token", "")):
            raise InvalidParameter("a payment method of Stripe's (pm_…) is needed", param="token")
        if request.method == PAGE and not request.return_url:
            raise InvalidParameter("Stripe's page needs an address to return to", param="return_url")

    async def _charge(self, request: PayRequest, order: Order, now: datetime) -> ChannelAnswer:
        fields = {
            "amount": str(request.amount_minor),
            "currency": request.currency.lower(),
            "payment_method": request.payer["token"],
            "payment_method_types[]": "card",
            "capture_method": "automatic" if request.capture else "manual",
            **_metadata("metadata", request),
        }
        if request.subject:
            fields["description"] = request.subject[: self.capabilities.subject_length_max]
        reply = await self._wire.post("/v1/payment_intents", fields, key=request.attempt_no)
        if not reply.ok:
            return await self._refused("pay", reply, order, now)
        made = self._objects.intent(reply.content, request.attempt_no, order=order)
        intent_id = str(made.channel_order_no)
        try:
            if reply.replayed:
                reply = await self._wire.get(f"/v1/payment_intents/{intent_id}", _EXPAND)
            if reply.content.get("status") == "requires_confirmation":
                back = {"return_url": request.return_url} if request.return_url else {}
                path, key = f"/v1/payment_intents/{intent_id}/confirm", f"{request.attempt_no}-confirm"
                reply = await self._wire.post(path, _EXPAND | back, key=key)
                if reply.replayed:
                    reply = await self._wire.get(f"/v1/payment_intents/{intent_id}", _EXPAND)
            if reply.ok:
                answer = self._objects.intent(reply.content, request.attempt_no, order=order)
                return await self._settled(answer, order, now)
            refusal = replace(self._wire.refusal("pay", reply), channel_order_no=intent_id)
            if refusal.state is not ChannelState.FAILED:
                return replace(refusal, state=ChannelState.UNKNOWN)
            # The card was declined, but the intent stands and could still be paid: it is canceled first.
            ended = await self._cancel(order, intent_id, now)
            if ended.state is ChannelState.SUCCEEDED:
                return ended
            gone = ended.state in (ChannelState.CLOSED, ChannelState.FAILED)
            return refusal if gone else replace(refusal, state=ChannelState.UNKNOWN)
        except NoWord as nothing:
            return replace(after_sending(nothing.answer), channel_order_no=intent_id)

    async def _open_page(self, request: PayRequest, order: Order, now: datetime) -> ChannelAnswer:
        back = str(request.return_url)
        subject = request.subject[: self.capabilities.subject_length_max] or request.attempt_no
        fields = {
            "mode": "payment",
            "payment_method_types[]": "card",
            "client_reference_id": request.attempt_no,
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": request.currency.lower(),
            "line_items[0][price_data][unit_amount]": str(request.amount_minor),
            "line_items[0][price_data][product_data][name]": subject,
            "payment_intent_data[capture_method]": "automatic" if request.capture else "manual",
            "payment_intent_data[description]": subject,
            "success_url": back,
            "cancel_url": back,
            **_metadata("metadata", request),
            **_metadata("payment_intent_data[metadata]", request),
        }
        reply = await self._wire.post("/v1/checkout/sessions", fields, key=request.attempt_no)
        if not reply.ok:
            return await self._refused("pay", reply, order, now)
        if reply.replayed and is_id(reply.content.get("id"), "cs_"):
            try:
                return await self._ask(replace(order, channel_order_no=str(reply.content["id"])))
            except NoWord as nothing:
                return after_sending(nothing.answer)
        return self._objects.session(reply.content, request.attempt_no, order=order)

    async def query(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Ask by Stripe's id where it is known, else search for our number.

        The search lags behind by a minute, or more when Stripe is unwell, so that it may find nothing yet. An attempt
        that it does not find has not been confirmed, or its page has been seen by nobody; see the top of this file.
        """
        _check_number(order.attempt_no, "attempt_no")
        try:
            return await self._settled(await self._ask(order), order, now)
        except NoWord as nothing:
            return nothing.answer

    async def _ask(self, order: Order) -> ChannelAnswer:
        number, known = order.attempt_no, order.channel_order_no
        if known is not None and is_id(known, "cs_"):
            reply = await self._wire.get(f"/v1/checkout/sessions/{known}", _EXPAND_SESSION)
            if reply.ok:
                return self._objects.session(reply.content, number, order=order)
        elif known is not None and is_id(known, "pi_"):
            reply = await self._wire.get(f"/v1/payment_intents/{known}", _EXPAND)
            if reply.ok:
                return self._objects.intent(reply.content, number, order=order)
        else:
            wanted = {"query": f"metadata['attempt_no']:'{number}'", "expand[]": "data.latest_charge"}
            reply = await self._wire.get("/v1/payment_intents/search", wanted)
            found = reply.content.get("data")
            if reply.ok and isinstance(found, list):
                if len(found) == 1 and isinstance(found[0], dict):
                    return self._objects.intent(found[0], number, order=order)
                if not found:
                    return ChannelAnswer(ChannelState.NOT_FOUND)
                raise NoWord("unreadable", "the search found more than one")
        return self._wire.refusal("query", reply)

    async def _settled(self, answer: ChannelAnswer, order: Order, now: datetime) -> ChannelAnswer:
        """The same answer, unless a token's card was declined: then the intent is canceled, which proves the failure.

        The one token is spent, but an intent that waits for another payment method could still be paid.
        """
        spent = answer.state is ChannelState.PENDING and answer.channel_code not in _UNDER_WAY
        if order.method != CARD or not spent:
            return answer
        ended = await self._cancel(order, str(answer.channel_order_no), now)
        return ended if ended.state in _ENDED else replace(answer, state=ChannelState.UNKNOWN)

    async def close(self, order: Order, *, now: datetime) -> ChannelAnswer:
        """Cancel the intent or expire the page; where the money is taken, that is the answer."""
        _check_number(order.attempt_no, "attempt_no")
        try:
            known = order.channel_order_no
            if known is None:
                found = await self._ask(order)
                if found.state is not ChannelState.PENDING and found.state is not ChannelState.AUTHORIZED:
                    return found
                known = str(found.channel_order_no)
            if is_id(known, "cs_"):
                return await self._expire(order, known, now)
            return await self._cancel(order, known, now)
        except NoWord as nothing:
            return nothing.answer

    async def _cancel(self, order: Order, intent_id: str, now: datetime) -> ChannelAnswer:
        if not is_id(intent_id, "pi_"):
            raise NoWord("unreadable", "not a PaymentIntent's id")
        path = f"/v1/payment_intents/{intent_id}/cancel"
        return await self._ended(order, intent_id, await self._wire.post(path, _EXPAND, key=_ending_key(order, now)))

    async def _expire(self, order: Order, session_id: str, now: datetime) -> ChannelAnswer:
        path, key = f"/v1/checkout/sessions/{session_id}/expire", _ending_key(order, now)
        return await self._ended(order, session_id, await self._wire.post(path, _EXPAND_SESSION, key=key))

    async def _ended(self, order: Order, thing_id: str, reply: Reply) -> ChannelAnswer:
        """What ending came to. Stripe refuses to end what has ended: then the object says how it ended."""
        if reply.ok and not reply.replayed:
            if reply.content.get("object") == "checkout.session":
                return self._objects.session(reply.content, order.attempt_no, order=order)
            return self._objects.intent(reply.content, order.attempt_no, order=order)
        refusal = self._wire.refusal("close", reply)
        if refusal.state is ChannelState.NOT_FOUND:
            return refusal
        if reply.replayed or reply.status == 400:
            found = await self._ask(replace(order, channel_order_no=thing_id))
            if found.state in _ENDED:
                return found
        return replace(refusal, state=ChannelState.UNKNOWN)

    async def capture(self, order: Order, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Take authorized money, once; what is left is released."""
        del now
        _check_number(order.attempt_no, "attempt_no")
        if not 0 < amount_minor <= order.amount_minor:
            raise InvalidParameter("more than was authorized", param="amount_minor")
        try:
            intent_id = await self._refunds.intent_of(order)
            if intent_id is None:
                return ChannelAnswer(ChannelState.NOT_FOUND)
            fields = {"amount_to_capture": str(amount_minor), **_EXPAND}
            path, key = f"/v1/payment_intents/{intent_id}/capture", f"{order.attempt_no}-capture"
            reply = await self._wire.post(path, fields, key=key)
            if reply.ok and not reply.replayed:
                return self._objects.intent(reply.content, order.attempt_no, order=order)
            found = await self._ask(replace(order, channel_order_no=intent_id))
            if found.state in _ENDED:
                return found
            return replace(self._wire.refusal("capture", reply), state=ChannelState.UNKNOWN)
        except NoWord as nothing:
            return nothing.answer

    async def refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Give money back to the card."""
        _check_number(refund.refund_no, "refund_no")
        _check_number(refund.order.attempt_no, "attempt_no")
        try:
            return await self._refunds.refund(refund, now=now)
        except NoWord as nothing:
            return nothing.answer

    async def query_refund(self, refund: Refund, *, now: datetime) -> ChannelAnswer:
        """Ask what became of a refund."""
        del now
        _check_number(refund.refund_no, "refund_no")
        try:
            return await self._refunds.query(refund)
        except NoWord as nothing:
            return nothing.answer

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify and read an event. One that is about nothing of ours is genuine and forgotten."""
        try:
            self._keys.verify(headers.get(SIGNATURE_HEADER, ""), body, now=now)
        except Unproven as error:
            raise NotificationRefused(f"the notification is refused: {error}") from None
        try:
            return read_event(self._objects, body)
        except NoWord as nothing:
            raise NotificationRefused(f"the notification is refused: {nothing.answer.channel_code}") from None

    def accept_notification(self) -> HttpAnswer:
        return HttpAnswer(200)

    def refuse_notification(self, reason: str) -> HttpAnswer:  # noqa: ARG002 - a forger learns nothing from us
        return HttpAnswer(400)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the day's balance transactions, page by page."""
        return await download(self._wire, kind, day, folder, now=now)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return read(bill)

    async def diagnose(self, *, now: datetime) -> list[Finding]:
        """Look at the key, the mode, the clock, the account and its webhook endpoint."""
        return await examine(self._wire, livemode=self._keys.livemode, now=now)

    async def _refused(self, interface: str, reply: Reply, order: Order, now: datetime) -> ChannelAnswer:
        """What a refusal to make an order amounts to.

        It speaks of one submission only. An earlier one under the same number would have been replayed to us, but only
        for a day and only if the number was used for the same, so the number is looked for before a failure is told.
        """
        refusal = self._wire.refusal(interface, reply)
        if refusal.state is not ChannelState.FAILED:
            return refusal
        try:
            found = await self._settled(await self._ask(order), order, now)
        except NoWord:
            return replace(refusal, state=ChannelState.UNKNOWN)
        if found.state in _ENDED:
            return found
        if found.state is ChannelState.NOT_FOUND:
            return refusal
        return replace(refusal, state=ChannelState.UNKNOWN)


def _check_number(number: str, param: str) -> None:
    if not NUMBER.fullmatch(number):
        raise InvalidParameter("Stripe does not take this number", param=param)


def _ending_key(order: Order, now: datetime) -> str:
    """A refused end is kept for a day too, and asking later must not be answered with it, so the minute is in the key.

    Ending twice does no more than ending once.
    """
    return f"{order.attempt_no}-end-{now:%Y%m%d%H%M}"


def _metadata(name: str, request: PayRequest) -> dict[str, str]:
    """What makes the order findable, and tells the sandbox where to send its messages; Stripe itself only keeps it."""
    return {f"{name}[attempt_no]": request.attempt_no, f"{name}[notify_url]": request.notify_url[:500]}
