"""A channel's daily bill: the result of fetching it, and one row of it in the terms of all channels."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from hutong.channels.errors import BillRefused
from hutong.channels.sums import ChannelDiscount, Sums, SumsContradict


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


@dataclass(frozen=True, slots=True)
class BillIdentity:
    """What the bills of one account name, and when their days end.

    Attributes:
        merchant: The merchant's number at the channel; empty where the bills name none.
        cut: How long after midnight, in the rule's offset, a day ends; below zero for an hour of its evening. None
            where the rule has it.
    """

    merchant: str = ""
    cut: timedelta | None = None


class BillRowKind(StrEnum):
    """The subject of a row."""

    PAYMENT = "payment"
    REFUND = "refund"
    PAYOUT = "payout"
    FEE = "fee"
    REFUND_FAILURE = "refund_failure"
    """The money of a refund that had succeeded came back to the merchant."""
    DISPUTE = "dispute"
    """Money that the payer's bank has taken back, or returned after that."""
    OTHER = "other"
    EXCEPTION = "exception"
    """A row that cannot be read, kept for people: `fault` tells why. It has neither numbers nor an amount."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why a row cannot be read.

    Attributes:
        line_no: The line of the file on which the row begins, from 1.
        text: The row as the channel wrote it, decoded as far as possible.
    """

    line_no: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row in the terms of all channels.

    Attributes:
        our_no: Our number of the attempt, the refund or the payout; None where the row has none.
        channel_no: The channel's own number.
        original_no: For a refund: our number of the attempt.
        amount_minor: The amount ordered, refunded or sent, never negative.
        fee_minor: The channel's fee; negative where the channel gives a fee back. None where the bill has no fee.
        state: The channel's own term for the state.
        happened_at: None where the bill has no time.
        settle_date: When the channel settles the row, where the bill has that date.
        original_channel_no: The channel's own number of the payment that a refund, its failure or a dispute is about,
            where the bill has that number.
        sums: The three sums of a payment, or of a refund's parts; None where all are equal, or the bill lacks them.
        fault: For an exception alone.
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
    fault: RowFault | None = None
    sums: Sums | None = None

    @property
    def paid_minor(self) -> int:
        """What the payer paid, or got back."""
        return self.amount_minor if self.sums is None else self.sums.paid_minor

    @property
    def settled_minor(self) -> int:
        """What the channel settles, or takes back from the settlement, before its fee."""
        return self.amount_minor if self.sums is None else self.sums.settled_minor


EXCEPTIONS_MAX = 1_000
"""A file with more rows that cannot be read is not a bill of this layout."""
_TEXT_MAX = 8_192
_SURPLUS_MAX = 12


def bounded(rows: Iterable[BillRow]) -> Iterator[BillRow]:
    """Yield the rows of a file.

    Errors:
        BillRefused: more than EXCEPTIONS_MAX of them cannot be read.
    """
    exceptions = 0
    for row in rows:
        exceptions += row.fault is not None
        if exceptions > EXCEPTIONS_MAX:
            raise BillRefused("too many rows of the bill cannot be read")
        yield row


def exception_row(line_no: int, reason: str, text: str) -> BillRow:
    """Return a row that cannot be read; its text loses what a database cannot hold, and is cut."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\ufffd")[:_TEXT_MAX]
    fault = RowFault(line_no, reason, shown)
    return BillRow(BillRowKind.EXCEPTION, None, None, None, 0, "", None, "", None, fault=fault)


def regrouped(values: Sequence[str], columns: int, free: Sequence[int], separator: str) -> Iterator[list[str]]:
    """Yield the ways to read a row whose free texts hold separators, so that it has more values than columns.

    Args:
        free: The columns that may hold any text.
    """
    surplus = len(values) - columns
    if not 0 <= surplus <= _SURPLUS_MAX:
        return
    for shares in map(Counter, itertools.combinations_with_replacement(free, surplus)):
        rest = iter(values)
        yield [separator.join(itertools.islice(rest, 1 + shares[column])) for column in range(columns)]


def row_sums(
    ordered_minor: int, paid_minor: int, settled_minor: int, discounts: tuple[ChannelDiscount, ...] | None = None
) -> Sums | None:
    """Return the sums of a row; None where all are equal.

    Args:
        discounts: None where the bill has the figures alone.

    Errors:
        BillRefused: they contradict each other.
    """
    try:
        if discounts is None:
            sums = Sums.unnamed(ordered_minor, paid_minor, settled_minor)
        else:
            sums = Sums(ordered_minor, paid_minor, settled_minor, discounts)
    except SumsContradict as error:
        raise BillRefused(f"the sums of a row contradict each other: {error}") from None
    return None if sums.ordered_minor == sums.paid_minor == sums.settled_minor else sums
