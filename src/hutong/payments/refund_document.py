"""How a refund is written for the merchant: in answers, stored answers and events alike."""

from __future__ import annotations

from typing import Any

from hutong import ids
from hutong.payments.document import instant
from hutong.payments.refund import Refund


def refund_document(refund: Refund) -> dict[str, Any]:
    """The one public form of a refund."""
    return {
        "id": ids.encode("ref", refund.refund_id),
        "object": "refund",
        "payment_id": ids.encode("pay", refund.payment_id),
        "kind": refund.kind.value,
        "state": refund.state.value,
        "route": refund.route.value,
        "merchant_refund_no": refund.merchant_refund_no,
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
        "fee_returned_minor": refund.fee_minor,
        "reason": refund.reason,
        "channel": refund.channel,
        "channel_refund_no": refund.channel_refund_no,
        "channel_code": refund.channel_code,
        "channel_message": refund.channel_message,
        "created_at": instant(refund.created_at),
        "finished_at": None if refund.finished_at is None else instant(refund.finished_at),
    }
