"""The numbers by which channels name payments, refunds and disputes, and the transfers that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hutong import db, ids
from hutong.errors import NotFound
from hutong.payments.disputes.model import PREFIX as DISPUTE_PREFIX
from hutong.payments.postings import success_ids
from hutong.payments.refunds import postings as refund_postings
from hutong.payments.refunds.model import Refund, RefundMethod, RefundState, number_of, read_number
from hutong.payments.statements import sql
from hutong.payments.store import find_refunds, refunds_of


class NumberKind(StrEnum):
    """The subject that a channel's number names."""

    PAYMENT = "payment"
    REFUND = "refund"
    PAYOUT = "payout"
    """A refund that is sent as a payout."""
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class ChannelNumber:
    """The numbers by which a channel's records name a payment, a refund or a dispute.

    Attributes:
        number: Ours, or the channel's where it has none of ours.
        channel_no: The channel's; empty while it is unknown.
        original_no: Of a refund or a dispute, our number of the payment.
        account_id: Where its money moves: of a payout, the account that sends it.
        reference: Its public id.
        ordered_minor, paid_minor: What was ordered or refunded, and what the payer paid or gets back of it.
        ended_at: When a refund's success was proven to have failed, or when a dispute was recorded.
    """

    kind: NumberKind
    number: str
    channel_no: str
    original_no: str
    payment_id: UUID
    merchant_id: UUID
    account_id: UUID
    reference: str
    ordered_minor: int = 0
    paid_minor: int = 0
    ended_at: datetime | None = None


@dataclass(slots=True)
class ChannelNumbers:
    """The numbers of some payments.

    Attributes:
        by_transfer: By the id of each transfer that books something at a channel.
        failed: By payment: the refunds whose success failed, and which were sent by another method since, so that ids
            that follow from their current hold are not those of the first method.
        disputes: By payment, first to last: their transfers have ids of their own.
    """

    by_transfer: dict[int, ChannelNumber] = field(default_factory=dict)
    failed: dict[UUID, list[ChannelNumber]] = field(default_factory=dict)
    disputes: dict[UUID, list[ChannelNumber]] = field(default_factory=dict)


async def channel_numbers(tx: db.Tx, payment_ids: Collection[UUID]) -> ChannelNumbers:
    """Return the numbers of some payments, their refunds and disputes at their channels."""
    numbers = ChannelNumbers()
    for row in await sql.attempts_taken.fetch(tx, payment_ids):
        number = ChannelNumber(
            NumberKind.PAYMENT,
            ids.encode("att", row["id"]),
            row["channel_order_no"] or "",
            "",
            row["payment_id"],
            row["merchant_id"],
            row["account_id"],
            ids.encode("pay", row["payment_id"]),
            row["ordered_minor"],
            row["paid_minor"],
        )
        numbers.by_transfer |= dict.fromkeys(success_ids(row["payment_id"], row["id"]), number)
    for refunds in (await refunds_of(tx, payment_ids)).values():
        for refund in refunds:
            _add_refund(numbers, refund)
    for row in await sql.dispute_numbers.fetch(tx, payment_ids):
        number = ChannelNumber(
            NumberKind.DISPUTE,
            row["dispute_no"],
            row["dispute_no"],
            ids.encode("att", row["attempt_id"]),
            row["payment_id"],
            row["merchant_id"],
            row["account_id"],
            ids.encode(DISPUTE_PREFIX, row["id"]),
            ended_at=row["created_at"],
        )
        numbers.disputes.setdefault(row["payment_id"], []).append(number)
    return numbers


def _add_refund(numbers: ChannelNumbers, refund: Refund) -> None:
    current = channel_number(refund, refund.route)
    out, late = refund_postings.channel_ids(refund)
    numbers.by_transfer |= dict.fromkeys(out, current)
    earlier = channel_number(refund, late_method(refund))
    numbers.by_transfer[late] = earlier
    if refund.late_failure_at is not None and refund.route in (RefundMethod.PAYOUT, RefundMethod.MANUAL):
        numbers.failed.setdefault(refund.payment_id, []).append(earlier)


def late_method(refund: Refund) -> RefundMethod:
    """Return the method by which a refund succeeds late: one before the current, if that has sent the money or may."""
    if refund.route in (RefundMethod.PAYOUT, RefundMethod.MANUAL):
        return RefundMethod.ORIGINAL
    is_sent = refund.route is RefundMethod.ORIGINAL and refund.state is RefundState.SUCCEEDED
    return RefundMethod.VOID if is_sent else refund.route


def refund_transfer(refund: Refund) -> int:
    """Return the id of the transfer that books a refund's money out, by its current hold."""
    return refund_postings.channel_ids(refund)[0][0]


def channel_number(refund: Refund, method: RefundMethod) -> ChannelNumber:
    """Return the numbers of a refund by one of its methods."""
    by_payout = method is RefundMethod.PAYOUT
    channel_no = refund.channel_refund_no or refund.reference or "" if method is refund.route else ""
    by_hand = channel_no or ids.encode("ref", refund.refund_id)
    return ChannelNumber(
        NumberKind.PAYOUT if by_payout else NumberKind.REFUND,
        refund.portal_no or (by_hand if method is RefundMethod.MANUAL else number_of(refund.refund_id, method)),
        channel_no,
        ids.encode("att", refund.attempt_id),
        refund.payment_id,
        refund.merchant_id,
        (refund.payout_account_id if by_payout else None) or refund.account_id,
        ids.encode("ref", refund.refund_id),
        refund.amount_minor,
        refund.payer_minor,
        refund.late_failure_at,
    )


@dataclass(frozen=True, slots=True)
class UnbookedNumber:
    """A number at a channel whose money is not booked: of an attempt or a refund that is under way, or has failed."""

    kind: NumberKind
    number: str
    channel_no: str
    original_no: str
    merchant_id: UUID
    account_id: UUID
    reference: str
    state: str
    amount_minor: int
    currency: str


async def unbooked_numbers(tx: db.Tx, numbers: Collection[str]) -> list[UnbookedNumber]:
    """Return the attempts and refunds that have these numbers and that nothing is booked of."""
    attempt_ids: list[UUID] = []
    refund_ids: set[UUID] = set()
    for number in numbers:
        with suppress(NotFound):
            if number.startswith("att_"):
                attempt_ids.append(ids.decode("att", number))
            else:
                refund_ids.add(read_number(number)[1])
    found = [
        UnbookedNumber(
            NumberKind.PAYMENT,
            ids.encode("att", row["id"]),
            row["channel_order_no"] or "",
            "",
            row["merchant_id"],
            row["account_id"],
            ids.encode("pay", row["payment_id"]),
            row["state"],
            row["amount_minor"],
            row["currency"],
        )
        for row in await sql.unbooked_attempts.fetch(tx, attempt_ids)
    ]
    for refund in (await find_refunds(tx, refund_ids)).values():
        found += [number for number in _unbooked(refund) if number.number in numbers]
    return found


def _unbooked(refund: Refund) -> Iterator[UnbookedNumber]:
    """Yield the numbers of a refund under which nothing is booked: a method that was left has failed."""
    for method in RefundMethod:
        is_current = method is refund.route
        is_booked = refund.late_success_at is not None or (is_current and refund.state is RefundState.SUCCEEDED)
        if method is RefundMethod.MANUAL or is_booked:
            continue
        number = channel_number(refund, method)
        yield UnbookedNumber(
            number.kind,
            number.number,
            number.channel_no,
            number.original_no,
            number.merchant_id,
            number.account_id,
            number.reference,
            refund.state if is_current else RefundState.FAILED,
            refund.amount_minor,
            refund.currency,
        )
