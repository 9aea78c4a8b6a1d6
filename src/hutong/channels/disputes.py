"""Disputes at channels: a payer's claim against a payment, as the channel states it, and the merchant's answer to it.

A card scheme takes the money first and gives it back if the merchant wins. A wallet's complaint takes no money: the
merchant replies, and refunds or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class DisputeState(StrEnum):
    """The state of a dispute. WON, LOST and ACCEPTED are final, as far as the channel keeps to them."""

    NEEDS_RESPONSE = "needs_response"
    """The merchant is to answer, until `due_at` where there is such a time."""
    UNDER_REVIEW = "under_review"
    """The channel, the bank or the payer considers the answer."""
    WON = "won"
    """It ended for the merchant, or was withdrawn; what was taken comes back."""
    LOST = "lost"
    """It ended for the payer: what was taken stays with them."""
    ACCEPTED = "accepted"
    """The merchant has given in, or has settled with the payer; what was taken stays with them."""


FINAL_DISPUTE_STATES = frozenset({DisputeState.WON, DisputeState.LOST, DisputeState.ACCEPTED})


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """What a channel states of one dispute at one time.

    Attributes:
        dispute_no: The channel's own number of it.
        order_no, channel_order_no: Our number and the channel's of the disputed order, where it names them.
        amount_minor, currency: What the payer disputes.
        taken_minor: How much the channel has taken from the merchant for it by now, less what it has given back: 0 for
            a complaint, and after a won dispute.
        fee_minor: What it has charged for the dispute by now, less what it has given back.
        reason: The channel's code of the reason, cut to 64 characters.
        statement: What the payer has written, cut to 1,000 characters; foreign text.
        due_at: Until when the merchant may answer.
        changed_at: When the channel stated this, by its own clock: an earlier statement changes nothing.
    """

    dispute_no: str
    state: DisputeState
    amount_minor: int
    currency: str
    order_no: str | None = None
    channel_order_no: str | None = None
    taken_minor: int = 0
    fee_minor: int = 0
    reason: str | None = None
    statement: str | None = None
    due_at: datetime | None = None
    opened_at: datetime | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DisputeResponse:
    """The merchant's answer to a dispute, to be sent to its channel.

    Attributes:
        response_no: Ours; the same however often it is sent.
        evidence: Texts by the names in `DisputeRule.evidence`.
        accepts: The merchant gives in, or states that the matter is settled. Otherwise the claim is answered.
    """

    response_no: str
    dispute_no: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    accepts: bool = False


class ResponseOutcome(StrEnum):
    """What a channel has done with a response."""

    TAKEN = "taken"
    REFUSED = "refused"
    """The channel has proven that it will not take this one."""
    UNKNOWN = "unknown"
    """No proven answer. The same response may be sent again."""


@dataclass(frozen=True, slots=True)
class ResponseAnswer:
    """A channel's answer to a response.

    Attributes:
        channel_code, channel_message: The channel's own texts, cut to 64 and 256 characters.
        report: The dispute afterwards, where the answer states it.
    """

    outcome: ResponseOutcome
    channel_code: str | None = None
    channel_message: str | None = None
    report: DisputeReport | None = None


@dataclass(frozen=True, slots=True)
class DisputeRule:
    """How disputes of a channel are answered by interface.

    Attributes:
        evidence: The texts that may be sent, by name, with the most characters of each.
        required: Those without which an answer is refused.
        answers: How many answers the channel takes for one dispute; None for any number.
        accepts: Whether the merchant can give in, or settle the matter, by interface.
        accepting: Those of `evidence` that may go with that, and whether each must.
    """

    evidence: Mapping[str, int]
    required: frozenset[str] = frozenset()
    answers: int | None = None
    accepts: bool = True
    accepting: Mapping[str, bool] = field(default_factory=dict)
