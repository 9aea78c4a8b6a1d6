"""The values of reconciliation: layers, sides, classes of differences, and the states of files and differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

_ONE_DAY = timedelta(days=1)
_SATURDAY = 5
FILE_PREFIX = "bfl"
RUN_PREFIX = "rcr"
DIFFERENCE_PREFIX = "dif"
BANK_PREFIX = "bka"
ACCOUNT_PREFIXES = ("acc", BANK_PREFIX)
"""Of an account at a channel, and of one at a bank."""


class RowKind(StrEnum):
    """The subject of a row of either side."""

    PAYMENT = "payment"
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    PAYOUT = "payout"
    DISPUTE = "dispute"
    FEE = "fee"
    """A charge that belongs to no single payment."""
    BATCH = "batch"
    """The net of a settlement batch: what a channel says that it sends to the bank."""
    ENTRY = "entry"
    """An entry of a bank statement."""
    OTHER = "other"


class RowState(StrEnum):
    """The state of a row in the terms of both sides."""

    SUCCEEDED = "succeeded"
    PENDING = "pending"
    FAILED = "failed"


class RowSide(StrEnum):
    """Whose row it is: ours is what the books expect, theirs what the other party's file states."""

    OURS = "ours"
    THEIRS = "theirs"
    BOTH = "both"


class Layer(StrEnum):
    """What is compared with what."""

    PAYMENT_BILL = "payment_bill"
    REFUND_BILL = "refund_bill"
    PAYOUT_BILL = "payout_bill"
    DISPUTE_BILL = "dispute_bill"
    BATCH_BANK = "batch_bank"
    ORDER_PAYMENT = "order_payment"
    LEDGER_ORDER = "ledger_order"


class DifferenceClass(StrEnum):
    """What is wrong, or only not there yet."""

    PENDING = "pending"
    """On one side alone, and its partner may still come: no case yet."""
    MISSING = "missing"
    """Ours alone, and the time in which theirs could come is over."""
    UNEXPECTED = "unexpected"
    """Theirs alone, and the time in which ours could come is over."""
    MISMATCH = "mismatch"
    """Both have it, and a column differs."""
    DUPLICATE = "duplicate"
    """Theirs more often than ours."""
    DOUBLE_POSTING = "double_posting"
    """Two of ours for one of theirs."""
    AMBIGUOUS = "ambiguous"
    """Several solutions of a group: left open with its candidates."""


class MatchQuality(StrEnum):
    """How a row found its partner."""

    EXACT = "exact"
    CROSS_DAY = "cross_day"
    """All compared columns are equal, and the day differs."""
    TOLERATED = "tolerated"
    """A column differs by no more than its tolerance."""
    TWIN = "twin"
    """One of several equal rows, which are interchangeable."""
    GROUP = "group"
    """Several rows of one side for one or several of the other, with one group key."""


class FileSource(StrEnum):
    """The kind of a file."""

    BILL = "bill"
    BANK = "bank"


class FileState(StrEnum):
    """The life of a file."""

    RECEIVED = "received"
    PARSED = "parsed"
    MATCHED = "matched"
    CLOSED = "closed"
    """The money of its rows has arrived at the bank."""
    REFUSED = "refused"
    REPLACED = "replaced"
    """Another file has all that it states, or corrects it."""


class DifferenceState(StrEnum):
    """The life of a difference."""

    ROLLED = "rolled"
    """Waits for the next file; no case."""
    OPEN = "open"
    ASSIGNED = "assigned"
    PROPOSED = "proposed"
    APPROVED = "approved"
    """Its action is under way, such as a claim whose money has not come."""
    RESOLVED = "resolved"


class DifferenceAction(StrEnum):
    """What is done about a difference."""

    CONFIRM = "confirm"
    """Drive our payment to the channel's truth; the life cycle may give the money back."""
    ADOPT_REFUND = "adopt_refund"
    REFUND = "refund"
    CLAIM = "claim"
    """Claim from the channel; stays in suspense until the money comes."""
    ADJUST_FEE = "adjust_fee"
    SUSPENSE = "suspense"
    """Leave in suspense, explained."""
    WRITE_OFF = "write_off"
    PAIR = "pair"
    """Two cases explain each other: the same amount, once long and once short, such as a claim and its money."""
    MATCH = "match"
    """Not an operator's: a later file or booking has explained it."""


@dataclass(frozen=True, slots=True)
class BillFile:
    """A file that came in.

    Attributes:
        account_id: The channel account, or the id of the bank account.
        layout: The layout it is read by, such as "wechat_trade" or "camt.053".
        sha256: Of the file as it came, in hexadecimal digits.
        is_whole: Whether it states all rows that its layout has of the day: then it takes the place of earlier ones
            even if it only lacks some of theirs.
        rows, exceptions: Readable and unreadable rows; None before it is parsed.
        totals: Counts and signed sums by kind and currency.
        replaced_by: The file that has its rows now.
    """

    file_id: UUID
    source: FileSource
    account_id: UUID
    layout: str
    day: date
    name: str
    sha256: str
    size: int
    is_whole: bool
    state: FileState
    received_at: datetime
    rows: int | None = None
    exceptions: int | None = None
    totals: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    replaced_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One reconciliation of an account's day, as last computed.

    Attributes:
        inputs: Digest of everything that it was computed from.
        totals: By layer: counts and signed sums of both sides, matched, and of each class.
        explained_ppm: Explained money in millionths of the money; None without money.
    """

    run_id: UUID
    account_id: UUID
    day: date
    inputs: str
    engine: str
    totals: dict[str, Any]
    explained_ppm: int | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference. Its identity, and so its id, is the account, layer, side, key, class and column.

    Attributes:
        key: Our number, the channel's if there is none of ours, or the group's key.
        column: The column that differs, of a mismatch; empty otherwise.
        content: Digest of the figures; changed content re-opens.
        amount_minor: Signed money, theirs less ours after fees: above zero is long, received more than booked.
        suspense_minor: What of it lies in suspense now, with the same sign.
        cost_minor: The expected fee that its opening has booked as cost, where both sides have the row.
        postings: How many chains it has booked: part of the ids of the next.
        ours, theirs: The rows of either side, with the columns that `matching.model` lists.
        reference: Our payment, refund or other object, as a public id; empty if there is none.
        voucher: The transfer that closed it.
        partner_id: The case that it is paired with.
    """

    difference_id: UUID
    account_id: UUID
    layer: Layer
    side: RowSide
    key: str
    klass: DifferenceClass
    column: str
    state: DifferenceState
    content: str
    currency: str
    amount_minor: int
    suspense_minor: int
    cost_minor: int
    postings: int
    ours: list[dict[str, Any]]
    theirs: list[dict[str, Any]]
    reference: str
    first_day: date
    last_day: date
    opened_at: datetime
    owner_id: UUID | None = None
    action: DifferenceAction | None = None
    proposal_id: UUID | None = None
    voucher: UUID | None = None
    resolved_at: datetime | None = None
    reason: str | None = None
    reopened: int = 0
    partner_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class DayWindow:
    """When a party's days end, and how long a partner may be late.

    Attributes:
        zone_offset: Of the party's days.
        cut: How long after midnight its day ends: zero for midnight, minus one hour for 23:00 of the day before.
        margin: Rows within it around a cut may stand on either side.
        rolls: How many further files a row without partner waits for before it becomes a difference: one for each day
            that counts.
        weekends: Whether Saturdays and Sundays count.
        holidays, workdays: Single days that do not count, or that do although they are weekends.
    """

    zone_offset: timedelta
    cut: timedelta = timedelta(0)
    margin: timedelta = timedelta(minutes=10)
    rolls: int = 1
    weekends: bool = True
    holidays: tuple[date, ...] = ()
    workdays: tuple[date, ...] = ()

    def counts(self, day: date) -> bool:
        """Return whether the party works on a day."""
        if day in self.workdays or day in self.holidays:
            return day in self.workdays
        return self.weekends or day.weekday() < _SATURDAY

    def next_day(self, day: date) -> date:
        """Return the first day after a day that counts."""
        following = day + _ONE_DAY
        while not self.counts(following):
            following += _ONE_DAY
        return following

    def over_until(self, day: date, rolls: int) -> date:
        """Return the last day whose rows have waited for so many files by the end of a day."""
        while rolls:
            rolls -= self.counts(day)
            day -= _ONE_DAY
        return day

    def positions(self, first: date, last: date) -> dict[date, int]:
        """Return for each day of a range how many days that count lie between its first day and that day."""
        found, position, day = {first: 0}, 0, first
        while day < last:
            day += _ONE_DAY
            position += self.counts(day)
            found[day] = position
        return found

    def day_of(self, instant: datetime) -> date:
        """Return the party's day of an instant."""
        return (instant + self.zone_offset - self.cut).date()

    def begin_of(self, day: date) -> datetime:
        """Return the instant at which the party's day begins."""
        return datetime.combine(day, time(), UTC) - self.zone_offset + self.cut

    def complete_at(self, day: date) -> datetime:
        """Return the instant from which every row of the day, and of the margin after it, is there."""
        return self.begin_of(day + timedelta(days=1)) + self.margin
