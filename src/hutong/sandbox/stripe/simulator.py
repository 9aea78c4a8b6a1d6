"""Stripe, as Stripe answers: strict about what it is sent, true to its idempotency keys, signing its messages for real.

Which events are sent where is set per account at Stripe; here an order tells it, in `metadata[notify_url]`.

Source:
    https://docs.stripe.com/api, https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/webhooks.
    Stripe says of its repetitions that they go on for three days with growing waits; the waits here are made to fit.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from hutong.sandbox.bill import Entry
from hutong.sandbox.faults import NotifyFaults
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.simulator import Simulator, meet
from hutong.sandbox.store import Book, Order, Payout, Refund
from hutong.sandbox.stripe import bill as stripe_bill
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe import pages as stripe_pages
from hutong.sandbox.stripe.api import StripeApi
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.stripe.validation import Form, Refusal, parse

SCHEDULE_S = (300, 1800, 7200, 18000, 36000, 43200, 43200, 43200, 43200)
_KEYS_KEPT = timedelta(hours=24)

Work = Callable[[Form, web.Request], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what is said with it; `original` is the request that a replayed answer was first given to."""

    status: int
    said: Mapping[str, Any]
    original: str | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    asked: tuple[str, str]
    answer: Answer
    request_id: str
    at: datetime


class StripeSimulator(Simulator):
    """One account's view of Stripe, in test mode."""

    channel = "stripe"
    interfaces = frozenset(
        {"place", "confirm", "query", "close", "capture", "refund", "query_refund", "bill", "account"}
    )
    schedule_s = SCHEDULE_S
    bill_kinds = (stripe_bill.KIND,)
    odd_state = "payment_reversal"

    def __init__(self, folder: Path, book: Book, notifier: Notifier) -> None:
        self.book = book
        self._keys = StripeSandboxKeys.load(folder)
        self._notifier = notifier
        self._api = StripeApi(book, self._tell)
        self._kept: dict[str, _Kept] = {}
        self._told = NotifyFaults()
        self._rolled = 0

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return StripeSandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - the body of an acceptance is not read
        return 200 <= status < 300

    def routes(self) -> list[web.RouteDef]:
        api, book = self._api, self.book
        intent, session = "/v1/payment_intents", "/v1/checkout/sessions"
        return [
            self._route("POST", intent, "place", lambda form, request: api.make_intent(form, _base(request))),
            self._route("POST", session, "place", lambda form, request: api.make_session(form, _base(request))),
            self._route("GET", f"{intent}/search", "query", lambda form, _: api.search(form)),
            self._route("GET", f"{intent}/{{id}}", "query", lambda form, request: api.intent(_id(request), form)),
            self._route("GET", f"{session}/{{id}}", "query", lambda form, request: api.session(_id(request), form)),
            self._route(
                "POST", f"{intent}/{{id}}/confirm", "confirm", lambda form, request: api.confirm(_id(request), form)
            ),
            self._route(
                "POST", f"{intent}/{{id}}/capture", "capture", lambda form, request: api.capture(_id(request), form)
            ),
            self._route(
                "POST", f"{intent}/{{id}}/cancel", "close", lambda form, request: api.cancel(_id(request), form)
            ),
            self._route(
                "POST", f"{session}/{{id}}/expire", "close", lambda form, request: api.expire(_id(request), form)
            ),
            self._route("POST", "/v1/refunds", "refund", lambda form, _: api.make_refund(form)),
            self._route("GET", "/v1/refunds", "query_refund", lambda form, _: api.refunds(form)),
            self._route("GET", "/v1/refunds/{id}", "query_refund", lambda _, request: api.refund(_id(request))),
            self._route(
                "GET",
                "/v1/balance_transactions",
                "bill",
                lambda form, _: stripe_bill.balance_transactions(book, form),
            ),
            self._route("GET", "/v1/balance", "account", lambda *_: _BALANCE),
            self._route("GET", "/v1/webhook_endpoints", "account", lambda *_: _ENDPOINTS),
            *stripe_pages.routes(api),
        ]

    # What payers and banks do, told by the control API or the payer's page.

    def pay(self, order: Order, faults: NotifyFaults, *, force: bool = False) -> bool:
        return self._with(faults, lambda: self._api.pay(order, force=force))

    def decline(self, order: Order, faults: NotifyFaults) -> bool:
        waits = not order.data.get("session") and objects.status(order) == "requires_action"
        return self._with(faults, lambda: self._api.decline(order, None if waits else "generic_decline"))

    def finish_refund(self, refund: Refund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        return self._with(faults, lambda: self._api.finish_refund(refund, succeeded=succeeded))

    def finish_payout(self, payout: Payout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return False

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002 - there is one kind
        return stripe_bill.entries(self.book, day)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.book.planted.get((kind, day.isoformat()))
        rows = self.entries(kind, day) if planted is None else planted
        return b"".join(orjson.dumps(objects.transaction(row, expand=True)) + b"\n" for row in reversed(rows))

    def rotate(self) -> bool:
        """Roll the endpoint's secret: the old one signs too, until this is called again."""
        self._rolled = min(self._rolled + 1, 2)
        return True

    def _with(self, faults: NotifyFaults, work: Callable[[], bool]) -> bool:
        self._told = faults
        try:
            return work()
        finally:
            self._told = self.book.faults.notify

    def _tell(self, kind: str, about: Order | Refund) -> None:
        faults, event_id, at = self._told, f"evt_{secrets.token_hex(12)}", about.changed_at or self.book.clock.now()
        if isinstance(about, Order):
            thing = objects.intent(about, delta_minor=faults.amount_delta_minor)
        else:
            thing = objects.refund(about, delta_minor=faults.amount_delta_minor)
        body = orjson.dumps(objects.event(event_id, kind, thing, at))

        def message() -> tuple[Mapping[str, str], bytes]:
            signature = self._keys.sign(body, int(self.book.clock.now().timestamp()), rolled=self._rolled)
            return {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}, body

        self._notifier.start(about, faults, message)

    # The interfaces.

    def _route(self, method: str, path: str, interface: str, work: Work) -> web.RouteDef:
        async def answer(request: web.Request) -> web.StreamResponse:
            body = (await request.read()).decode("utf-8", "replace")
            try:
                self._authenticate(request)
                form = parse(body if method == "POST" else request.query_string)
            except Refusal as refusal:
                return web.json_response(refusal.body, status=refusal.status)
            number, text = self._about(request, form)
            self._told = self.book.faults.notify
            return await meet(
                self,
                request,
                interface,
                number=number,
                text=text,
                work=lambda: self._once(request, body, lambda: work(form, request)),
                fail=_fail,
                reply=lambda said, kind: _reply(request, said, kind),
            )

        return web.route(method, path, answer)

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                given = ""
        if scheme not in ("Bearer", "Basic") or not given:
            raise Refusal(401, None, "You did not provide an API key.")
        if not hmac.compare_digest(given.encode(), self._keys.secret_key.encode()):
            raise Refusal(401, None, f"Invalid API Key provided: {given[:8]}****")

    def _once(self, request: web.Request, body: str, work: Callable[[], dict[str, Any]]) -> Answer:
        """Do it, or say again what was said to the first call with this key."""
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is not None and len(key) > 255:
            return Answer(400, Refusal(400, None, "Idempotency-Key is too long").body)
        now, asked = self.book.clock.now(), (request.path, body)
        kept = self._kept.get(key) if key is not None else None
        if kept is not None and now - kept.at < _KEYS_KEPT:
            if kept.asked != asked:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return Answer(400, Refusal(400, None, message, kind="idempotency_error").body)
            return Answer(kept.answer.status, kept.answer.said, kept.request_id)
        keep = True
        try:
            answer = Answer(200, work())
        except Refusal as refusal:
            answer, keep = Answer(refusal.status, refusal.body), refusal.kept
        if key is not None and keep:
            self._kept[key] = _Kept(asked, answer, f"req_{secrets.token_hex(7)}", now)
        return answer

    def _about(self, request: web.Request, form: Form) -> tuple[str, str]:
        """The platform's number that a call is about, for matching faults."""
        thing_id = request.match_info.get("id") or str(form.get("payment_intent", ""))
        metadata = form.get("metadata")
        if isinstance(metadata, dict):
            number = metadata.get("refund_no") or metadata.get("attempt_no")
            return str(number or ""), str(form.get("description", ""))
        order = self._api.order(thing_id)
        if order is not None:
            refunds = [refund.refund_no for refund in self.book.refunds.values() if refund.order is order]
            listing = request.path == "/v1/refunds"
            return order.order_no, " ".join(refunds) if listing else order.description
        refunds = [r.refund_no for r in self.book.refunds.values() if r.channel_refund_no == thing_id]
        return (refunds[0] if refunds else ""), unquote(request.query_string)


_BALANCE: dict[str, Any] = {"object": "balance", "livemode": False, "available": [], "pending": []}
_ENDPOINTS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": "we_sandbox", "object": "webhook_endpoint", "status": "enabled", "enabled_events": ["*"]}],
    "has_more": False,
    "url": "/v1/webhook_endpoints",
}


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _fail(status: int | None, code: str | None) -> Answer:
    kind = "invalid_request_error" if status is not None and status < 500 else "api_error"
    return Answer(status or 500, Refusal(0, code, code or "An error occurred with Stripe's servers.", kind=kind).body)


def _reply(request: web.Request, answer: Answer, kind: str) -> web.StreamResponse:
    said: Any = answer.said
    if kind in ("unsigned", "bad_signature", "stale"):
        # Stripe signs no answer; what stands in for one that is not its own is a page of something on the way.
        return web.Response(status=answer.status, text="<html>Welcome to the hotel</html>", content_type="text/html")
    if kind == "other_order":
        things = said["data"] if isinstance(said.get("data"), list) else [said]
        other = [dict(thing) | {"metadata": {"attempt_no": "another_order_no"}} for thing in things]
        said = dict(said) | {"data": other} if isinstance(said.get("data"), list) else other[0]
    body = orjson.dumps(said)
    if kind == "malformed":
        body = b'{"id": "pi_'
    elif kind == "too_long":
        body += b" " * (2 << 20)
    headers = {"Content-Type": "application/json", "Request-Id": f"req_{secrets.token_hex(7)}"}
    headers["Stripe-Version"] = request.headers.get("Stripe-Version", objects.API_VERSION)
    if answer.original is not None:
        headers |= {"Idempotent-Replayed": "true", "Original-Request": answer.original}
    return web.Response(status=answer.status, body=body, headers=headers)
