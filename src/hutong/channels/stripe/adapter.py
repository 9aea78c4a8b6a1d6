"""Stripe: cards, by a token or on Stripe's own page; wallets, by Stripe's form or by themselves.

`card`, `stripe_alipay` and `stripe_wechat` create a PaymentIntent and confirm it in a second call. Money moves only
after the second, and by then its id is known, so an attempt whose number a search does not find yet has taken nothing.
`card_page` creates a Checkout Session, whose address only we receive; `stripe_element` an intent, whose client secret
only we receive and hand to the merchant's page. No card number ever reaches us.

Stripe's answers are not signed. They are trusted because TLS proves the one host that is configured. Its notifications
are signed and are trusted for that alone.

Every change carries an Idempotency-Key made of our number. Stripe answers a repetition with its first answer, so an
answer marked as replayed is never read: the object itself is queried.

Source:
    https://docs.stripe.com/api/payment_intents, https://docs.stripe.com/api/checkout/sessions,
    https://docs.stripe.com/api/idempotent_requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from hutong.channels.bill import Bill, BillRow
from hutong.channels.capability import BillRule, Capabilities, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.disputes import DisputeReport, DisputeResponse, ResponseAnswer
from hutong.channels.errors import NoAnswer
from hutong.channels.http import Http
from hutong.channels.model import (
    FINAL_STATES,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    OrderReference,
    PayRequest,
    RefundRequest,
    after_sending,
)
from hutong.channels.protocol import AccountFinding, Channel
from hutong.channels.refusals import confirm_refusal
from hutong.channels.stripe.bill import KIND, download_bill, read_bill
from hutong.channels.stripe.client import StripeClient, StripeReply
from hutong.channels.stripe.credentials import StripeCredentials, StripeKeys
from hutong.channels.stripe.diagnostics import diagnose
from hutong.channels.stripe.disputes import RULE, StripeDisputes
from hutong.channels.stripe.notifications import complete_notification, parse_notification
from hutong.channels.stripe.refunds import StripeRefunds
from hutong.channels.stripe.requests import (
    AMOUNT_MINOR_MAX,
    AMOUNT_MINOR_MAX_OF,
    AMOUNT_MINOR_MIN,
    ELEMENT,
    EXPAND,
    EXPAND_SESSION,
    METHODS,
    ONCE,
    PAGE,
    REFUND_WINDOW,
    charge_fields,
    check_capture,
    check_number,
    check_order,
    close_key,
    page_fields,
    to_units,
)
from hutong.channels.stripe.responses import StripeResponses, element_action, is_id

_UNDER_WAY = frozenset({"requires_confirmation", "requires_action", "processing"})


class Stripe(Channel):
    """One account, in live or in test mode."""

    capabilities = Capabilities(
        channel="stripe",
        methods=METHODS,
        currencies=frozenset(AMOUNT_MINOR_MIN),
        amount_minor_min=min(AMOUNT_MINOR_MIN.values()),
        amount_minor_max=AMOUNT_MINOR_MAX,
        expiry_min=timedelta(minutes=1),
        expiry_max=timedelta(hours=23),  # Stripe keeps a key for a day, and no attempt may outlive its own
        resubmits=True,
        refund=RefundRule(window=REFUND_WINDOW, count_max=100),
        partial_capture=True,
        authorization_kept=timedelta(days=7),
        amount_minor_min_of=AMOUNT_MINOR_MIN,
        amount_minor_max_of=AMOUNT_MINOR_MAX_OF,
        bill=BillRule((KIND,), "stripe_balance", 1, timedelta(0), timedelta(days=3650)),
        disputes=RULE,
    )
    acceptance = HttpAnswer(200)
    refusal = HttpAnswer(400)
    Credentials: ClassVar[type[BaseModel]] = StripeCredentials
    code_map = files("hutong.channels.codes") / "maps" / "stripe.csv"
    documented_codes = files("hutong.channels.codes") / "maps" / "stripe.documented.csv"

    def __init__(self, credentials: StripeCredentials, http: Http, codes: Codes) -> None:
        self.capabilities = replace(
            type(self).capabilities, methods={name: METHODS[name] for name in METHODS if name in credentials.methods}
        )
        self._publishable_key = credentials.publishable_key
        self._keys = StripeKeys(credentials)
        self._client = StripeClient(credentials, http, self._keys)
        self._responses = StripeResponses(codes, livemode=self._keys.livemode)
        self._refunds = StripeRefunds(self._client, self._responses)
        self._disputes = StripeDisputes(self._client, self._responses)

    async def pay(self, request: PayRequest, *, now: datetime) -> ChannelAnswer:
        """Take the money with a token, or create the page on which the payer enters a card at Stripe."""
        check_order(request, self.capabilities)
        order = OrderReference(
            request.attempt_no,
            request.method,
            request.amount_minor,
            request.currency,
            request.placed_at or now,
            expires_at=request.expires_at,
        )
        try:
            if request.method == PAGE:
                return await self._open_page(request, order, now)
            if request.method == ELEMENT:
                return await self._open_element(request, order, now)
            return await self._charge(request, order, now)
        except NoAnswer as error:
            return error.answer

    async def _charge(self, request: PayRequest, order: OrderReference, now: datetime) -> ChannelAnswer:
        reply = await self._client.post("/v1/payment_intents", charge_fields(request), key=request.attempt_no)
        if not reply.ok:
            return await self._confirm_order_refusal(reply, order, now)
        intent_id = str(self._responses.intent(reply.content, request.attempt_no, order=order).channel_order_no)
        try:
            reply = await self._confirm_intent(reply, intent_id, request)
            if reply.ok:
                answer = self._responses.intent(reply.content, request.attempt_no, order=order)
                return await self._cancel_declined(answer, order, now)
            refusal = replace(self._responses.refusal("pay", reply), channel_order_no=intent_id)
            if refusal.state is not ChannelState.FAILED:
                return replace(refusal, state=ChannelState.UNKNOWN)
            # The card was declined, but the intent could still be paid: it is canceled first.
            cancelled = await self._cancel(order, intent_id, now)
            if cancelled.state is ChannelState.SUCCEEDED:
                return cancelled
            impossible = cancelled.state in (ChannelState.CLOSED, ChannelState.FAILED)
            return refusal if impossible else replace(refusal, state=ChannelState.UNKNOWN)
        except NoAnswer as error:
            return replace(after_sending(error.answer), channel_order_no=intent_id)

    async def _confirm_intent(self, reply: StripeReply, intent_id: str, request: PayRequest) -> StripeReply:
        """Confirm a new PaymentIntent; one that was confirmed before is queried."""
        if reply.replayed:
            reply = await self._client.get(f"/v1/payment_intents/{intent_id}", EXPAND)
        if reply.content.get("status") == "requires_confirmation":
            fields = EXPAND | ({"return_url": request.return_url} if request.return_url else {})
            path, key = f"/v1/payment_intents/{intent_id}/confirm", f"{request.attempt_no}-confirm"
            reply = await self._client.post(path, fields, key=key)
            if reply.replayed:
                reply = await self._client.get(f"/v1/payment_intents/{intent_id}", EXPAND)
        return reply

    async def _open_page(self, request: PayRequest, order: OrderReference, now: datetime) -> ChannelAnswer:
        reply = await self._client.post("/v1/checkout/sessions", page_fields(request), key=request.attempt_no)
        if not reply.ok:
            return await self._confirm_order_refusal(reply, order, now)
        if reply.replayed and is_id(reply.content.get("id"), "cs_"):
            try:
                return await self._find(replace(order, channel_order_no=str(reply.content["id"])))
            except NoAnswer as error:
                return after_sending(error.answer)
        return self._responses.session(reply.content, request.attempt_no, order=order)

    async def _open_element(self, request: PayRequest, order: OrderReference, now: datetime) -> ChannelAnswer:
        """Create an intent that Stripe's form in the merchant's page confirms, with what that form needs."""
        reply = await self._client.post("/v1/payment_intents", charge_fields(request), key=request.attempt_no)
        if not reply.ok:
            return await self._confirm_order_refusal(reply, order, now)
        try:
            if reply.replayed and is_id(reply.content.get("id"), "pi_"):
                reply = await self._client.get(f"/v1/payment_intents/{reply.content['id']}", EXPAND)
            answer = self._responses.intent(reply.content, request.attempt_no, order=order)
            return replace(answer, action=element_action(reply.content, self._publishable_key))
        except NoAnswer as error:
            return after_sending(error.answer)

    async def _confirm_order_refusal(self, reply: StripeReply, order: OrderReference, now: datetime) -> ChannelAnswer:
        # Stripe would replay an earlier submission to us, but only for a day and only for the same content.
        return await confirm_refusal(self._responses.refusal("pay", reply), lambda: self._query(order, now))

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query by Stripe's id where it is known, else look for our number.

        The search lags behind by a minute, or more during an outage, so that it may find nothing yet; for accounts in
        India it is refused, and lists are looked through. An attempt that
        it does not find has not been confirmed, or nobody has opened its page; see the top of this file.
        """
        check_number(order.attempt_no, "attempt_no")
        try:
            return await self._query(order, now)
        except NoAnswer as error:
            return error.answer

    async def _query(self, order: OrderReference, now: datetime) -> ChannelAnswer:
        return await self._cancel_declined(await self._find(order), order, now)

    async def _find(self, order: OrderReference) -> ChannelAnswer:
        attempt_no, order_no = order.attempt_no, order.channel_order_no
        if order_no is not None and is_id(order_no, "cs_"):
            reply = await self._client.get(f"/v1/checkout/sessions/{order_no}", EXPAND_SESSION)
            if reply.ok:
                return self._responses.session(reply.content, attempt_no, order=order)
        elif order_no is not None and is_id(order_no, "pi_"):
            reply = await self._client.get(f"/v1/payment_intents/{order_no}", EXPAND)
            if reply.ok:
                return self._responses.intent(reply.content, attempt_no, order=order)
        else:
            found = await self._client.find_intents(order)
            if isinstance(found, list):
                if not found:
                    return ChannelAnswer(ChannelState.NOT_FOUND)
                if len(found) == 1:
                    return self._responses.intent(found[0], attempt_no, order=order)
                raise NoAnswer("unreadable", "several PaymentIntents have this number")
            reply = found
        return self._responses.refusal("query", reply)

    async def _cancel_declined(self, answer: ChannelAnswer, order: OrderReference, now: datetime) -> ChannelAnswer:
        """Return the answer; after the one way to pay was declined, cancel the intent, which proves the failure.

        A token is used up, and so is a wallet's address or code, but an intent that waits for another payment method
        could still be paid. On Stripe's page, and in its form, the payer takes another one.
        """
        declined = answer.state is ChannelState.PENDING and answer.channel_code not in _UNDER_WAY
        if order.method not in ONCE or not declined:
            return answer
        cancelled = await self._cancel(order, str(answer.channel_order_no), now)
        return cancelled if cancelled.state in FINAL_STATES else replace(answer, state=ChannelState.UNKNOWN)

    async def close(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Cancel the intent or expire the page; where the money is taken, the answer is SUCCEEDED.

        A page whose payer has agreed cannot expire any more: its intent holds the money, and is canceled.
        """
        check_number(order.attempt_no, "attempt_no")
        try:
            order_no = order.channel_order_no
            if order_no is None or is_id(order_no, "cs_"):
                current = await self._find(order)
                if current.state is not ChannelState.PENDING and current.state is not ChannelState.AUTHORIZED:
                    return current
                order_no = str(current.channel_order_no)
            if is_id(order_no, "cs_"):
                return await self._expire(order, order_no, now)
            return await self._cancel(order, order_no, now)
        except NoAnswer as error:
            return error.answer

    async def _cancel(self, order: OrderReference, intent_id: str, now: datetime) -> ChannelAnswer:
        if not is_id(intent_id, "pi_"):
            raise NoAnswer("unreadable", "not the id of a PaymentIntent")
        path, key = f"/v1/payment_intents/{intent_id}/cancel", close_key(order, now)
        return await self._read_close(order, intent_id, await self._client.post(path, EXPAND, key=key))

    async def _expire(self, order: OrderReference, session_id: str, now: datetime) -> ChannelAnswer:
        path, key = f"/v1/checkout/sessions/{session_id}/expire", close_key(order, now)
        return await self._read_close(order, session_id, await self._client.post(path, EXPAND_SESSION, key=key))

    async def _read_close(self, order: OrderReference, object_id: str, reply: StripeReply) -> ChannelAnswer:
        """Return the outcome of closing. Stripe refuses to close an object that has ended: then query the object."""
        if reply.ok and not reply.replayed:
            if reply.content.get("object") == "checkout.session":
                return self._responses.session(reply.content, order.attempt_no, order=order)
            return self._responses.intent(reply.content, order.attempt_no, order=order)
        refusal = self._responses.refusal("close", reply)
        if refusal.state is ChannelState.NOT_FOUND:
            return refusal
        if reply.replayed or reply.status == 400:
            answer = await self._find(replace(order, channel_order_no=object_id))
            if answer.state in FINAL_STATES:
                return answer
        return replace(refusal, state=ChannelState.UNKNOWN)

    async def capture(self, order: OrderReference, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Take authorized money, once; the rest is released."""
        del now
        check_capture(order, amount_minor)
        try:
            intent_id = await self._refunds.find_intent(order)
            if intent_id is None:
                return ChannelAnswer(ChannelState.NOT_FOUND)
            fields = {"amount_to_capture": to_units(amount_minor, order.currency), **EXPAND}
            path, key = f"/v1/payment_intents/{intent_id}/capture", f"{order.attempt_no}-capture"
            reply = await self._client.post(path, fields, key=key)
            if reply.ok and not reply.replayed:
                return self._responses.intent(reply.content, order.attempt_no, order=order)
            answer = await self._find(replace(order, channel_order_no=intent_id))
            if answer.state in FINAL_STATES:
                return answer
            return replace(self._responses.refusal("capture", reply), state=ChannelState.UNKNOWN)
        except NoAnswer as error:
            return error.answer

    async def refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Give money back to the card."""
        return await self._refunds.refund(refund, now=now)

    async def query_refund(self, refund: RefundRequest, *, now: datetime) -> ChannelAnswer:
        """Query the state of a refund."""
        return await self._refunds.query_refund(refund, now=now)

    async def query_dispute(self, dispute_no: str, *, now: datetime) -> DisputeReport | None:
        """Query a dispute."""
        del now
        return await self._disputes.query(dispute_no)

    async def list_disputes(self, day: date, *, now: datetime) -> list[DisputeReport] | None:
        """List the disputes that were opened on a day in UTC."""
        del now
        return await self._disputes.list_day(day)

    async def respond_to_dispute(self, response: DisputeResponse, *, now: datetime) -> ResponseAnswer:
        """Submit evidence once, or close a dispute, which gives the money up."""
        del now
        return await self._disputes.respond(response)

    def parse_notification(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Notification:
        """Verify and read an event. An event that is about nothing of ours is accepted and dropped."""
        return parse_notification(self._keys, self._responses, headers, body, now=now)

    async def complete_notification(self, notification: Notification, *, now: datetime) -> Notification | None:
        """Fetch the object that a thin event names."""
        del now
        return await complete_notification(self._client, self._responses, notification)

    async def download_bill(self, kind: str, day: date, folder: Path, *, now: datetime) -> Bill:
        """Fetch the day's balance transactions, page by page."""
        return await download_bill(self._client, self._responses, kind, day, folder, now=now)

    def read_bill(self, bill: Bill) -> Iterator[BillRow]:
        return read_bill(bill)

    async def diagnose(self, *, now: datetime) -> list[AccountFinding]:
        """Check the key, the mode, the clock, the account and its webhook endpoint."""
        del now
        return await diagnose(self._client, livemode=self._keys.livemode)
