"""The public form of payments, refunds and timelines: the same in answers, in stored answers and in events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from hutong import db, events, ids
from hutong.clock import instant
from hutong.payments.items import LineItem, units_left
from hutong.payments.model import Attempt, AttemptState, Payment, PaymentEvent
from hutong.payments.refunds.model import Refund, RefundEventType
from hutong.payments.store import items_of, read_timeline, refunds_of
from hutong.payments.timeline import TimelineEntry

Texts = Callable[[str, str, bool], tuple[str, str] | None]
"""Gives the text for the payer, in English and in Chinese, of an entry of the code map of the channel of this name.

The last argument says whether the attempt has failed, so that no text calls it open or paid.
"""


def no_texts(_channel: str, _entry: str, _failed: bool) -> None:
    """Return no text, for documents that nobody reads."""


@dataclass(frozen=True, slots=True)
class Documents:
    """What the documents of an installation need besides the rows.

    Attributes:
        public_url: The address under which payers reach this installation.
        texts: Gives the texts for payers.
    """

    public_url: str
    texts: Texts = no_texts

    def checkout_url(self, payment: Payment) -> str:
        """Return the address of a payment's cashier page."""
        return f"{self.public_url}/pay/{ids.encode('pay', payment.payment_id)}?token={payment.checkout_token}"

    def refund(self, refund: Refund) -> dict[str, Any]:
        """Return the public form of a refund."""
        return _refund_document(refund, self.payer_text(refund))

    def payer_text(self, row: Attempt | Refund) -> dict[str, str] | None:
        """Return the text for the payer of the entry that the channel's latest code was found under, by language.

        Entries for every interface, and the text of unmapped codes, speak of payments, so a refund has none of these.
        """
        entry = row.code_entry
        if entry is None or (isinstance(row, Refund) and (entry.startswith("*/") or "/" not in entry)):
            return None
        text = self.texts(row.channel, entry, row.state is AttemptState.FAILED)
        return None if text is None else {"en": text[0], "zh": text[1]}

    def payment(self, payment: Payment) -> dict[str, Any]:
        """Return the public form of a payment."""
        sums = payment.sums
        return {
            "id": ids.encode("pay", payment.payment_id),
            "object": "payment",
            "status": payment.status.value,
            "merchant_order_no": payment.merchant_order_no,
            "amount_minor": payment.amount_minor,
            "capture_method": payment.capture_method.value,
            "amount_captured_minor": payment.amount_captured_minor,
            "amount_paid_minor": sums.paid_minor,
            "amount_settled_minor": sums.settled_minor,
            "channel_discounts": [asdict(discount) for discount in sums.discounts],
            "amount_refunded_minor": payment.amount_refunded_minor,
            "amount_refunding_minor": payment.amount_refunding_minor,
            "amount_disputed_minor": payment.amount_disputed_minor,
            "currency": payment.currency,
            "subject": payment.subject,
            "return_url": payment.return_url,
            "cancel_url": payment.cancel_url,
            "metadata": current_metadata(payment),
            "customer": None if payment.customer is None else asdict(payment.customer),
            "checkout_url": self.checkout_url(payment),
            "created_at": instant(payment.created_at),
            "expires_at": instant(payment.expires_at),
            "authorized_at": _optional(payment.authorized_at),
            "capture_before": _optional(payment.capture_before),
            "capturing": payment.is_capturing,
            "succeeded_at": _optional(payment.succeeded_at),
            "closed_at": _optional(payment.closed_at),
            "close_reason": payment.close_reason if payment.closed_at else None,
            "closing": payment.is_open and payment.close_requested_at is not None,
            "attempts": [_attempt_document(attempt, self.payer_text(attempt)) for attempt in payment.attempts],
        }

    async def emit(
        self, tx: db.Tx, happened: Sequence[PaymentEvent], *, new_id: Callable[[], UUID], now: datetime
    ) -> None:
        """Write events to the outbox, in the transaction that makes them true."""
        if happened:
            await events.record(tx, [self._event(event, new_id()) for event in happened], now=now)

    def _event(self, event: PaymentEvent, event_id: UUID) -> events.Event:
        payment, refund, dispute = event.payment, event.refund, event.dispute
        object_id, document = payment.payment_id, None
        if dispute is not None:
            object_id, document = dispute.dispute_id, dispute.document()
        elif refund is not None and event.type is not RefundEventType.SURPLUS_REFUNDED:
            object_id, document = refund.refund_id, self.refund(refund)
        return events.Event(
            event_id=event_id,
            type=event.type.value,
            merchant_id=payment.merchant_id,
            object_id=object_id,
            payload=document or self.payment(payment),
        )


def current_metadata(payment: Payment) -> Mapping[str, str]:
    """Return the metadata of the order, or what its merchant has made of them since."""
    return payment.metadata if payment.changed_metadata is None else payment.changed_metadata


def _attempt_document(attempt: Attempt, text: dict[str, str] | None) -> dict[str, Any]:
    action = None
    if attempt.is_open and attempt.action_kind:
        action = {"kind": attempt.action_kind, "content": attempt.action_content}
    return {
        "id": ids.encode("att", attempt.attempt_id),
        "method": attempt.method,
        "channel": attempt.channel,
        "state": attempt.state.value,
        "surplus": attempt.surplus,
        "action": action,
        "channel_order_no": attempt.channel_order_no,
        "channel_code": attempt.channel_code,
        "channel_message": attempt.channel_message,
        "code": attempt.code,
        "retryable": attempt.retryable,
        "text": text,
        "created_at": instant(attempt.created_at),
        "finished_at": _optional(attempt.finished_at),
    }


def _refund_document(refund: Refund, text: dict[str, str] | None) -> dict[str, Any]:
    return {
        "id": ids.encode("ref", refund.refund_id),
        "object": "refund",
        "payment_id": ids.encode("pay", refund.payment_id),
        "merchant_order_no": refund.merchant_order_no,
        "kind": refund.kind.value,
        "source": refund.source.value,
        "state": refund.state.value,
        "route": refund.route.value,
        "merchant_refund_no": refund.merchant_refund_no,
        "amount_minor": refund.amount_minor,
        "amount_paid_minor": refund.payer_minor,
        "amount_settled_minor": refund.cost_minor,
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
        "text": text,
        "created_at": instant(refund.created_at),
        "finished_at": _optional(refund.finished_at),
        "failed_after_success_at": _optional(refund.late_failure_at),
    }


def item_documents(items: Sequence[LineItem], refunds: Sequence[Refund]) -> list[dict[str, Any]]:
    """Return the public form of line items, with how many units are refunded or on their way back."""
    lines = [line for refund in refunds if refund.counts for line in refund.lines]
    return [
        {"id": item.item_id, "quantity_refunded": item.quantity - units_left(item, lines)}
        | {name: value for name, value in asdict(item).items() if name != "item_id"}
        for item in items
    ]


async def list_items(tx: db.Tx, payment_id: UUID) -> list[dict[str, Any]]:
    """Return the public form of a payment's line items, with how many units are refunded or on their way back."""
    items = (await items_of(tx, [payment_id])).get(payment_id, ())
    return item_documents(items, (await refunds_of(tx, [payment_id]))[payment_id])


async def timeline(tx: db.Tx, payment: Payment, *, for_operators: bool = False) -> dict[str, Any]:
    """Return the public form of a payment's timeline.

    Args:
        for_operators: Whether to include who on the platform's side acted, and why.
    """
    return timeline_document(payment, await read_timeline(tx, [payment.payment_id]), for_operators=for_operators)


def timeline_document(
    payment: Payment, entries: Sequence[tuple[datetime, TimelineEntry]], *, for_operators: bool = False
) -> dict[str, Any]:
    """Return the public form of a timeline: the recorded entries, and those that the payment's row implies."""
    implied = [(payment.created_at, TimelineEntry(payment.payment_id, "payment.created"))]
    implied += [
        (a.created_at, TimelineEntry(payment.payment_id, "attempt.created", a.attempt_id)) for a in payment.attempts
    ]
    ends = [("payment.succeeded", payment.succeeded_at), ("payment.closed", payment.closed_at)]
    last = [(at, TimelineEntry(payment.payment_id, what)) for what, at in ends if at is not None]
    # Sorting keeps the order of entries of the same instant: an intent before its outcome, the end at the end.
    ordered = sorted([*implied, *entries, *last], key=lambda dated: dated[0])
    return {
        "object": "timeline",
        "payment_id": ids.encode("pay", payment.payment_id),
        "data": [
            {
                "at": instant(at),
                "what": entry.what,
                "attempt_id": None if entry.attempt_id is None else ids.encode("att", entry.attempt_id),
                "source": entry.source,
                "channel_code": entry.channel_code,
                "amount_minor": entry.amount_minor,
                "reason": entry.note if for_operators or entry.source is None else None,
            }
            for at, entry in ordered
        ],
    }


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
