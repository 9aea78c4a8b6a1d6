"""How a refund is written for the merchant: in answers, stored answers and events alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hutong import ids
from hutong.clock import instant
from hutong.payments.items import LineItem, units_left
from hutong.payments.refunds.model import Refund


def refund_document(refund: Refund) -> dict[str, Any]:
    """The one public form of a refund."""
    return {
        "id": ids.encode("ref", refund.refund_id),
        "object": "refund",
        "payment_id": ids.encode("pay", refund.payment_id),
        "merchant_order_no": refund.merchant_order_no,
        "kind": refund.kind.value,
        "state": refund.state.value,
        "route": refund.route.value,
        "merchant_refund_no": refund.merchant_refund_no,
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
        "fee_returned_minor": refund.fee_minor,
        "items": [
            {"id": line.item_id, "quantity": line.quantity, "amount_minor": line.payer_minor} for line in refund.lines
        ],
        "reason": refund.reason,
        "channel": refund.channel,
        "channel_refund_no": refund.channel_refund_no,
        "channel_code": refund.channel_code,
        "channel_message": refund.channel_message,
        "created_at": instant(refund.created_at),
        "finished_at": None if refund.finished_at is None else instant(refund.finished_at),
    }


def item_documents(items: Sequence[LineItem], refunds: Sequence[Refund]) -> list[dict[str, Any]]:
    """What was bought, with how much of it has gone back or is on its way."""
    given = [line for refund in refunds if refund.counts for line in refund.lines]
    return [
        {"id": item.item_id, "quantity_refunded": item.quantity - units_left(item, given)}
        | {name: value for name, value in asdict(item).items() if name != "item_id"}
        for item in items
    ]
