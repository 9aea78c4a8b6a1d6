"""Payment records as documents and as lines of an export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from hutong import export, ids, money
from hutong.clock import instant
from hutong.search.model import PaymentRecord


def record_document(record: PaymentRecord, avatar_base: str = "") -> dict[str, Any]:
    """The public form of a record.

    Args:
        avatar_base: What stands before the customer's id in an avatar's address.
    """
    return {
        "id": ids.encode("pay", record.payment_id),
        "object": "bill",
        "status": record.status.value,
        "merchant_order_no": record.merchant_order_no,
        "subject": record.subject,
        "amount_minor": record.amount_minor,
        "currency": record.currency,
        "amount_captured_minor": record.amount_captured_minor,
        "amount_paid_minor": record.amount_paid_minor,
        "amount_settled_minor": record.amount_settled_minor,
        "amount_refunded_minor": record.amount_refunded_minor,
        "method": record.method,
        "channel": record.channel,
        "counterparty": _counterparty(record, avatar_base),
        "created_at": instant(record.created_at),
        "authorized_at": _optional(record.authorized_at),
        "succeeded_at": _optional(record.succeeded_at),
        "closed_at": _optional(record.closed_at),
        "refunds": record.refunds,
    }


def _counterparty(record: PaymentRecord, avatar_base: str) -> dict[str, Any] | None:
    if record.customer_id is None:
        return None
    url = None
    if record.customer_avatar is not None:
        # One address per customer, so that old records show the newest picture; `v` is for caches.
        base = avatar_base.replace("{merchant_id}", ids.encode("mer", record.merchant_id))
        url = f"{base}{quote(record.customer_id, safe='')}?v={record.customer_avatar}"
    return {"id": record.customer_id, "name": record.customer_name, "avatar_url": url}


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A payment record as a line of an export; amounts in minor units, and in major ones for people."""

    id: str
    merchant_id: str
    merchant_order_no: str
    status: str
    subject: str
    currency: str
    amount: str
    amount_minor: int
    amount_captured_minor: int
    amount_paid_minor: int
    amount_settled_minor: int
    amount_refunded_minor: int
    method: str
    channel: str
    customer_id: str
    customer_name: str
    created_at: str
    authorized_at: str
    succeeded_at: str
    closed_at: str


def record_line(record: PaymentRecord) -> RecordLine:
    """Return a payment record as a line; a missing value is empty."""
    return RecordLine(
        id=ids.encode("pay", record.payment_id),
        merchant_id=ids.encode("mer", record.merchant_id),
        merchant_order_no=record.merchant_order_no,
        status=record.status.value,
        subject=record.subject,
        currency=record.currency,
        amount=money.to_major(record.amount_minor, record.currency),
        amount_minor=record.amount_minor,
        amount_captured_minor=record.amount_captured_minor,
        amount_paid_minor=record.amount_paid_minor,
        amount_settled_minor=record.amount_settled_minor,
        amount_refunded_minor=record.amount_refunded_minor,
        method=record.method or "",
        channel=record.channel or "",
        customer_id=record.customer_id or "",
        customer_name=record.customer_name or "",
        created_at=instant(record.created_at),
        authorized_at=_optional(record.authorized_at) or "",
        succeeded_at=_optional(record.succeeded_at) or "",
        closed_at=_optional(record.closed_at) or "",
    )


def to_csv(records: Iterable[PaymentRecord], *, heading: bool) -> str:
    """Return payment records as CSV. Text that a spreadsheet would run as a formula is made harmless."""
    lines = [record_line(record) for record in records]
    names = ",".join(RecordLine.__dataclass_fields__) + "\r\n"
    text = export.to_csv(lines)
    return names + text.removeprefix(names) if heading else text.removeprefix(names)


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
