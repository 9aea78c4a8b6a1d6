"""A channel's daily bill: the result of fetching it, and one row of it in the terms of all channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path


class BillState(StrEnum):
    """The result of fetching a bill."""

    READY = "ready"
    """The files are in the folder, complete and checked against the channel's own hash or totals."""
    EMPTY = "empty"
    """The channel answers that the day has no rows."""
    NOT_READY = "not_ready"
    """Not made yet; ask again later."""
    UNKNOWN = "unknown"
    """No proven answer; ask again."""
    REFUSED = "refused"
    """The channel does not give the bill: too old, not permitted, no such day."""


@dataclass(frozen=True, slots=True)
class Bill:
    """A fetched bill.

    Attributes:
        day: The channel's day that the bill covers.
        files: The channel's files, in the folder; the first holds the rows.
        channel_code, channel_message: Why there is none.
    """

    state: BillState
    kind: str
    day: date
    files: tuple[Path, ...] = ()
    channel_code: str | None = None
    channel_message: str | None = None


class BillRowKind(StrEnum):
    """The subject of a row."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    """A refund that had succeeded has failed: its amount is the channel account's again."""
    PAYOUT = "payout"
    FEE = "fee"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row in the terms of all channels.

    Attributes:
        our_no: Our number of the attempt, the refund or the payout; None where the row has none.
        channel_no: The channel's own number.
        original_no, original_channel_no: For a refund: our number of the attempt, and the channel's of its order.
        amount_minor: The amount paid, refunded or sent, never negative.
        fee_minor: The channel's fee; negative where the channel gives a fee back. None where the bill has no fee.
        state: The channel's own term for the state.
        happened_at: None where the bill has no time.
        settle_date: When the channel settles the row, where the bill has that date.
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
    original_channel_no: str | None = None
