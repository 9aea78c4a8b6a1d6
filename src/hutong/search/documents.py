"""How a bill is written: as a document, as a line of an export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from hutong import export, ids, money
from hutong.clock import instant
from hutong.search.model import PaymentRecord


def record_document(bill: PaymentRecord, avatar_base: str = "") -> dict[str, Any]:
    """The public form of a bill.

    Args:
        avatar_base: What stands before the customer's id in an avatar's address.
    """
    return {
        "id": ids.encode("pay", bill.payment_id),
        "object": "bill",
        "status": bill.status.value,
        "merchant_order_no": bill.merchant_order_no,
        "subject": bill.subject,
        "amount_minor": bill.amount_minor,
        "currency": bill.currency,
        "amount_captured_minor": bill.amount_captured_minor,
        "amount_refunded_minor": bill.amount_refunded_minor,
        "method": bill.method,
        "channel": bill.channel,
        "counterparty": _counterparty(bill, avatar_base),
        "created_at": instant(bill.created_at),
        "authorized_at": _optional(bill.authorized_at),
        "succeeded_at": _optional(bill.succeeded_at),
        "closed_at": _optional(bill.closed_at),
        "refunds": bill.refunds,
    }


def _counterparty(bill: PaymentRecord, avatar_base: str) -> dict[str, Any] | None:
    if bill.customer_id is None:
        return None
    url = None
    if bill.customer_avatar is not None:
        # Always the same address for the same person, so that old bills show the newest picture; `v` is for caches.
        base = avatar_base.replace("{merchant_id}", ids.encode("mer", bill.merchant_id))
        url = f"{base}{quote(bill.customer_id, safe='')}?v={bill.customer_avatar}"
    return {"id": bill.customer_id, "name": bill.customer_name, "avatar_url": url}


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A bill as a line of an export; amounts in minor units, and in major ones as people read them."""

    id: str
    merchant_id: str
    merchant_order_no: str
    status: str
    subject: str
    currency: str
    amount: str
    amount_minor: int
    amount_captured_minor: int
    amount_refunded_minor: int
    method: str
    channel: str
    customer_id: str
    customer_name: str
    created_at: str
    authorized_at: str
    succeeded_at: str
    closed_at: str


def record_line(bill: PaymentRecord) -> RecordLine:
    """A bill as a line; what it has not is empty."""
    return RecordLine(
        id=ids.encode("pay", bill.payment_id),
        merchant_id=ids.encode("mer", bill.merchant_id),
        merchant_order_no=bill.merchant_order_no,
        status=bill.status.value,
        subject=bill.subject,
        currency=bill.currency,
        amount=money.to_major(bill.amount_minor, bill.currency),
        amount_minor=bill.amount_minor,
        amount_captured_minor=bill.amount_captured_minor,
        amount_refunded_minor=bill.amount_refunded_minor,
        method=bill.method or "",
        channel=bill.channel or "",
        customer_id=bill.customer_id or "",
        customer_name=bill.customer_name or "",
        created_at=instant(bill.created_at),
        authorized_at=_optional(bill.authorized_at) or "",
        succeeded_at=_optional(bill.succeeded_at) or "",
        closed_at=_optional(bill.closed_at) or "",
    )


def to_csv(bills: Iterable[PaymentRecord], *, heading: bool) -> str:
    """Bills as CSV; text that a spreadsheet would run is made harmless."""
    lines = [record_line(bill) for bill in bills]
    names = ",".join(RecordLine.__dataclass_fields__) + "\r\n"
    text = export.to_csv(lines)
    return names + text.removeprefix(names) if heading else text.removeprefix(names)


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
