"""Disputes at the Stripe simulator: chargebacks, inquiries, and evidence that wins or loses as in Stripe's test mode.

Source:
    https://docs.stripe.com/testing#disputes, https://docs.stripe.com/testing#evidence,
    https://docs.stripe.com/disputes/how-disputes-work. Stripe keeps the fee of a dispute that is won.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hutong.sandbox.records import OrderState, SandboxDispute, SandboxOrder
from hutong.sandbox.store import Store
from hutong.sandbox.stripe import objects
from hutong.sandbox.stripe.bill import movements
from hutong.sandbox.stripe.validation import Form, StripeRefusal, expands, page

FEE_MINOR = 1_500
_ENDED = ("won", "lost", "warning_closed", "prevented")
_FORMS = {None: "needs_response", "inquiry": "warning_needs_response", "prevented": "prevented"}
_MOVES = {
    "warning_needs_response": ("warning_under_review", "warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("under_review", "won", "lost"),
    "under_review": ("won", "lost"),
}
_RESULTS = {"winning_evidence": "won", "losing_evidence": "lost", "escalate_inquiry_evidence": "needs_response"}
_DECIDED_AFTER_S = 0.02
"""At Stripe some seconds."""

Notify = Callable[[str, SandboxDispute], None]


class StripeDisputeSimulator:
    """The disputes of the account.

    Args:
        notify: Notifies about a dispute, as an event of this type.
    """

    def __init__(self, store: Store, notify: Notify) -> None:
        self._store = store
        self._notify = notify

    # Actions of payers and banks.

    def open(self, order: SandboxOrder, amount_minor: int, reason: str, form: str | None) -> SandboxDispute | None:
        """Dispute a paid order, once at a time. An inquiry takes no money; one that is prevented has no fee."""
        under_way = [one for one in self._store.disputes.values() if one.order is order and one.status not in _ENDED]
        is_possible = order.state is OrderState.PAID and 0 < amount_minor <= order.captured_minor
        if under_way or not is_possible or form not in _FORMS:
            return None
        now = self._store.clock.now()
        dispute = SandboxDispute(
            dispute_no=f"du_{secrets.token_hex(12)}",
            order=order,
            amount_minor=amount_minor,
            reason=reason,
            status=_FORMS[form],
            opened_at=now,
            changed_at=now,
            notify_url=order.notify_url,
            taken_minor=0 if form == "inquiry" else amount_minor,
            fee_minor=0 if form else FEE_MINOR,
            data={"evidence": {}, "metadata": {}, "movements": [], "submissions": 0, "due_at": _due(now)},
        )
        self._store.open_dispute(dispute)
        self._notify("charge.dispute.created", dispute)
        if form != "inquiry":
            self._withdraw(dispute)
        return dispute

    def move(self, dispute: SandboxDispute, status: str) -> bool:
        """Bring a dispute to a status, with its events; return whether Stripe knows this change."""
        if status not in _MOVES.get(dispute.status, ()):
            return False
        is_escalated = dispute.status.startswith("warning_") and status == "needs_response"
        taken, fee = (dispute.amount_minor, FEE_MINOR) if is_escalated else (0 if status == "won" else None, None)
        self._store.change_dispute(dispute, status, taken_minor=taken, fee_minor=fee)
        if is_escalated:
            dispute.data["due_at"] = _due(self._store.clock.now())
            self._withdraw(dispute)
        elif status == "won":
            self._add(dispute, 0, "dispute_reversal", f"Chargeback reversal for {dispute.order.data['charge']}")
            self._notify("charge.dispute.funds_reinstated", dispute)
        self._notify("charge.dispute.closed" if status in _ENDED else "charge.dispute.updated", dispute)
        return True

    def _withdraw(self, dispute: SandboxDispute) -> None:
        self._add(dispute, dispute.fee_minor, "dispute", f"Chargeback withdrawal for {dispute.order.data['charge']}")
        self._notify("charge.dispute.funds_withdrawn", dispute)

    def _add(self, dispute: SandboxDispute, fee_minor: int, state: str, description: str) -> None:
        movement = {"amount_minor": dispute.amount_minor, "fee_minor": fee_minor, "state": state}
        dispute.data["movements"].append(movement | {"description": description, "at": self._store.clock.now()})

    # Stripe's interfaces.

    def retrieve(self, dispute_no: str, query: Form) -> dict[str, Any]:
        return self._show(self._dispute(dispute_no), expand=expands(query, "charge"))

    def list_disputes(self, query: Form) -> dict[str, Any]:
        created = query.get("created", {})
        start, end = int(created.get("gte", 0)), int(created.get("lt", 1 << 35))
        intent_id = query.get("payment_intent")
        found = [
            one
            for one in self._store.disputes.values()
            if start <= one.opened_at.timestamp() < end and intent_id in (None, one.order.channel_order_no)
        ]
        listed = page(found[::-1], query, lambda dispute: str(dispute.dispute_no), "/v1/disputes")
        expand = expands(query, "data.charge")
        return listed | {"data": [self._show(dispute, expand=expand) for dispute in listed["data"]]}

    def update(self, dispute_no: str, form: Form) -> dict[str, Any]:
        """Keep metadata and evidence; submit the evidence, unless the caller only stages it."""
        dispute = self._open(dispute_no)
        evidence = form.get("evidence", {})
        if sum(len(str(value)) for value in evidence.values()) > 150_000:
            raise StripeRefusal(400, None, "The combined character count of evidence is limited to 150,000.")
        submits = form.get("submit") != "false"
        dispute.data["evidence"] |= evidence
        metadata = dispute.data["metadata"] | form.get("metadata", {})
        dispute.data["metadata"] = {name: value for name, value in metadata.items() if value}
        if submits and dispute.data["evidence"]:
            dispute.data["submissions"] += 1
            is_inquiry = dispute.status.startswith("warning_")
            self.move(dispute, "warning_under_review" if is_inquiry else "under_review")
            result = _RESULTS.get(dispute.data["evidence"].get("uncategorized_text", ""), "")
            if is_inquiry and result in ("won", "lost"):
                result = "warning_closed"
            if result:
                asyncio.get_running_loop().call_later(_DECIDED_AFTER_S, self.move, dispute, result)
        return self._show(dispute, expand=expands(form, "charge"))

    def close(self, dispute_no: str, form: Form) -> dict[str, Any]:
        dispute = self._open(dispute_no)
        self.move(dispute, "warning_closed" if dispute.status.startswith("warning_") else "lost")
        return self._show(dispute, expand=expands(form, "charge"))

    def _dispute(self, dispute_no: str) -> SandboxDispute:
        dispute = self._store.disputes.get(dispute_no)
        if dispute is None:
            raise StripeRefusal(404, "resource_missing", f"No such dispute: '{dispute_no}'", param="dispute")
        return dispute

    def _open(self, dispute_no: str) -> SandboxDispute:
        dispute = self._dispute(dispute_no)
        if dispute.status in _ENDED:
            raise StripeRefusal(400, None, "This dispute is already closed", kept=True)
        return dispute

    def _show(self, dispute: SandboxDispute, *, expand: bool) -> dict[str, Any]:
        return objects.dispute(dispute, movements(dispute), expand=expand)


def _due(now: datetime) -> datetime:
    """Return the end of the eighth day, by which evidence is due."""
    return now.replace(hour=23, minute=59, second=59, microsecond=0) + timedelta(days=8)
