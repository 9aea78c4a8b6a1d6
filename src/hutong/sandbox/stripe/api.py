"""What Stripe's interfaces do in the simulator: PaymentIntents, Checkout Sessions, refunds, the balance."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from hutong.sandbox.store import Book, Order, OrderState, Refund
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.validation import (
    Form,
    Refusal,
    address,
    expands,
    integer,
    known,
    money,
    needed,
    one_of,
    page,
    written,
)

_BORN = {"charge": None, "born": True, "error": None}
_METHODS: Mapping[str, str | None] = {
    # Stripe's own test methods: what the card's bank says when it is charged.
    "pm_card_visa": None,
    "pm_card_mastercard": None,
    "pm_card_unionpay": None,
    "pm_card_threeDSecure2Required": "3ds",
    "pm_card_authenticationRequired": "3ds",
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "lost_card",
    "pm_card_visa_chargeDeclinedStolenCard": "stolen_card",
    "pm_card_chargeDeclinedFraudulent": "fraudulent",
}
_CANCELABLE = (OrderState.OPEN, OrderState.DECLINED, OrderState.AUTHORIZED)
_INTENT = (
    "amount", "currency", "payment_method", "payment_method_types", "capture_method", "confirm", "return_url",
    "description", "metadata", "expand",
)  # fmt: skip
_SESSION = (
    "mode", "payment_method_types", "client_reference_id", "line_items", "payment_intent_data", "success_url",
    "cancel_url", "metadata", "expand",
)  # fmt: skip
_QUERY = re.compile(r"metadata\['(\w{1,40})'\]:'([^']{1,500})'")

Tell = Callable[[str, Order | Refund], None]


class StripeApi:
    """The work of each call, after it was authenticated and its faults were met.

    Args:
        tell: Notifies of an order or a refund, as an event of this type.
    """

    def __init__(self, book: Book, tell: Tell) -> None:
        self.book = book
        self._tell = tell
        self._intents: dict[str, Order] = {}
        self._sessions: dict[str, Order] = {}
        self._refunds: dict[str, Refund] = {}

    def order(self, thing_id: str) -> Order | None:
        """The order of an intent's or a session's id."""
        return self._intents.get(thing_id) or self._sessions.get(thing_id)

    # PaymentIntents.

    def make_intent(self, form: Form, base: str) -> dict[str, Any]:
        known(form, _INTENT)
        amount, currency = money(form, "amount", needed(form, "currency"))
        method = form.get("payment_method")
        if method is not None and method not in _METHODS:
            raise Refusal(400, "resource_missing", f"No such PaymentMethod: '{method}'", param="payment_method")
        capture = one_of(form, "capture_method", ("automatic", "automatic_async", "manual"), "automatic") != "manual"
        order = self._place(form, amount, currency, capture=capture, code_url=f"{base}/stripe/authenticate/")
        order.data |= {"payment_method": method, "return_url": form.get("return_url")}
        order.data["status"] = "requires_confirmation" if method else "requires_payment_method"
        if form.get("confirm") == "true":
            self._confirm(order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _place(self, form: Form, amount: int, currency: str, *, capture: bool, code_url: str) -> Order:
        metadata = written(form)
        intent_id = f"pi_{secrets.token_hex(12)}"
        order = Order(
            order_no=metadata.get("attempt_no", intent_id),
            channel_order_no=intent_id,
            amount_minor=amount,
            currency=currency.upper(),
            description=str(form.get("description", "")),
            notify_url=metadata.get("notify_url", ""),
            content=form,
            code_url=code_url + intent_id,
            expires_at=None,
            method="card",
            capture=capture,
            data=_BORN
            | {
                "secret": secrets.token_hex(12),
                "created": objects.seconds(self.book.clock.now()),
                "metadata": metadata,
                "charge": f"ch_{secrets.token_hex(12)}",
            },
        )
        self.book.place(order)
        self._intents[intent_id] = order
        return order

    def confirm(self, intent_id: str, form: Form) -> dict[str, Any]:
        known(form, ("return_url", "payment_method", "expand"))
        order = self._intent(intent_id)
        if objects.status(order) not in ("requires_confirmation", "requires_payment_method"):
            raise self._unexpected(order, "confirm")
        if "return_url" in form:
            order.data["return_url"] = address(form, "return_url")
        if "payment_method" in form:
            if form["payment_method"] not in _METHODS:
                raise Refusal(400, "resource_missing", "No such PaymentMethod", param="payment_method")
            order.data["payment_method"] = form["payment_method"]
            order.state = OrderState.OPEN
        self._confirm(order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _confirm(self, order: Order) -> None:
        method = order.data["payment_method"]
        if method is None:
            raise self._unexpected(order, "confirm")
        said = _METHODS[method]
        if said == "3ds":
            order.data["status"] = "requires_action"
        elif said is not None:
            self.decline(order, said)
            error = {name: value for name, value in order.data["error"].items() if name != "type"}
            raise Refusal(402, kind="card_error", kept=True, payment_intent=objects.intent(order), **error)
        else:
            self.pay(order)

    def intent(self, intent_id: str, query: Form) -> dict[str, Any]:
        return objects.intent(self._intent(intent_id), expand=expands(query, "latest_charge"))

    def search(self, query: Form) -> dict[str, Any]:
        matched = _QUERY.fullmatch(str(query.get("query", "")))
        if matched is None:
            raise Refusal(400, None, "We were unable to parse your search query.", param="query")
        name, wanted = matched.groups()
        found = [o for o in self._intents.values() if o.data["born"] and o.data["metadata"].get(name) == wanted]
        shown = [objects.intent(order, expand=expands(query, "data.latest_charge")) for order in found]
        return {"object": "search_result", "data": shown, "has_more": False, "next_page": None, "url": "…/search"}

    def capture(self, intent_id: str, form: Form) -> dict[str, Any]:
        known(form, ("amount_to_capture", "expand"))
        order = self._intent(intent_id)
        if order.state is not OrderState.AUTHORIZED:
            raise self._unexpected(order, "capture")
        amount = integer(form, "amount_to_capture") if "amount_to_capture" in form else order.amount_minor
        if amount > order.amount_minor:
            raise Refusal(400, "amount_too_large", "More than is capturable.", param="amount_to_capture")
        self.book.capture(order, amount)
        self._tell("payment_intent.succeeded", order)
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def cancel(self, intent_id: str, form: Form) -> dict[str, Any]:
        known(form, ("cancellation_reason", "expand"))
        order = self._intent(intent_id)
        if order.state not in _CANCELABLE or (order.data.get("session") and order.state is OrderState.OPEN):
            raise self._unexpected(order, "cancel")
        self.book.change(order, OrderState.CLOSED, "closed")
        return objects.intent(order, expand=expands(form, "latest_charge"))

    def _intent(self, intent_id: str) -> Order:
        order = self._intents.get(intent_id)
        if order is None or not order.data["born"]:
            raise Refusal(404, "resource_missing", f"No such payment_intent: '{intent_id}'", param="intent")
        return order

    def _unexpected(self, order: Order, verb: str) -> Refusal:
        return Refusal(
            400,
            "payment_intent_unexpected_state",
            f"You cannot {verb} this PaymentIntent because it has a status of {objects.status(order)}.",
            payment_intent=objects.intent(order),
            kept=True,
        )

    # What payers do.

    def pay(self, order: Order, *, force: bool = False, delta_minor: int = 0) -> bool:
        """The card is charged; `Book.pay` says when that is not possible."""
        if not self.book.pay(order, force=force):
            return False
        order.data |= {"born": True, "delta": delta_minor}
        paid = order.state is OrderState.PAID
        self._tell("payment_intent.succeeded" if paid else "payment_intent.amount_capturable_updated", order)
        return True

    def decline(self, order: Order, said: str | None = None) -> bool:
        """The bank says no, or, where it says nothing, the payer has not proven to be himself.

        A token is spent by that; on Stripe's page the payer may take another card.
        """
        if not self.book.payable(order):
            return False
        code, message = "card_declined", "Your card was declined."
        if said is None:
            code, message = "payment_intent_authentication_failure", "The card has failed authentication."
        order.data |= {"born": True, "error": {"type": "card_error", "code": code, "message": message}}
        if said is not None:
            order.data["error"]["decline_code"] = said
        order.data["status"] = "requires_payment_method"
        if not order.data.get("session"):
            self.book.decline(order)
        self._tell("payment_intent.payment_failed", order)
        return True

    # Checkout Sessions.

    def make_session(self, form: Form, base: str) -> dict[str, Any]:
        known(form, _SESSION)
        one_of(form, "mode", ("payment",), "")
        amount, currency, name = _line(form)
        inner = form.get("payment_intent_data", {})
        known(inner, ("capture_method", "description", "metadata"), "payment_intent_data")
        capture = one_of(inner, "capture_method", ("automatic", "automatic_async", "manual"), "automatic") != "manual"
        back, away = address(form, "success_url"), address(form, "cancel_url")
        session_id = f"cs_test_{secrets.token_hex(24)}"
        said = {"metadata": inner.get("metadata", {}), "description": inner.get("description", name)}
        order = self._place(said, amount, currency, capture=capture, code_url=f"{base}/stripe/pay/{session_id}?")
        order.data |= {
            "session": session_id,
            "born": False,
            "status": "requires_payment_method",
            "metadata": written(form),
            "reference": form.get("client_reference_id"),
            "return_url": back,
            "cancel_url": away,
        }
        self._sessions[session_id] = order
        return objects.session(order)

    def session(self, session_id: str, query: Form) -> dict[str, Any]:
        return objects.session(self._session(session_id), expand=expands(query, "payment_intent"))

    def expire(self, session_id: str, form: Form) -> dict[str, Any]:
        known(form, ("expand",))
        order = self._session(session_id)
        if order.state is not OrderState.OPEN:
            raise Refusal(400, None, "Only Checkout Sessions with a status in [open] can be expired.", kept=True)
        self.book.change(order, OrderState.CLOSED, "closed")
        return objects.session(order, expand=expands(form, "payment_intent"))

    def _session(self, session_id: str) -> Order:
        order = self._sessions.get(session_id)
        if order is None:
            raise Refusal(404, "resource_missing", f"No such checkout.session: {session_id}", param="session")
        return order

    # Refunds.

    def make_refund(self, form: Form) -> dict[str, Any]:
        known(form, ("payment_intent", "charge", "amount", "metadata", "reason", "expand"))
        order = self._refundable(form)
        left = self.book.refundable_minor(order)
        if order.state is not OrderState.PAID:
            raise Refusal(400, None, "This PaymentIntent does not have a successful charge to refund.")
        if left <= 0:
            raise Refusal(400, "charge_already_refunded", f"Charge {order.data['charge']} has already been refunded.")
        amount = integer(form, "amount") if "amount" in form else left
        if amount > left:
            raise Refusal(400, None, f"Refund amount ({amount}) is greater than what is left ({left}).", param="amount")
        metadata = written(form)
        refund_id = f"re_{secrets.token_hex(12)}"
        refund = Refund(
            refund_no=metadata.get("refund_no", refund_id),
            channel_refund_no=refund_id,
            order=order,
            amount_minor=amount,
            currency=order.currency,
            notify_url=metadata.get("notify_url", order.notify_url),
            content=form,
            created_at=self.book.clock.now(),
            data={"metadata": metadata},
        )
        self._refunds[refund_id] = refund
        self.book.start_refund(refund)
        return objects.refund(refund)

    def _refundable(self, form: Form) -> Order:
        if "charge" in form:
            found = [order for order in self._intents.values() if order.data["charge"] == form["charge"]]
            if not found:
                raise Refusal(400, "resource_missing", f"No such charge: '{form['charge']}'", param="charge")
            return found[0]
        order = self._intents.get(needed(form, "payment_intent"))
        if order is None:
            raise Refusal(400, "resource_missing", "No such payment_intent", param="payment_intent")
        return order

    def refund(self, refund_id: str) -> dict[str, Any]:
        refund = self._refunds.get(refund_id)
        if refund is None:
            raise Refusal(404, "resource_missing", f"No such refund: '{refund_id}'", param="id")
        return objects.refund(refund)

    def refunds(self, query: Form) -> dict[str, Any]:
        wanted = query.get("payment_intent")
        made = [r for r in self._refunds.values() if wanted in (None, r.order.channel_order_no)]
        found = page(made[::-1], query, lambda refund: str(refund.channel_refund_no), "/v1/refunds")
        return found | {"data": [objects.refund(refund) for refund in found["data"]]}

    def finish_refund(self, refund: Refund, *, succeeded: bool) -> bool:
        if not self.book.finish_refund(refund, succeeded=succeeded):
            return False
        self._tell("refund.updated" if succeeded else "refund.failed", refund)
        return True


def _line(form: Form) -> tuple[int, str, str]:
    """Amount, currency and name of the one thing that is paid for."""
    items = needed(form, "line_items")
    item = items.get("0") if isinstance(items, dict) and len(items) == 1 else None
    if not isinstance(item, dict) or item.get("quantity") != "1" or not isinstance(item.get("price_data"), dict):
        raise Refusal(400, "parameter_missing", "Missing required param: line_items[0].", param="line_items")
    price = item["price_data"]
    known(price, ("currency", "unit_amount", "product_data"), "line_items[0][price_data]")
    amount, currency = money(price, "unit_amount", needed(price, "currency"))
    product = price.get("product_data")
    name = product.get("name") if isinstance(product, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= 250:
        raise Refusal(400, "parameter_missing", "Missing required param: name.", param="product_data[name]")
    return amount, currency, name
