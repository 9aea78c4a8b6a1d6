"""Refunds as values; their states and the legal transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from hutong import ids
from hutong.errors import NotFound
from hutong.payments.items import RefundLine


class RefundState(StrEnum):
    """States of a refund."""

    HELD = "held"
    """Its money is reserved; the channel is called next, for the first time or again."""
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """It is proven that no money went back; the hold is released, or what was booked of a success is booked back."""
    SUPERSEDED = "superseded"
    """The channel has given this money back already, in its portal: nothing goes back by this refund, ever."""
    PAYOUT = "payout"
    """The original method has failed; the money is sent to the payer as a payout."""
    MANUAL = "manual"
    """A person pays it back and records that."""


class RefundKind(StrEnum):
    """Reasons for a refund."""

    REFUND = "refund"
    """The merchant asked for it."""
    SURPLUS = "surplus"
    """The channel took money that no payment counts."""


class RefundSource(StrEnum):
    """Who has ordered a refund."""

    MERCHANT = "merchant"
    PLATFORM = "platform"
    """The platform itself, to return surplus."""
    CHANNEL_PORTAL = "channel_portal"
    """A person, in the channel's own portal."""


class RefundMethod(StrEnum):
    """Methods of refunding, in the order in which they may be used."""

    VOID = "void"
    ORIGINAL = "original"
    PAYOUT = "payout"
    MANUAL = "manual"


_S = RefundState

REFUND_TRANSITIONS: Mapping[RefundState, frozenset[RefundState]] = {
    _S.HELD: frozenset({_S.SUBMITTED, _S.UNKNOWN, _S.SUCCEEDED, _S.FAILED, _S.SUPERSEDED}),
    # Back to held: refused for a reason that may pass, or due by the next method, which needs no new hold.
    _S.SUBMITTED: frozenset({_S.HELD, _S.SUCCEEDED, _S.FAILED, _S.SUPERSEDED}),
    _S.UNKNOWN: frozenset({_S.HELD, _S.SUBMITTED, _S.SUCCEEDED, _S.FAILED, _S.SUPERSEDED}),
    # A bank may return a refund days after its success.
    _S.SUCCEEDED: frozenset({_S.FAILED}),
    _S.FAILED: frozenset({_S.PAYOUT, _S.MANUAL}),
    _S.SUPERSEDED: frozenset(),
    _S.PAYOUT: frozenset({_S.SUCCEEDED, _S.FAILED}),
    _S.MANUAL: frozenset({_S.SUCCEEDED, _S.FAILED}),
}

RETRY_DELAYS = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 360, 1440))
"""The pauses before a refund is sent again, under the same number, after refusals that may pass."""

NO_MONEY = frozenset({RefundState.FAILED, RefundState.SUPERSEDED})
"""The states in which a refund has given nothing back."""

_PREFIXES = {RefundMethod.VOID: "rvo", RefundMethod.ORIGINAL: "ref", RefundMethod.PAYOUT: "rpo"}


@dataclass(slots=True)
class Refund:
    """One row of payments.refund.

    Attributes:
        amount_minor: The refunded part of the ordered sum.
        paid_minor, settled_minor: What the payer gets back of it, and what is taken back from the merchant's
            settlement; None where a discount has made no difference.
        platform_minor, channel_minor: The amounts that the funders of discounts on the same goods get back.
        fee_minor: The part of our fee that we return; it pays for a part of the refund.
        hold_id: The hold in the ledger; a new one each time that money is reserved again.
        `tries`: The number of refusals that may pass.
        merchant_order_no: The payment's.
        lines: The returned quantity and amount of each item, where the payment has items.
        late_success_at: When the channel proved that a method succeeded after proving that it had failed.
        late_failure_at: When the channel proved that it failed after proving that it had succeeded.
        portal_no: The channel's number of a refund that a person made in the channel's portal; None for all others.
        doubt_since: Since when the channel has owed an answer; None while nothing is in doubt.
        ordered_minor: The amount that was ordered, where two persons have taken another one as what went back.
        code_entry: The entry of the code map that the channel's latest code was found under.
        adopted: Created after a restore from a channel's report, so that its reason and its items are not known.
    """

    refund_id: UUID
    payment_id: UUID
    attempt_id: UUID
    merchant_id: UUID
    merchant_order_no: str
    account_id: UUID
    channel: str
    kind: RefundKind
    merchant_refund_no: str | None
    amount_minor: int
    currency: str
    reason: str
    hold_id: UUID
    created_at: datetime
    next_query_at: datetime | None
    route: RefundMethod = RefundMethod.ORIGINAL
    state: RefundState = RefundState.HELD
    platform_minor: int = 0
    channel_minor: int = 0
    fee_minor: int = 0
    tries: int = 0
    queries: int = 0
    channel_refund_no: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None
    code_entry: str | None = None
    payout_account_id: UUID | None = None
    payee_sealed: bytes | None = None
    reference: str | None = None
    finished_at: datetime | None = None
    late_success_at: datetime | None = None
    doubt_since: datetime | None = None
    lines: tuple[RefundLine, ...] = ()
    ordered_minor: int | None = None
    adopted: bool = False
    paid_minor: int | None = None
    settled_minor: int | None = None
    late_failure_at: datetime | None = None
    portal_no: str | None = None

    @property
    def payer_minor(self) -> int:
        """What the payer gets back."""
        return self.amount_minor if self.paid_minor is None else self.paid_minor

    @property
    def held_minor(self) -> int:
        """What is reserved of the merchant's settlement and our fee."""
        return self.amount_minor if self.settled_minor is None else self.settled_minor

    @property
    def cost_minor(self) -> int:
        """What the refund takes: of the settlement, or what a payout sends."""
        return self.payer_minor if self.route is RefundMethod.PAYOUT else self.held_minor

    @property
    def number(self) -> str:
        """Its number at the channel: ours, one for each method, or the channel's, if it was made in the portal."""
        return self.portal_no or number_of(self.refund_id, self.route)

    @property
    def source(self) -> RefundSource:
        """Who has ordered it."""
        if self.portal_no is not None:
            return RefundSource.CHANNEL_PORTAL
        return RefundSource.PLATFORM if self.kind is RefundKind.SURPLUS else RefundSource.MERCHANT

    @property
    def counts(self) -> bool:
        """Whether it uses up some of the refundable amount."""
        return self.kind is RefundKind.REFUND and self.state not in NO_MONEY


def number_of(refund_id: UUID, method: RefundMethod) -> str:
    """Return the number by which a channel calls a refund by this method."""
    return ids.encode(_PREFIXES[method], refund_id)


def read_number(number: str) -> tuple[RefundMethod, UUID]:
    """Return the method and the id of the refund that a channel calls by this number.

    Errors:
        NotFound: it is not a number of ours.
    """
    for method, prefix in _PREFIXES.items():
        if number.startswith(prefix + "_"):
            return method, ids.decode(prefix, number)
    raise NotFound("no refund has this number")


class RefundEventType(StrEnum):
    """Events of a refund that are published."""

    SUCCEEDED = "refund.succeeded"
    FAILED = "refund.failed"
    FAILED_AFTER_SUCCESS = "refund.failed_after_success"
    SUPERSEDED = "refund.superseded"
    NEEDS_ATTENTION = "refund.needs_attention"
    SURPLUS_REFUNDED = "payment.surplus_refunded"
