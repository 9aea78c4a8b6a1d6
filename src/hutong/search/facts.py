"""Facts from events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

from hutong import ids
from hutong.events import RecordedEvent
from hutong.search.model import Facts, PaymentFact, ProfileFact, RefundFact
from hutong.telemetry import get_logger

_log = get_logger(__name__)
TOPICS = frozenset({"payment", "refund", "customer"})
"""The topics that payment records are made of; other streams are not read."""


def facts_of(events: Iterable[RecordedEvent]) -> Facts:
    """Return the facts about payments, refunds and customers that events carry.

    An event that cannot be read is logged and left out: one broken row must not keep all later records from showing.
    """
    payments: list[PaymentFact] = []
    refunds: list[RefundFact] = []
    profiles: list[ProfileFact] = []
    for event in events:
        topic = event.type.partition(".")[0]
        try:
            if topic == "payment":
                payments.append(_payment(event, orjson.loads(event.data)))
            elif topic == "refund":
                refunds.append(_refund(event, orjson.loads(event.data)))
            elif topic == "customer":
                profiles.append(_profile(event, orjson.loads(event.data)))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            _log.error("record_event_unreadable", event_id=str(event.event_id), type=event.type, reason=repr(error))
    return Facts(payments, refunds, profiles)


def refund_text(
    refund_id: str,
    merchant_refund_no: str | None,
    amount_minor: int,
    reason: str,
    route: str,
    created_at: str,
    finished_at: str | None,
) -> str:
    """Return a refund as payment records show it, as JSON."""
    return orjson.dumps(
        {
            "id": refund_id,
            "merchant_refund_no": merchant_refund_no,
            "amount_minor": amount_minor,
            "reason": reason,
            "route": route,
            "created_at": created_at,
            "finished_at": finished_at,
        }
    ).decode()


def _payment(event: RecordedEvent, data: dict[str, Any]) -> PaymentFact:
    assert event.merchant_id is not None
    attempts = data["attempts"]
    paid = next((a for a in attempts if a["state"] == "succeeded" and not a["surplus"]), None)
    # At most one attempt is authorized: a payment is captured through the attempt that authorized it.
    paid = paid or next((a for a in attempts if a["state"] == "authorized"), None) or {}
    customer = data.get("customer") or {}
    return PaymentFact(
        payment_id=event.object_id,
        version=event.object_seq,
        merchant_id=event.merchant_id,
        status=data["status"],
        merchant_order_no=data["merchant_order_no"],
        subject=data["subject"],
        amount_minor=data["amount_minor"],
        currency=data["currency"],
        amount_captured_minor=data["amount_captured_minor"],
        # The oldest events have one sum.
        amount_paid_minor=data.get("amount_paid_minor", data["amount_captured_minor"]),
        amount_settled_minor=data.get("amount_settled_minor", data["amount_captured_minor"]),
        method=paid.get("method"),
        channel=paid.get("channel"),
        customer_id=customer.get("id"),
        customer_name=customer.get("name"),
        customer_avatar=customer.get("avatar"),
        created_at=datetime.fromisoformat(data["created_at"]),
        authorized_at=_optional(data["authorized_at"]),
        succeeded_at=_optional(data["succeeded_at"]),
        closed_at=_optional(data["closed_at"]),
    )


def _refund(event: RecordedEvent, data: dict[str, Any]) -> RefundFact:
    document = None
    if data["kind"] == "refund" and data["state"] == "succeeded":
        document = refund_text(
            data["id"], data["merchant_refund_no"], data["amount_minor"], data["reason"], data["route"],
            data["created_at"], data["finished_at"],
        )  # fmt: skip
    payment_id = ids.decode("pay", data["payment_id"])
    return RefundFact(event.object_id, event.object_seq, payment_id, data["amount_minor"], document)


def _profile(event: RecordedEvent, data: dict[str, Any]) -> ProfileFact:
    assert event.merchant_id is not None
    at = datetime.fromisoformat(data["updated_at"])
    return ProfileFact(event.merchant_id, data["id"], data["name"], data["avatar"], at, event.event_id)


def _optional(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
