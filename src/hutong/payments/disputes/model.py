"""Disputes as values; their states and the transitions that need no question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from hutong import channels, ids
from hutong.clock import instant
from hutong.payments.model import Source

PREFIX = "dsp"
RESPONSE_PREFIX = "dsr"

DisputeState = channels.disputes.DisputeState
_S = DisputeState

DISPUTE_TRANSITIONS: Mapping[DisputeState, frozenset[DisputeState]] = {
    _S.NEEDS_RESPONSE: frozenset({_S.UNDER_REVIEW, _S.WON, _S.LOST, _S.ACCEPTED}),
    _S.UNDER_REVIEW: frozenset({_S.NEEDS_RESPONSE, _S.WON, _S.LOST, _S.ACCEPTED}),
    _S.WON: frozenset(),
    _S.LOST: frozenset(),
    _S.ACCEPTED: frozenset(),
}
"""The transitions that a message may make. An end is overturned only by what the channel answers when it is asked."""

REMINDERS = (timedelta(hours=72), timedelta(hours=24), timedelta(0))
"""How long before `due_at` a merchant is reminded; the last one says that the time has passed."""

QUERY_EVERY = timedelta(hours=1)
QUERY_WHEN_DUE = timedelta(minutes=5)
_DUE_SOON = timedelta(hours=2)


class ResponseState(StrEnum):
    """States of a merchant's response."""

    SENDING = "sending"
    """It is written, and sent until the channel has decided about it."""
    TAKEN = "taken"
    REFUSED = "refused"


@dataclass(slots=True)
class Response:
    """One row of payments.dispute_response.

    Attributes:
        accepts: The merchant gives in, or states that the matter is settled.
        channel_code, channel_message: The channel's own texts.
    """

    response_id: UUID
    dispute_id: UUID
    accepts: bool
    state: ResponseState
    channel_code: str | None
    channel_message: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(slots=True)
class Dispute:
    """One row of payments.dispute.

    Attributes:
        dispute_no: The channel's number of it; unique at its account.
        amount_minor: What the payer disputes.
        taken_minor, fee_minor: What the channel has taken and charged for it by now, less what it has given back.
        held_minor: How much of both the merchant has given: held while it is open, and for good once it has ended.
        payer_statement: What the payer has written; foreign text.
        due_at: Until when the merchant may answer.
        opened_at, changed_at: By the channel's clock.
        reminders: How many of `REMINDERS` have been sent.
        responses: What the merchant has answered, first to last.
    """

    dispute_id: UUID
    payment_id: UUID
    attempt_id: UUID
    merchant_id: UUID
    merchant_order_no: str
    account_id: UUID
    channel: str
    dispute_no: str
    currency: str
    created_at: datetime
    state: DisputeState
    amount_minor: int
    taken_minor: int
    fee_minor: int
    held_minor: int
    reason: str | None
    payer_statement: str | None
    due_at: datetime | None
    opened_at: datetime
    changed_at: datetime
    finished_at: datetime | None
    source: Source
    next_query_at: datetime | None
    reminders: int = 0
    responses: list[Response] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.state in channels.disputes.FINAL_DISPUTE_STATES

    @property
    def cost_minor(self) -> int:
        """What the channel has taken and charged."""
        return self.taken_minor + self.fee_minor

    def next_query(self, now: datetime) -> datetime | None:
        """Return when the channel is asked again: often when an answer is due soon, and not after the end."""
        if self.is_final:
            return None
        is_urgent = self.due_at is not None and self.state is _S.NEEDS_RESPONSE and self.due_at - now <= _DUE_SOON
        return now + (QUERY_WHEN_DUE if is_urgent else QUERY_EVERY)

    def document(self) -> dict[str, Any]:
        """Return the public form."""
        return {
            "id": ids.encode(PREFIX, self.dispute_id),
            "object": "dispute",
            "payment_id": ids.encode("pay", self.payment_id),
            "merchant_order_no": self.merchant_order_no,
            "state": self.state.value,
            "amount_minor": self.amount_minor,
            "amount_taken_minor": self.taken_minor,
            "fee_minor": self.fee_minor,
            "amount_held_minor": self.held_minor,
            "currency": self.currency,
            "reason": self.reason,
            "payer_statement": self.payer_statement,
            "due_at": _optional(self.due_at),
            "channel": self.channel,
            "channel_dispute_no": self.dispute_no,
            "source": self.source.value,
            "opened_at": instant(self.opened_at),
            "changed_at": instant(self.changed_at),
            "created_at": instant(self.created_at),
            "finished_at": _optional(self.finished_at),
            "responses": [
                {
                    "id": ids.encode(RESPONSE_PREFIX, response.response_id),
                    "accepts": response.accepts,
                    "state": response.state.value,
                    "channel_code": response.channel_code,
                    "channel_message": response.channel_message,
                    "created_at": instant(response.created_at),
                    "finished_at": _optional(response.finished_at),
                }
                for response in self.responses
            ],
        }


class DisputeEventType(StrEnum):
    """Events of a dispute that are published."""

    OPENED = "dispute.opened"
    UPDATED = "dispute.updated"
    WON = "dispute.won"
    LOST = "dispute.lost"
    ACCEPTED = "dispute.accepted"
    DUE_SOON = "dispute.due_soon"
    OVERDUE = "dispute.overdue"


END_EVENTS = {
    DisputeState.WON: DisputeEventType.WON,
    DisputeState.LOST: DisputeEventType.LOST,
    DisputeState.ACCEPTED: DisputeEventType.ACCEPTED,
}


def _optional(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
