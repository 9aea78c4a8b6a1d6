"""The postings of refunds: money is held first, and posted or released once the channel has answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum

from hutong import db, ledger
from hutong.ledger import AccountOwner, CreateTransferStatus, EventCode, Posting, TransferFlags
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod


class HoldOutcome(Enum):
    """The outcome of holding a refund's money."""

    HELD = "held"
    INSUFFICIENT = "insufficient"


async def hold(
    tx: db.Tx, refunds: Sequence[Refund], *, now: datetime, accounts: set[ledger.Opening] | None = None
) -> list[HoldOutcome]:
    """Hold the money of each refund, all of it or none.

    Args:
        accounts: The accounts that this process knows to be open, as for `ledger.book`.

    Returns:
        One outcome per refund, in order.
    """
    chains = [reservation(refund) for refund in refunds]
    refusable = {CreateTransferStatus.EXCEEDS_CREDITS}
    return [
        HoldOutcome.INSUFFICIENT if status is CreateTransferStatus.EXCEEDS_CREDITS else HoldOutcome.HELD
        for status in await ledger.book(tx, chains, now=now, accounts=accounts, refusable=refusable)
    ]


def reservation(refund: Refund) -> ledger.Chain:
    """Return the chain that holds the payer's part, from the merchant and from our fee, and the parts of funders."""
    return _chain(refund, _parts(refund))


def success(refund: Refund, *, from_bank: bool = False, cost_minor: int | None = None) -> ledger.Chain:
    """Return the chain that posts a refund's hold and books the money out.

    Args:
        from_bank: A person has paid a manual refund from the bank account, not through the channel.
        cost_minor: What has gone out, if that is not what is held. What was held above it goes back to the merchant;
            what has cost more waits in suspense.
    """
    by_bank = from_bank and refund.route is RefundMethod.MANUAL
    is_surplus = refund.kind is RefundKind.SURPLUS
    code = EventCode.SURPLUS_REFUND if is_surplus else EventCode.REFUND
    if cost_minor is None:
        cost_minor = refund.payer_minor if by_bank else refund.cost_minor
    more = cost_minor - refund.held_minor
    leg = "surplus_more" if is_surplus else "more" if more > 0 else "less"
    postings = [
        # The rest of a surplus stays owed.
        Posting(EventCode.REFUND_DIFFERENCE, leg, more if is_surplus else abs(more), refund.hold_id, "difference"),
        Posting(code, "out_of_bank" if by_bank else "out", cost_minor, refund.hold_id, "out"),
    ]
    to_book = [posting for posting in postings if posting.amount_minor > 0]
    return _chain(refund, to_book, TransferFlags.POST_PENDING_TRANSFER)


def booked_success(refund: Refund) -> ledger.Chain:
    """Return every transfer that a success may have booked, whatever its amounts; those of zero do not exist."""
    code = EventCode.SURPLUS_REFUND if refund.kind is RefundKind.SURPLUS else EventCode.REFUND
    possible = [
        Posting(EventCode.REFUND_DIFFERENCE, "more", 0, refund.hold_id, "difference"),
        Posting(code, "out", 0, refund.hold_id, "out"),
    ]
    chain = _chain(refund, possible, TransferFlags.POST_PENDING_TRANSFER)
    return replace(chain, holds=_possible_parts(refund) if refund.kind is RefundKind.REFUND else ())


def failure(refund: Refund) -> ledger.Chain:
    """Return the chain that releases a refund's hold."""
    return _chain(refund, [], TransferFlags.VOID_PENDING_TRANSFER)


def late_success(refund: Refund, amount_minor: int) -> ledger.Chain:
    """Return the chain for money that left by a method that had been proven failed: gone, and not yet explained."""
    cost_minor = refund.held_minor if amount_minor == refund.amount_minor else amount_minor
    posting = Posting(EventCode.LATE_REFUND, "late", cost_minor, refund.hold_id, "late")
    return _chain(refund, [posting] if cost_minor else [])


def channel_ids(refund: Refund) -> tuple[list[int], int]:
    """Return the ids of the transfers that book a refund at its channel, and that of its late success.

    They follow from the current hold: what an earlier one has booked has others.
    """
    posts = TransferFlags.POST_PENDING_TRANSFER
    channel = Posting(EventCode.FUNDING_RETURN, "channel", 0, refund.hold_id, "channel")
    out, late = ledger.derive_id(refund.hold_id, "out"), ledger.derive_id(refund.hold_id, "late")
    return [out, _chain(refund, [], posts).resolution_id(channel)], late


def _parts(refund: Refund) -> list[Posting]:
    """Return the postings of a refund's hold; those of zero are left out."""
    return [part for part in _possible_parts(refund) if part.amount_minor]


def _possible_parts(refund: Refund) -> list[Posting]:
    parts = (
        (EventCode.REFUND, "merchant", refund.held_minor - refund.fee_minor),
        (EventCode.FEE_RETURN, "fee", refund.fee_minor),
        (EventCode.FUNDING_RETURN, "platform", refund.platform_minor),
        (EventCode.FUNDING_RETURN, "channel", refund.channel_minor),
    )
    return [Posting(code, leg, amount, refund.hold_id, leg) for code, leg, amount in parts]


def _chain(refund: Refund, postings: Sequence[Posting], resolution: TransferFlags = TransferFlags.NONE) -> ledger.Chain:
    by_payout = refund.route is RefundMethod.PAYOUT
    # Surplus is set apart when it is booked, so nothing is held.
    resolves = resolution and refund.kind is not RefundKind.SURPLUS
    return ledger.Chain(
        postings,
        {
            AccountOwner.MERCHANT: refund.merchant_id,
            AccountOwner.CHANNEL_ACCOUNT: refund.account_id,
            AccountOwner.SENDING_ACCOUNT: (refund.payout_account_id if by_payout else None) or refund.account_id,
        },
        refund.currency,
        refund.payment_id,
        holds=_parts(refund) if resolves else (),
        resolution=resolution,
    )
