"""A channel's daily bill: how it is fetched, and one row of it in the words of all channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path


class BillState(StrEnum):
    """What came of fetching a bill."""

    READY = "ready"
    """It is in the folder, complete and checked against what the channel says of it."""
    EMPTY = "empty"
    """The channel says that the day has no rows."""
    NOT_READY = "not_ready"
    """Not yet made; ask again later."""
    UNKNOWN = "unknown"
    """No proven answer; ask again."""
    REFUSED = "refused"
    """The channel will not give it: too old, no right, no such day."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A fetched bill.

    Attributes:
        day: The channel's day that it is about.
        files: As they came, in the folder; the first holds the rows.
        channel_code, channel_message: Why there is none.
    """

    state: BillState
    kind: str
    day: date
    files: tuple[Path, ...] = ()
    channel_code: str | None = None
    channel_message: str | None = None


class BillRowKind(StrEnum):
    """What a row is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    PAYOUT = "payout"
    FEE = "fee"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row in the words of all channels.

    Attributes:
        our_no: Our number of the attempt, the refund or the payout; None where the row has none.
        channel_no: The channel's own number of it.
        original_no: For a refund: our number of the attempt.
        amount_minor: What was paid, given back or sent, never negative.
        fee_minor: What the channel keeps; negative where it gives a fee back. None where the bill does not say.
        state: The channel's word.
        happened_at: None where the bill has no time.
    """

    kind: BillRowKind
    our_no: str | None
    channel_no: str | None
    original_no: str | None
    amount_minor: int
    currency: str
    fee_minor: int | None
    state: str
    happened_at: datetime | None
    settle_date: date | None = None
