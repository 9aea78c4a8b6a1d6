"""Orders at the Stripe simulator: PaymentIntents and Checkout Sessions."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from hutong.sandbox.records import OrderState, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import methods, objects
from hutong.sandbox.stripe.currencies import to_minor, to_units
from hutong.sandbox.stripe.validation import Form, StripeRefusal, check_step, expands, page

_CANCELABLE = (OrderState.OPEN, OrderState.DECLINED, OrderState.AUTHORIZED)
_QUERY = re.compile(r"metadata\['(\w{1,40})'\]:'([^']{1,500})'")

Notify = Callable[[str, SandboxOrder], None]
Dispute = Callable[[SandboxOrder, str, str | None], None]


class StripeOrders:
    """The PaymentIntents and Checkout Sessions of the account.

    Args:
        notify: Notifies about an order, as an event of this type.
        dispute: Disputes a paid order, with a reason and a form.
    """

    def __init__(self, store: Store, notify: Notify, dispute: Dispute) -> None:
        self._store = store
        self._dispute = dispute
        self._notify = notify
        self._intents: dict[str, SandboxOrder] = {}
        self._sessions: dict[str, SandboxOrder] = {}

    def find(self, object_id: str) -> SandboxOrder | None:
        """Return the order of an intent's or a session's id."""
        return self._intents.get(object_id) or self._sessions.get(object_id)

    def of_intent(self, intent_id: str) -> SandboxOrder | None:
        """Return the order of an intent's id."""
        return self._intents.get(intent_id)

    def of_charge(self, charge_id: str) -> SandboxOrder | None:
        """Return the order of a charge's id."""
        return next((order for order in self._intents.values() if order.data["charge"] == charge_id), None)

    # PaymentIntents.

    def create_intent(self, form: Form, base: str) -> dict[str, Any]:
        amount, currency = int(form["amount"]), form["currency"].lower()
        types = methods.method_types(form, currency)
        method = methods.method_of(form, types)
        capture = form.get("capture_method") != "manual"
        address = f"{base}/stripe/authenticate/"
        code_url = "weixin://wxpay/bizpayurl?pr=" if types == ("wechat_pay",) else address
        order = self._place(form, amount, currency, capture=capture, code_url=code_url, types=types)
        order.data |= {"payment_method": method, "return_url": form.get("return_url")}
        order.data |= {"options": form.get("payment_method_options", {})}
        order.data["status"] = "requires_confirmation" if method else "requires_payment_method"
        if form.get("confirm") == "true":
            self._confirm(order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _place(
        self, form: Form, amount: int, currency: str, *, capture: bool, code_url: str, types: tuple[str, ...]
    ) -> SandboxOrder:
        metadata = dict(form.get("metadata", {}))
        intent_id = f"pi_{secrets.token_hex(12)}"
        order = SandboxOrder(
            order_no=metadata.get("attempt_no", intent_id),
            channel_order_no=intent_id,
            amount_minor=to_minor(amount, currency),
            currency=currency.upper(),
            description=str(form.get("description", "")),
            notify_url=metadata.get("notify_url", ""),
            content=form,
            code_url=code_url + intent_id,
            expires_at=None,
            method=types[0] if types else "card",
            capture=capture,
            data={
                "born": True,
                "error": None,
                "secret": secrets.token_hex(12),
                "created": objects.seconds(self._store.clock.now()),
                "metadata": metadata,
                "charge": f"{'ch' if types[:1] in ((), methods.CARD) else 'py'}_{secrets.token_hex(12)}",
                "types": types,
            },
        )
        self._store.place(order)
        self._intents[intent_id] = order
        return order

    def confirm(self, intent_id: str, form: Form, *, is_public: bool) -> dict[str, Any]:
        """Confirm an intent.

        Args:
            is_public: The caller is the payer's browser, with the publishable key and the intent's client secret.
        """
        order = self._intent(intent_id)
        methods.check_client_secret(form, objects.client_secret(order), is_public=is_public)
        if objects.status(order) not in ("requires_confirmation", "requires_payment_method"):
            raise self._unexpected(order, "confirm")
        if "return_url" in form:
            order.data["return_url"] = form["return_url"]
        order.data["options"] = form.get("payment_method_options", order.data["options"])
        method = methods.method_of(form, order.data["types"])
        if method is not None:
            order.data["payment_method"] = method
            order.state = OrderState.OPEN
        self._confirm(order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _confirm(self, order: SandboxOrder) -> None:
        method = order.data["payment_method"]
        if method is None:
            raise self._unexpected(order, "confirm")
        if method in methods.WALLETS:
            methods.check_wallet(method, order.data["options"], order.data["return_url"])
            order.data["status"] = "requires_action"
            return
        decline_code = methods.TOKENS[method]
        if decline_code == methods.AUTHENTICATE:
            order.data["status"] = "requires_action"
        elif decline_code == methods.DELAYED:
            order.data["status"] = "processing"
            self._notify("payment_intent.processing", order)
        elif decline_code is not None:
            self.decline(order, decline_code)
            error = {name: value for name, value in order.data["error"].items() if name != "type"}
            raise StripeRefusal(402, kind="card_error", kept=True, payment_intent=objects.intent(order), **error)
        else:
            self.pay(order)

    def intent(self, intent_id: str, query: Form, *, is_public: bool) -> dict[str, Any]:
        order = self._intent(intent_id)
        methods.check_client_secret(query, objects.client_secret(order), is_public=is_public)
        return objects.intent(order, expand=expands(query, "latest_charge"))

    def list_intents(self, query: Form) -> dict[str, Any]:
        """List the intents, newest first."""
        created = query.get("created", {})
        start, end = int(created.get("gte", 0)), int(created.get("lte", 1 << 35))
        orders = [o for o in self._intents.values() if o.data["born"] and start <= o.data["created"] <= end]
        listed = page(orders[::-1], query, lambda order: str(order.channel_order_no), "/v1/payment_intents")
        expand = expands(query, "data.latest_charge")
        return listed | {"data": [objects.intent(order, expand=expand) for order in listed["data"]]}

    def search(self, query: Form) -> dict[str, Any]:
        matched = _QUERY.fullmatch(str(query.get("query", "")))
        if matched is None:
            raise StripeRefusal(400, None, "We were unable to parse your search query.", param="query")
        name, value = matched.groups()
        orders = [o for o in self._intents.values() if o.data["born"] and o.data["metadata"].get(name) == value]
        intents = [objects.intent(order, expand=expands(query, "data.latest_charge")) for order in orders]
        return {"object": "search_result", "data": intents, "has_more": False, "next_page": None, "url": "…/search"}

    def capture(self, intent_id: str, form: Form) -> dict[str, Any]:
        order = self._intent(intent_id)
        if order.state is not OrderState.AUTHORIZED:
            raise self._unexpected(order, "capture")
        whole = to_units(order.amount_minor, order.currency)
        amount = int(form.get("amount_to_capture", whole))
        check_step(amount, order.currency, "amount_to_capture")
        if amount > whole:
            raise StripeRefusal(400, "amount_too_large", "More than is capturable.", param="amount_to_capture")
        self._store.capture(order, to_minor(amount, order.currency))
        self._notify("payment_intent.succeeded", order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def cancel(self, intent_id: str, form: Form) -> dict[str, Any]:
        order = self._intent(intent_id)
        waits = order.state is OrderState.OPEN
        if order.state not in _CANCELABLE or (
            waits and (order.data.get("session") or objects.status(order) == "processing")
        ):
            raise self._unexpected(order, "cancel")
        self._store.change(order, OrderState.CLOSED, "closed")
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _intent(self, intent_id: str) -> SandboxOrder:
        order = self._intents.get(intent_id)
        if order is None or not order.data["born"]:
            raise StripeRefusal(404, "resource_missing", f"No such payment_intent: '{intent_id}'", param="intent")
        return order

    def _unexpected(self, order: SandboxOrder, verb: str) -> StripeRefusal:
        return StripeRefusal(
            400,
            "payment_intent_unexpected_state",
            f"You cannot {verb} this PaymentIntent because it has a status of {objects.status(order)}.",
            payment_intent=objects.intent(order),
            kept=True,
        )

    # Actions of payers.

    def pay(self, order: SandboxOrder, *, force: bool = False, delta_minor: int = 0) -> bool:
        """Charge the card; return whether that was possible, see `Store.pay`."""
        if not self._store.pay(order, force=force):
            return False
        order.data |= {"born": True, "delta": delta_minor}
        captured = order.state is OrderState.PAID
        if captured and order.data.get("payment_method") in methods.DISPUTED:
            self._dispute(order, *methods.DISPUTED[order.data["payment_method"]])
        self._notify("payment_intent.succeeded" if captured else "payment_intent.amount_capturable_updated", order)
        return True

    def decline(self, order: SandboxOrder, decline_code: str | None = None) -> bool:
        """Decline an order as the bank; without a code, the payer's authentication has failed.

        That uses a token up; on Stripe's page, and in its form, the payer may take another card.
        """
        if not self._store.payable(order):
            return False
        code, message = "card_declined", "Your card was declined."
        if decline_code is None:
            code, message = "payment_intent_authentication_failure", "The payer has failed authentication."
        if objects.status(order) == "processing":
            decline_code, code, message = None, "payment_intent_payment_attempt_failed", "The payment attempt failed."
        order.data |= {"born": True, "error": {"type": "card_error", "code": code, "message": message}}
        if decline_code is not None:
            order.data["error"]["decline_code"] = decline_code
        order.data["status"] = "requires_payment_method"
        if not order.data.get("session") and order.data["types"]:
            self._store.decline(order)
        self._notify("payment_intent.payment_failed", order)
        return True

    # Checkout Sessions.

    def create_session(self, form: Form, base: str) -> dict[str, Any]:
        if form["mode"] != "payment":
            raise StripeRefusal(400, None, "The sandbox plays the mode `payment` only", param="mode")
        amount, currency, name = _line(form)
        inner = form.get("payment_intent_data", {})
        capture = inner.get("capture_method") != "manual"
        session_id = f"cs_test_{secrets.token_hex(24)}"
        intent_form = {"metadata": inner.get("metadata", {}), "description": inner.get("description", name)}
        order = self._place(
            intent_form,
            amount,
            currency,
            capture=capture,
            code_url=f"{base}/stripe/pay/{session_id}?",
            types=methods.CARD,
        )
        order.data |= {
            "session": session_id,
            "born": False,
            "status": "requires_payment_method",
            "metadata": dict(form.get("metadata", {})),
            "reference": form.get("client_reference_id"),
            "return_url": form["success_url"],
            "cancel_url": form.get("cancel_url"),
        }
        self._sessions[session_id] = order
        return objects.session(order)

    def session(self, session_id: str, query: Form) -> dict[str, Any]:
        return objects.session(self._session(session_id), expand=expands(query, "payment_intent"))

    def expire(self, session_id: str, form: Form) -> dict[str, Any]:
        order = self._session(session_id)
        if order.state is not OrderState.OPEN:
            raise StripeRefusal(400, None, "Only Checkout Sessions with a status in [open] can be expired.", kept=True)
        self._store.change(order, OrderState.CLOSED, "closed")
        return objects.session(order, expand=expands(form, "payment_intent"))

    def _session(self, session_id: str) -> SandboxOrder:
        order = self._sessions.get(session_id)
        if order is None:
            raise StripeRefusal(404, "resource_missing", f"No such checkout.session: {session_id}", param="session")
        return order


def _line(form: Form) -> tuple[int, str, str]:
    """Return the amount, currency and name of the one line item."""
    item = form["line_items"].get("0") if len(form["line_items"]) == 1 else None
    if item is None or item["quantity"] != "1":
        raise StripeRefusal(400, None, "The sandbox plays one line item of quantity 1 only", param="line_items")
    price = item["price_data"]
    return int(price["unit_amount"]), price["currency"].lower(), price["product_data"]["name"]
