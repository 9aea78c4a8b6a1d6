"""The timeline of a payment as values."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of a payment's timeline.

    Attributes:
        what: Such as "attempt.submitted" or "payment.close_requested".
        source: Where it was taken from, if it was reported.
        channel_code: The channel's own code.
        amount_minor: The amount, where it can be less than the whole.
        note: Who did it and why, for what people do.
    """

    payment_id: UUID
    what: str
    attempt_id: UUID | None = None
    source: str | None = None
    channel_code: str | None = None
    amount_minor: int | None = None
    note: str | None = None
