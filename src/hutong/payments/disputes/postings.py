"""The postings of disputes: what a channel takes, and the hold of the same from the merchant.

Each change books the difference between the dispute's position before and after it, so that any number of statements in
any order ends in the same books.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hutong import db, ledger
from hutong.ledger import AccountOwner, CreateTransferStatus, EventCode, Posting
from hutong.payments.disputes.model import Dispute


@dataclass(frozen=True, slots=True)
class Position:
    """What the books have of a dispute.

    Attributes:
        taken_minor, fee_minor: Booked out of the channel's clearing.
        held_minor: Booked out of the merchant's settlement.
        closed_minor: How much of that is booked for good, since the dispute has ended.
    """

    taken_minor: int = 0
    fee_minor: int = 0
    held_minor: int = 0
    closed_minor: int = 0


def position_of(dispute: Dispute) -> Position:
    """Return the position that the books have of a dispute."""
    closed_minor = dispute.held_minor if dispute.is_final else 0
    return Position(dispute.taken_minor, dispute.fee_minor, dispute.held_minor, closed_minor)


async def book_difference(tx: db.Tx, dispute: Dispute, before: Position, *, base: UUID, now: datetime) -> None:
    """Book what has changed of a dispute since `before`, and hold from the merchant what the channel has taken.

    A merchant who does not have the money gives it later: the channel has taken it all the same.

    Args:
        base: A new id, from which those of the transfers are derived.

    Effects:
        Sets `held_minor`.
    """
    due_minor = dispute.cost_minor - before.held_minor
    dispute.held_minor = min(before.held_minor, dispute.cost_minor)
    if due_minor > 0 and await _hold(tx, dispute, due_minor, base=base, now=now):
        dispute.held_minor = dispute.cost_minor
    after = position_of(dispute)
    closed_minor = after.closed_minor - before.closed_minor
    taken_minor, fee_minor = after.taken_minor - before.taken_minor, after.fee_minor - before.fee_minor
    possible = [
        # What an end has booked for good comes back first, and an end comes last.
        Posting(EventCode.DISPUTE_LOSS, "reopened", -closed_minor, base, "reopened"),
        Posting(EventCode.DISPUTE, "taken", taken_minor, base, "taken"),
        Posting(EventCode.DISPUTE_FEE, "charged", fee_minor, base, "charged"),
        Posting(EventCode.DISPUTE_RETURN, "returned", -taken_minor, base, "returned"),
        Posting(EventCode.DISPUTE_FEE, "returned", -fee_minor, base, "fee_returned"),
        Posting(EventCode.DISPUTE_RETURN, "released", -due_minor, base, "released"),
        Posting(EventCode.DISPUTE_LOSS, "lost", closed_minor, base, "lost"),
    ]
    postings = [posting for posting in possible if posting.amount_minor > 0]
    if postings:
        await ledger.book(tx, [_chain(dispute, postings)], now=now)


async def _hold(tx: db.Tx, dispute: Dispute, amount_minor: int, *, base: UUID, now: datetime) -> bool:
    """Hold an amount from the merchant; return whether their balance, or an agreed overdraft, covers it."""
    chain = _chain(dispute, [Posting(EventCode.DISPUTE, "held", amount_minor, base, "held")])
    refusal = CreateTransferStatus.EXCEEDS_CREDITS
    (status,) = await ledger.book(tx, [chain], now=now, refusable={refusal})
    return status is not refusal


def _chain(dispute: Dispute, postings: list[Posting]) -> ledger.Chain:
    owners = {AccountOwner.MERCHANT: dispute.merchant_id, AccountOwner.CHANNEL_ACCOUNT: dispute.account_id}
    return ledger.Chain(postings, owners, dispute.currency, dispute.payment_id)
