"""Stripe's objects in answers and events, made from the store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hutong.sandbox.bill import Entry
from hutong.sandbox.records import OrderState, OutgoingState, SandboxDispute, SandboxOrder, SandboxRefund
from hutong.sandbox.stripe.currencies import to_units

API_VERSION = "2025-03-31.basil"
_INTENT_STATES = {
    OrderState.CLOSED: "canceled",
    OrderState.PAID: "succeeded",
    OrderState.AUTHORIZED: "requires_capture",
    OrderState.DECLINED: "requires_payment_method",
}
_REFUND_STATES = {
    OutgoingState.PENDING: "pending",
    OutgoingState.SUCCEEDED: "succeeded",
    OutgoingState.FAILED: "failed",
}


def seconds(at: datetime | None) -> int | None:
    """Return an instant as Stripe writes it, in whole seconds."""
    return None if at is None else int(at.timestamp())


def status(order: SandboxOrder) -> str:
    """Return the status of a PaymentIntent."""
    return _INTENT_STATES.get(order.state) or str(order.data["status"])


def intent(order: SandboxOrder, *, expand: bool = False, delta_minor: int = 0) -> dict[str, Any]:
    """Return a PaymentIntent.

    Args:
        expand: Include its charge as an object.
        delta_minor: Added to its amounts.
    """
    state, charged = status(order), order.state in (OrderState.PAID, OrderState.AUTHORIZED)
    units = partial(to_units, currency=order.currency)
    latest_charge = charge(order) if expand else order.data["charge"]
    return {
        "id": order.channel_order_no,
        "object": "payment_intent",
        "amount": units(order.amount_minor) + delta_minor,
        "amount_capturable": units(order.amount_minor) if order.state is OrderState.AUTHORIZED else 0,
        "amount_received": units(order.captured_minor) + delta_minor if order.state is OrderState.PAID else 0,
        "canceled_at": seconds(order.changed_at) if order.state is OrderState.CLOSED else None,
        "capture_method": "automatic" if order.capture else "manual",
        "automatic_payment_methods": None if order.data["types"] else {"allow_redirects": "always", "enabled": True},
        "client_secret": client_secret(order),
        "created": order.data["created"],
        "currency": order.currency.lower(),
        "description": order.description or None,
        "last_payment_error": order.data.get("error") if state in ("requires_payment_method", "canceled") else None,
        "latest_charge": latest_charge if charged else None,
        "livemode": False,
        "metadata": order.data["metadata"],
        "next_action": _next_action(order) if state == "requires_action" else None,
        "payment_method": order.data.get("payment_method"),
        "payment_method_types": list(order.data["types"]) or ["card", "alipay", "wechat_pay", "us_bank_account"],
        "status": state,
    }


def client_secret(order: SandboxOrder) -> str:
    """Return the secret with which the payer's browser confirms an intent."""
    return f"{order.channel_order_no}_secret_{order.data['secret']}"


def _next_action(order: SandboxOrder) -> dict[str, Any]:
    return_url, method = order.data.get("return_url"), order.data.get("payment_method")
    if method == "wechat_pay":
        code = {
            "data": order.code_url,
            "image_data_url": "data:image/png;base64,",
            "image_url_png": "",
            "image_url_svg": "",
        }
        return {"type": "wechat_pay_display_qr_code", "wechat_pay_display_qr_code": code}
    if method == "alipay":
        page = {"native_data": None, "native_url": None, "return_url": return_url, "url": order.code_url}
        return {"type": "alipay_handle_redirect", "alipay_handle_redirect": page}
    if return_url is None:
        return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": ""}}
    return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": order.code_url}}


def charge(order: SandboxOrder) -> dict[str, Any]:
    """Return the charge of an intent that is paid or authorized."""
    return {
        "id": order.data["charge"],
        "object": "charge",
        "amount": to_units(order.amount_minor, order.currency),
        "amount_captured": to_units(order.captured_minor, order.currency),
        "captured": order.state is OrderState.PAID,
        "created": seconds(order.paid_at or order.changed_at),
        "currency": order.currency.lower(),
        "livemode": False,
        "metadata": order.data["metadata"],
        "paid": True,
        "payment_intent": order.channel_order_no,
        "status": "succeeded",
    }


def session(order: SandboxOrder, *, expand: bool = False) -> dict[str, Any]:
    """Return a Checkout Session. Its PaymentIntent exists once the payer first attempts to pay."""
    state = {OrderState.OPEN: "open", OrderState.CLOSED: "expired"}.get(order.state, "complete")
    payment_intent = intent(order, expand=True) if expand else order.channel_order_no
    return {
        "id": order.data["session"],
        "object": "checkout.session",
        "amount_total": to_units(order.amount_minor, order.currency),
        "cancel_url": order.data["cancel_url"],
        "client_reference_id": order.data["reference"],
        "created": order.data["created"],
        "currency": order.currency.lower(),
        "expires_at": order.data["created"] + 86_400,
        "livemode": False,
        "metadata": order.data["metadata"],
        "mode": "payment",
        "payment_intent": payment_intent if order.data["born"] else None,
        "payment_status": "paid" if order.state is OrderState.PAID else "unpaid",
        "status": state,
        "success_url": order.data["return_url"],
        "url": order.code_url if state == "open" else None,
    }


def refund(refund: SandboxRefund, *, delta_minor: int = 0) -> dict[str, Any]:
    """Return a refund."""
    document: dict[str, Any] = {
        "id": refund.channel_refund_no,
        "object": "refund",
        "amount": to_units(refund.amount_minor, refund.currency) + delta_minor,
        "charge": refund.order.data["charge"],
        "created": seconds(refund.created_at),
        "currency": refund.currency.lower(),
        "metadata": refund.data["metadata"],
        "payment_intent": refund.order.channel_order_no,
        "reason": None,
        "status": _REFUND_STATES[refund.state],
    }
    if refund.state is OutgoingState.FAILED:
        document["failure_reason"] = "expired_or_canceled_card"
    return document


def is_refundable(dispute: SandboxDispute) -> bool:
    """Return whether a disputed charge can be refunded: while no money is taken, or after that came back."""
    return dispute.status.startswith("warning_") or dispute.status == "won"


def dispute(dispute: SandboxDispute, movements: Sequence[Entry], *, expand: bool = False) -> dict[str, Any]:
    """Return a dispute.

    Args:
        movements: The rows of the balance that it has caused.
        expand: Include its charge as an object.
    """
    submissions = dispute.data["submissions"]
    return dispute_source(dispute) | {
        "balance_transactions": [transaction(entry, expand=False) for entry in movements],
        "charge": charge(dispute.order) if expand else dispute.order.data["charge"],
        "evidence": dispute.data["evidence"],
        "evidence_details": {
            "due_by": seconds(dispute.data["due_at"]),
            "has_evidence": bool(dispute.data["evidence"]),
            "past_due": False,
            "submission_count": submissions,
        },
        "is_charge_refundable": is_refundable(dispute),
    }


def dispute_source(dispute: SandboxDispute) -> dict[str, Any]:
    """Return the part of a dispute that does not hold other objects."""
    return {
        "id": dispute.dispute_no,
        "object": "dispute",
        "amount": to_units(dispute.amount_minor, dispute.currency),
        "charge": dispute.order.data["charge"],
        "created": seconds(dispute.opened_at),
        "currency": dispute.currency.lower(),
        "livemode": False,
        "metadata": dispute.data["metadata"],
        "payment_intent": dispute.order.channel_order_no,
        "reason": dispute.reason,
        "status": dispute.status,
    }


def event(event_id: str, kind: str, subject: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Return an event about an object."""
    return {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": seconds(at),
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def thin_event(event_id: str, kind: str, subject: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Return a thin event, which names an object."""
    path = {"payment_intent": "payment_intents", "refund": "refunds", "dispute": "disputes"}[subject["object"]]
    return {
        "id": event_id,
        "object": "v2.core.event",
        "context": None,
        "created": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "livemode": False,
        "reason": None,
        "related_object": {"id": subject["id"], "type": subject["object"], "url": f"/v1/{path}/{subject['id']}"},
        "snapshot_event": event_id,
        "type": f"v1.{kind}",
    }


def transaction_id(entry: Entry) -> str:
    """Return the id of a row's balance transaction."""
    kind = entry.state if entry.state in ("refund_failure", "dispute_reversal") else entry.kind
    return "txn_" + hashlib.sha256(f"{kind} {entry.channel_no}".encode()).hexdigest()[:24]


def transaction(entry: Entry, *, expand: bool) -> dict[str, Any]:
    """Return a balance transaction, made from the row alone, so that planted differences are consistent."""
    is_credit = entry.kind == "payment" or entry.state in ("refund_failure", "dispute_reversal")
    units, fee = (to_units(amount, entry.currency) for amount in (entry.amount_minor, entry.fee_minor))
    amount = units if is_credit else -units
    source = _source(entry)
    return {
        "id": transaction_id(entry),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": int(entry.at.timestamp()) + 2 * 86_400,
        "created": int(entry.at.timestamp()),
        "currency": entry.currency.lower(),
        "description": entry.description or None,
        "exchange_rate": None,
        "fee": fee,
        "net": amount - fee,
        "reporting_category": entry.state,
        "source": source if expand else source["id"],
        "status": "available",
        "type": _type(entry),
    }


def _type(entry: Entry) -> str:
    """Return the type of a row: an adjustment for a dispute; cards have charges, all other methods payments."""
    if entry.kind == "dispute":
        return "adjustment"
    of_others = {"charge": "payment", "refund": "payment_refund"}
    return entry.state if entry.data["charge"].startswith("ch_") else of_others.get(entry.state, entry.state)


def _source(entry: Entry) -> dict[str, Any]:
    """Return the object that a row is about, as far as the row holds it."""
    if entry.kind == "dispute":
        return dispute_source(entry.data["dispute"])
    paid = entry.kind == "payment"
    return {
        "id": entry.data["charge"] if paid else entry.channel_no,
        "object": "charge" if paid else "refund",
        "amount": to_units(entry.order_amount_minor if paid else entry.amount_minor, entry.currency),
        "currency": entry.currency.lower(),
        "metadata": {"attempt_no": entry.order_no} if paid else _refund_numbers(entry),
        "payment_intent": entry.channel_order_no,
        "status": "failed" if entry.state == "refund_failure" else "succeeded",
    } | (
        {"amount_captured": to_units(entry.amount_minor, entry.currency)} if paid else {"charge": entry.data["charge"]}
    )


def _refund_numbers(entry: Entry) -> dict[str, str]:
    """Return the metadata of a refund; one that was made in the dashboard has none."""
    made_by_us = "refund_no" in entry.data.get("metadata", {"refund_no": ""})
    return {"attempt_no": entry.order_no, "refund_no": entry.number} if made_by_us else {}
