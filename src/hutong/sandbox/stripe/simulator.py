"""Stripe's API with Stripe's own strictness, idempotency keys and signatures.

At Stripe an account's settings choose the address of each event; here it is in the order's `metadata[notify_url]`.

Source:
    https://docs.stripe.com/api, https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/webhooks.
    Stripe documents repetitions over three days with growing waits; the waits here are chosen to fit.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
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
from hutong.sandbox.records import Coupon, SandboxDispute, SandboxOrder, SandboxPayout, SandboxRefund
from hutong.sandbox.simulator import Simulator, answer_call
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import objects, pages
from hutong.sandbox.stripe.bill import KIND, balance_transactions, bill_entries, movements
from hutong.sandbox.stripe.disputes import StripeDisputeSimulator
from hutong.sandbox.stripe.keys import StripeSandboxKeys
from hutong.sandbox.stripe.orders import StripeOrders
from hutong.sandbox.stripe.protocol import StripeAnswer, api_key, fail, reply
from hutong.sandbox.stripe.refunds_and_payouts import StripeRefundSimulator
from hutong.sandbox.stripe.validation import Form, StripeRefusal, check, parse

SCHEDULE_S = (300, 1800, 7200, 18000, 36000, 43200, 43200, 43200, 43200)
_KEYS_KEPT = timedelta(hours=24)
_PUBLIC = re.compile("/v1/payment_intents/pi_[0-9a-f]+(/confirm)?")
"""What a payer's browser may call."""

Work = Callable[[Form, web.Request], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _KeptAnswer:
    request: tuple[str, str]
    answer: StripeAnswer
    request_id: str
    at: datetime


class StripeSimulator(Simulator):
    """One account's view of Stripe, in test mode."""

    channel = "stripe"
    interfaces = frozenset(
        {"place", "confirm", "query", "close", "capture", "refund", "query_refund", "bill", "account"}
        | {"search", "query_dispute", "list_disputes", "respond", "close_dispute"}
    )
    schedule_s = SCHEDULE_S
    bill_kinds = (KIND,)
    settlements = ((KIND, ""),)
    odd_state = "payment_reversal"

    def __init__(self, folder: Path, store: Store, notifier: Notifier) -> None:
        self.store = store
        self._keys = StripeSandboxKeys.load(folder)
        self._notifier = notifier
        self._disputes = StripeDisputeSimulator(store, self._notify)
        self._orders = StripeOrders(store, self._notify, self._dispute_whole)
        self._refunds = StripeRefundSimulator(store, self._orders, self._notify)
        self._kept: dict[str, _KeptAnswer] = {}
        self._notify_faults = NotifyFaults()
        self._rolled = 0

    @classmethod
    def credentials(cls, folder: Path, url: str) -> dict[str, object]:
        return StripeSandboxKeys.load(folder).credentials(url)

    @staticmethod
    def accepted(status: int, body: bytes) -> bool:  # noqa: ARG004 - only the status counts
        return 200 <= status < 300

    def routes(self) -> list[web.RouteDef]:
        orders, refunds, store = self._orders, self._refunds, self.store
        intent, session = "/v1/payment_intents", "/v1/checkout/sessions"
        return [
            self._route("POST", intent, "place", lambda form, request: orders.create_intent(form, _base(request))),
            self._route("POST", session, "place", lambda form, request: orders.create_session(form, _base(request))),
            self._route("GET", f"{intent}/search", "search", lambda form, _: orders.search(form)),
            self._route("GET", intent, "query", lambda form, _: orders.list_intents(form)),
            self._route(
                "GET",
                f"{intent}/{{id}}",
                "query",
                lambda form, request: orders.intent(_id(request), form, is_public=self._is_public(request)),
            ),
            self._route("GET", f"{session}/{{id}}", "query", lambda form, request: orders.session(_id(request), form)),
            self._route(
                "POST",
                f"{intent}/{{id}}/confirm",
                "confirm",
                lambda form, request: orders.confirm(_id(request), form, is_public=self._is_public(request)),
            ),
            self._route(
                "POST", f"{intent}/{{id}}/capture", "capture", lambda form, request: orders.capture(_id(request), form)
            ),
            self._route(
                "POST", f"{intent}/{{id}}/cancel", "close", lambda form, request: orders.cancel(_id(request), form)
            ),
            self._route(
                "POST", f"{session}/{{id}}/expire", "close", lambda form, request: orders.expire(_id(request), form)
            ),
            self._route("POST", "/v1/refunds", "refund", lambda form, _: refunds.create(form)),
            self._route("GET", "/v1/refunds", "query_refund", lambda form, _: refunds.list_refunds(form)),
            self._route("GET", "/v1/refunds/{id}", "query_refund", lambda _, request: refunds.retrieve(_id(request))),
            self._route(
                "GET",
                "/v1/balance_transactions",
                "bill",
                lambda form, _: balance_transactions(store, form),
            ),
            self._route("GET", "/v1/balance", "account", lambda *_: _BALANCE),
            self._route("GET", "/v1/webhook_endpoints", "account", lambda *_: _ENDPOINTS),
            *self._dispute_routes(),
            *pages.routes(orders, store),
        ]

    def _dispute_routes(self) -> list[web.RouteDef]:
        disputes, path = self._disputes, "/v1/disputes"
        return [
            self._route("GET", path, "list_disputes", lambda form, _: disputes.list_disputes(form)),
            self._route(
                "GET", f"{path}/{{id}}", "query_dispute", lambda form, request: disputes.retrieve(_id(request), form)
            ),
            self._route("POST", f"{path}/{{id}}", "respond", lambda form, request: disputes.update(_id(request), form)),
            self._route(
                "POST",
                f"{path}/{{id}}/close",
                "close_dispute",
                lambda form, request: disputes.close(_id(request), form),
            ),
        ]

    # Actions of payers and banks, requested by the control API or the payer's page.

    def unusable(self, order: SandboxOrder, coupons: Sequence[Coupon]) -> str | None:  # noqa: ARG002
        return "Stripe takes no coupons for an amount that is fixed" if coupons else None

    def awaits_payer(self, order: SandboxOrder) -> bool:
        return pages.awaits_payer(order)

    def pay(self, order: SandboxOrder, faults: NotifyFaults, *, force: bool = False) -> bool:
        return self._with_faults(faults, lambda: self._orders.pay(order, force=force))

    def decline(self, order: SandboxOrder, faults: NotifyFaults) -> bool:
        is_3ds = not order.data.get("session") and objects.status(order) == "requires_action"
        return self._with_faults(faults, lambda: self._orders.decline(order, None if is_3ds else "generic_decline"))

    def finish_refund(self, refund: SandboxRefund, faults: NotifyFaults, *, succeeded: bool) -> bool:
        return self._with_faults(faults, lambda: self._refunds.finish(refund, succeeded=succeeded))

    def give_back_in_portal(
        self,
        order: SandboxOrder,
        amount_minor: int,
        faults: NotifyFaults,
        *,
        numbered: bool = True,  # noqa: ARG002
    ) -> SandboxRefund | None:
        given: list[SandboxRefund | None] = []

        def work() -> bool:
            given.append(self._refunds.give_back_in_dashboard(order, amount_minor))
            return given[0] is not None

        self._with_faults(faults, work)
        return given[0]

    def return_refund(self, refund: SandboxRefund, faults: NotifyFaults) -> bool:
        return self._with_faults(faults, lambda: self._refunds.fail(refund))

    def open_dispute(
        self,
        order: SandboxOrder,
        faults: NotifyFaults,
        *,
        amount_minor: int,
        reason: str | None,
        form: str | None,
        statement: str,  # noqa: ARG002 - Stripe does not pass on what the payer says
    ) -> SandboxDispute | None:
        opened: list[SandboxDispute | None] = []

        def work() -> bool:
            opened.append(self._disputes.open(order, amount_minor, reason or "fraudulent", form))
            return opened[0] is not None

        self._with_faults(faults, work)
        return opened[0]

    def move_dispute(self, dispute: SandboxDispute, faults: NotifyFaults, *, status: str) -> bool:
        return self._with_faults(faults, lambda: self._disputes.move(dispute, status))

    def _dispute_whole(self, order: SandboxOrder, reason: str, form: str | None) -> None:
        self._disputes.open(order, order.captured_minor, reason, form)

    def finish_payout(self, payout: SandboxPayout, faults: NotifyFaults, *, succeeded: bool) -> bool:  # noqa: ARG002
        return False

    def entries(self, kind: str, day: date) -> list[Entry]:  # noqa: ARG002 - there is one kind
        return bill_entries(self.store, day)

    def bill(self, kind: str, day: date) -> bytes:
        planted = self.store.planted.get((kind, day.isoformat()))
        rows = self.entries(kind, day) if planted is None else planted
        return b"".join(orjson.dumps(objects.transaction(row, expand=True)) + b"\n" for row in reversed(rows))

    def rotate(self) -> bool:
        """Roll the endpoint's secret: the old one signs too, until the next call."""
        self._rolled = min(self._rolled + 1, 2)
        return True

    def _with_faults(self, faults: NotifyFaults, work: Callable[[], bool]) -> bool:
        self._notify_faults = faults
        try:
            return work()
        finally:
            self._notify_faults = self.store.faults.notify

    def _notify(self, kind: str, subject: SandboxOrder | SandboxRefund | SandboxDispute) -> None:
        faults, event_id, at = (
            self._notify_faults,
            f"evt_{secrets.token_hex(12)}",
            getattr(subject, "returned_at", None) or subject.changed_at or self.store.clock.now(),
        )
        if isinstance(subject, SandboxOrder):
            document = objects.intent(subject, delta_minor=faults.amount_delta_minor)
        elif isinstance(subject, SandboxDispute):
            document = objects.dispute(subject, movements(subject))
        else:
            document = objects.refund(subject, delta_minor=faults.amount_delta_minor)
        form = objects.thin_event if faults.named_only else objects.event
        event = form(event_id, kind, document, at)
        if faults.other_account:
            event["context" if faults.named_only else "account"] = "acct_1SandboxConnected"
        body = orjson.dumps(event)

        def message() -> tuple[Mapping[str, str], bytes]:
            signature = self._keys.sign(body, int(self.store.clock.now().timestamp()), rolled=self._rolled)
            return {"Stripe-Signature": signature, "Content-Type": "application/json; charset=utf-8"}, body

        self._notifier.start(subject, faults, message)

    # The channel's interfaces.

    def _route(self, method: str, path: str, interface: str, work: Work) -> web.RouteDef:
        def checked(form: Form, request: web.Request) -> dict[str, Any]:
            check(f"{method} {path}", form, strict=self.store.faults.strict)
            return work(form, request)

        async def answer(request: web.Request) -> web.StreamResponse:
            body = (await request.read()).decode("utf-8", "replace")
            try:
                self._authenticate(request)
                form = parse(body if method == "POST" else request.query_string)
            except StripeRefusal as refusal:
                return web.json_response(refusal.body, status=refusal.status)
            number, text = self._subject(request, form)
            self._notify_faults = self.store.faults.notify
            return await answer_call(
                self,
                request,
                self._faulted(interface),
                number=number,
                text=text,
                work=lambda: self._once(request, body, lambda: checked(form, request)),
                fail=fail,
                reply=lambda answer, kind: reply(request, answer, kind, self.store.clock.now()),
            )

        return web.route(method, path, answer)

    def _faulted(self, interface: str) -> str:
        """Return the interface whose faults apply: a search is a query, unless faults of searches are waiting."""
        is_search = any(call.interface == "search" for call in self.store.faults.calls)
        return "query" if interface == "search" and not is_search else interface

    def _authenticate(self, request: web.Request) -> None:
        key = api_key(request)
        if self._is_public(request):
            if not _PUBLIC.fullmatch(request.path):
                raise StripeRefusal(403, "secret_key_required", "This API call cannot be made with a publishable key.")
        elif not hmac.compare_digest(key.encode(), self._keys.secret_key.encode()):
            raise StripeRefusal(401, None, f"Invalid API Key provided: {key[:8]}****")

    def _is_public(self, request: web.Request) -> bool:
        """Return whether the caller is a payer's browser, which also has to know the intent's client secret."""
        return hmac.compare_digest(api_key(request).encode(), self._keys.publishable_key.encode())

    def _once(self, request: web.Request, body: str, work: Callable[[], dict[str, Any]]) -> StripeAnswer:
        """Do the work, or repeat the answer to the first call with this key."""
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is not None and len(key) > 255:
            return StripeAnswer(400, StripeRefusal(400, None, "Idempotency-Key is too long").body)
        now, identity = self.store.clock.now(), (request.path, body)
        kept = self._kept.get(key) if key is not None else None
        if kept is not None and now - kept.at < _KEYS_KEPT:
            if kept.request != identity:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                return StripeAnswer(400, StripeRefusal(400, None, message, kind="idempotency_error").body)
            return StripeAnswer(kept.answer.status, kept.answer.body, kept.request_id)
        keep = True
        try:
            answer = StripeAnswer(200, work())
        except StripeRefusal as refusal:
            answer, keep = StripeAnswer(refusal.status, refusal.body), refusal.kept
        if key is not None and keep:
            self._kept[key] = _KeptAnswer(identity, answer, f"req_{secrets.token_hex(7)}", now)
        return answer

    def _subject(self, request: web.Request, form: Form) -> tuple[str, str]:
        """Return the platform's number of a call's subject and further text, for matching faults."""
        object_id = request.match_info.get("id") or str(form.get("payment_intent", ""))
        metadata = form.get("metadata")
        if isinstance(metadata, dict) and object_id not in self.store.disputes:
            number = metadata.get("refund_no") or metadata.get("attempt_no")
            return str(number or ""), str(form.get("description", ""))
        order = self._orders.find(object_id)
        if order is not None:
            refunds = [refund.refund_no for refund in self.store.refunds.values() if refund.order is order]
            lists_refunds = request.path == "/v1/refunds"
            return order.order_no, " ".join(refunds) if lists_refunds else order.description
        if object_id in self.store.disputes:
            return self.store.disputes[object_id].order.order_no, object_id
        refunds = [r.refund_no for r in self.store.refunds.values() if r.channel_refund_no == object_id]
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
