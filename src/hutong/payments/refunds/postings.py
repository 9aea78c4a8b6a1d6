"""The postings of refunds: money is held first, and posted or released once the channel has answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from uuid import UUID

from hutong import db, ledger
from hutong.ledger import AccountOwner, CreateTransferStatus, EventCode, Posting, TransferFlags
from hutong.payments.refunds.model import Refund, RefundKind, RefundMethod

Chain = ledger.Chain


class HoldOutcome(Enum):
    """The outcome of holding a refund's money."""

    HELD = "held"
    INSUFFICIENT = "insufficient"


async def hold(tx: db.Tx, refunds: Sequence[Refund], *, now: datetime) -> list[HoldOutcome]:
    """Hold the money of each refund, all of it or none.

    Returns:
        One outcome per refund, in order.
    """
    chains = [reservation(refund) for refund in refunds]
    statuses = await ledger.book(tx, chains, now=now, refusable={CreateTransferStatus.EXCEEDS_CREDITS})
    return [
        HoldOutcome.INSUFFICIENT if status is CreateTransferStatus.EXCEEDS_CREDITS else HoldOutcome.HELD
        for status in statuses
    ]


def reservation(refund: Refund) -> Chain:
    """Return the chain that holds the payer's part, from the merchant and from our fee, and the parts of funders."""
    return _chain(refund, _hold_postings(refund))


def success(refund: Refund, *, from_bank: bool = False) -> Chain:
    """Return the chain that posts a refund's hold and books the money out.

    Args:
        from_bank: A person has paid a manual refund from the bank account, not through the channel.
    """
    surplus = refund.kind is RefundKind.SURPLUS
    leg = "out_of_bank" if from_bank and refund.route is RefundMethod.MANUAL else "out"
    code = EventCode.SURPLUS_REFUND if surplus else EventCode.REFUND
    posting = Posting(code, leg, ledger.derive_id(refund.hold_id, "out"), refund.amount_minor)
    transfers, openings = _chain(refund, [posting] if refund.amount_minor else [])
    return ledger.link(_resolution(refund, TransferFlags.POST_PENDING_TRANSFER) + transfers), openings


def failure(refund: Refund) -> Chain:
    """Return the chain that releases a refund's hold."""
    return ledger.link(_resolution(refund, TransferFlags.VOID_PENDING_TRANSFER)), []


def late_success(refund: Refund) -> Chain:
    """Return the chain for money that left by a method that had been proven failed: gone, and not yet explained."""
    transfer_id = ledger.derive_id(refund.hold_id, "late")
    return _chain(refund, [Posting(EventCode.LATE_REFUND, "late", transfer_id, refund.amount_minor)])


def _hold_postings(refund: Refund) -> list[Posting]:
    """Return the postings of a refund's hold; those of zero are left out."""
    parts = (
        (EventCode.REFUND, "merchant", refund.amount_minor - refund.fee_minor),
        (EventCode.FEE_RETURN, "fee", refund.fee_minor),
        (EventCode.FUNDING_RETURN, "platform", refund.platform_minor),
        (EventCode.FUNDING_RETURN, "channel", refund.channel_minor),
    )
    return [
        Posting(code, leg, ledger.derive_id(refund.hold_id, leg), amount_minor)
        for code, leg, amount_minor in parts
        if amount_minor
    ]


def _chain(refund: Refund, postings: Sequence[Posting]) -> Chain:
    owners = {
        AccountOwner.MERCHANT: refund.merchant_id,
        AccountOwner.CHANNEL_ACCOUNT: refund.account_id,
        AccountOwner.SENDING_ACCOUNT: _sending_account(refund),
    }
    return ledger.make_chain(postings, owners=owners, currency=refund.currency, reference=refund.payment_id)


def _sending_account(refund: Refund) -> UUID:
    """Return the channel account that the money leaves by."""
    if refund.route is RefundMethod.PAYOUT and refund.payout_account_id is not None:
        return refund.payout_account_id
    return refund.account_id


def _resolution(refund: Refund, flag: TransferFlags) -> list[ledger.Transfer]:
    """Return the transfers that post or void the hold of a refund."""
    if refund.kind is RefundKind.SURPLUS:
        return []  # surplus is set apart when it is booked, so nothing is held
    amount = ledger.AMOUNT_MAX if flag is TransferFlags.POST_PENDING_TRANSFER else 0
    return [
        ledger.Transfer(
            id=ledger.derive_id(refund.hold_id, f"{flag.name}:{posting.leg}"),
            pending_id=posting.transfer_id,
            amount=amount,
            flags=flag,
        )
        for posting in _hold_postings(refund)
    ]
