"""Payments as people look for them, and the whole story of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, ids
from hutong.payments.disputes.store import list_disputes
from hutong.payments.documents import Documents, timeline
from hutong.payments.exception_store import exception_document, list_exceptions
from hutong.payments.in_doubt import in_doubt_documents
from hutong.payments.model import Payment, PaymentStatus
from hutong.payments.statements import sql
from hutong.payments.store import find, refunds_of

__all__ = ["PaymentLookup", "in_doubt_documents", "look_up_payments", "story"]

_BEYOND = UUID(int=(1 << 128) - 1)
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class PaymentLookup:
    """What is known of the payments that are looked for; None narrows nothing down.

    Attributes:
        merchant_ids: Of which merchants.
        method: The method of one of its attempts.
        since, until: Created at or after the one, before the other.
    """

    merchant_ids: Sequence[UUID] | None = None
    merchant_order_no: str | None = None
    status: PaymentStatus | None = None
    method: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def look_up_payments(tx: db.Tx, wanted: PaymentLookup, *, limit: int) -> list[Payment]:
    """Return the payments of any merchant that are looked for, newest first."""
    rows = await sql.look_up_payments.fetch(
        tx,
        merchant_ids=wanted.merchant_ids,
        merchant_order_no=wanted.merchant_order_no,
        status=wanted.status,
        method=wanted.method,
        least=UUID(int=0) if wanted.since is None else ids.least(wanted.since),
        beyond=_BEYOND if wanted.until is None else ids.least(wanted.until),
        limit=limit,
    )
    found = await find(tx, [row["id"] for row in rows])
    return [found[row["id"]] for row in rows]


async def story(tx: db.Tx, documents: Documents, payment: Payment) -> dict[str, Any]:
    """Return everything that is known of a payment, for operators, with its latest refunds, disputes and exceptions."""
    payment_id = payment.payment_id
    disputes = await list_disputes(tx, payment_id=payment_id, limit=_MOST)
    exceptions = await list_exceptions(tx, payment_id=payment_id, limit=_MOST)
    return {
        "payment": documents.payment(payment),
        "refunds": [documents.refund(refund) for refund in (await refunds_of(tx, [payment_id]))[payment_id]],
        "disputes": [dispute.document() for dispute in reversed(disputes)],
        "exceptions": [dict(exception_document(item)) for item in reversed(exceptions)],
        "timeline": (await timeline(tx, payment, for_operators=True))["data"],
    }
