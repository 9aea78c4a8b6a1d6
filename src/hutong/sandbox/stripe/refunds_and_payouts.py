"""Refunds at the Stripe simulator; its account makes no payouts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from hutong.sandbox.records import OrderState, SandboxOrder, SandboxRefund
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.currencies import to_minor, to_units
from hutong.sandbox.stripe.orders import StripeOrders
from hutong.sandbox.stripe.validation import Form, StripeRefusal, check_step, page


class StripeRefundSimulator:
    """The refunds of the account.

    Args:
        notify: Notifies about a refund, as an event of this type.
    """

    def __init__(self, store: Store, orders: StripeOrders, notify: Callable[[str, SandboxRefund], None]) -> None:
        self._store = store
        self._orders = orders
        self._notify = notify
        self._refunds: dict[str, SandboxRefund] = {}

    def create(self, form: Form) -> dict[str, Any]:
        order = self._order_of(form)
        left = self._store.refundable_minor(order)
        if order.state is not OrderState.PAID:
            raise StripeRefusal(400, None, "This PaymentIntent does not have a successful charge to refund.")
        if left <= 0:
            raise StripeRefusal(
                400, "charge_already_refunded", f"Charge {order.data['charge']} has already been refunded."
            )
        if any(one.order is order and not objects.is_refundable(one) for one in self._store.disputes.values()):
            message = f"Charge {order.data['charge']} has been charged back; cannot issue a refund."
            raise StripeRefusal(400, "charge_disputed", message)
        units = int(form.get("amount", to_units(left, order.currency)))
        check_step(units, order.currency, "amount")
        amount = to_minor(units, order.currency)
        if amount > left:
            raise StripeRefusal(
                400, None, f"Refund amount ({amount}) is greater than what is left ({left}).", param="amount"
            )
        refund = self._new(order, amount, dict(form.get("metadata", {})), form)
        self._store.start_refund(refund)
        return objects.refund(refund)

    def _new(self, order: SandboxOrder, amount_minor: int, metadata: dict[str, str], form: Form) -> SandboxRefund:
        refund_id = f"{'re' if order.data['charge'].startswith('ch_') else 'pyr'}_{secrets.token_hex(12)}"
        refund = SandboxRefund(
            refund_no=metadata.get("refund_no", refund_id),
            channel_refund_no=refund_id,
            order=order,
            amount_minor=amount_minor,
            currency=order.currency,
            notify_url=metadata.get("notify_url", order.notify_url),
            content=form,
            created_at=self._store.clock.now(),
            data={"metadata": metadata},
        )
        self._refunds[refund_id] = refund
        return refund

    def give_back_in_dashboard(self, order: SandboxOrder, amount_minor: int) -> SandboxRefund | None:
        """Refund as a person in the dashboard does: without metadata."""
        refund = self._new(order, amount_minor, {}, {})
        if not self._store.give_back_in_portal(refund):
            del self._refunds[refund.channel_refund_no]
            return None
        self._notify("refund.created", refund)
        return refund

    def fail(self, refund: SandboxRefund) -> bool:
        """Let a refund fail that has succeeded."""
        if not self._store.return_refund(refund):
            return False
        self._notify("refund.failed", refund)
        return True

    def _order_of(self, form: Form) -> SandboxOrder:
        if "charge" in form:
            order = self._orders.of_charge(form["charge"])
            if order is None:
                raise StripeRefusal(400, "resource_missing", f"No such charge: '{form['charge']}'", param="charge")
            return order
        order = self._orders.of_intent(form["payment_intent"])
        if order is None:
            raise StripeRefusal(400, "resource_missing", "No such payment_intent", param="payment_intent")
        return order

    def retrieve(self, refund_id: str) -> dict[str, Any]:
        refund = self._refunds.get(refund_id)
        if refund is None:
            raise StripeRefusal(404, "resource_missing", f"No such refund: '{refund_id}'", param="id")
        return objects.refund(refund)

    def list_refunds(self, query: Form) -> dict[str, Any]:
        intent_id = query.get("payment_intent")
        refunds = [r for r in self._refunds.values() if intent_id in (None, r.order.channel_order_no)]
        listed = page(refunds[::-1], query, lambda refund: str(refund.channel_refund_no), "/v1/refunds")
        return listed | {"data": [objects.refund(refund) for refund in listed["data"]]}

    def finish(self, refund: SandboxRefund, *, succeeded: bool) -> bool:
        if not self._store.finish_refund(refund, succeeded=succeeded):
            return False
        self._notify("refund.updated" if succeeded else "refund.failed", refund)
        return True
