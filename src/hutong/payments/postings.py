"""The postings of a successful attempt: one linked chain of transfers, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from hutong import db, ledger, money
from hutong.clock import to_ns
from hutong.errors import InvariantBroken
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.payments.model import Attempt, Payment


def success(payment: Payment, attempt: Attempt, *, platform_minor: int = 0, channel_minor: int = 0) -> ledger.Chain:
    """Return the chain that books a success: to the merchant with discount funding and our fee, or to surplus.

    Credited is what was ordered, less what the channel does not settle. Our fee is on what settles.

    The first transfer's id follows from the attempt, so the ledger itself refuses to book a success twice. All ids are
    of the payment's time, since the journal is kept in order of its ids and those of attempts are in none.

    Args:
        platform_minor, channel_minor: What the platform and the channel pay of the order's discounts. It is owed to
            the merchant; surplus has none.
    """
    taken, payment_id = taken_minor(attempt), attempt.payment_id
    name, sums = _success_name(attempt.attempt_id), attempt.sums
    owed_to = "surplus" if attempt.surplus else "payment"
    # What the channel does not settle is taken off at once: the channel does not owe it, and we do not either.
    borne, withheld = (0, 0) if sums is None else (sums.borne_minor, sums.withheld_minor)
    unsettled = [
        Posting(EventCode.MERCHANT_DISCOUNT, owed_to, borne, payment_id, f"{name}:discount"),
        Posting(EventCode.APPLICATION_FEE, owed_to, withheld, payment_id, f"{name}:application_fee"),
    ]
    if attempt.surplus:
        postings = [
            Posting(EventCode.SURPLUS, "surplus", taken, payment_id, name),
            *(posting for posting in unsettled if posting.amount_minor),
        ]
    else:
        # The fee comes last, so that nothing is taken from the merchant before everything has been credited.
        extras = [
            *unsettled,
            Posting(EventCode.FUNDING, "platform", platform_minor, payment_id, f"{name}:platform"),
            Posting(EventCode.FUNDING, "channel", channel_minor, payment_id, f"{name}:channel"),
            # The payment's own id: time-ordered, and as unique as the one success that counts.
            Posting(EventCode.FEE, "fee", money.fee_minor(taken - borne - withheld, payment.fee_ppm), payment_id),
        ]
        postings = [
            Posting(EventCode.PAYMENT, "payment", taken, payment_id, name),
            *(posting for posting in extras if posting.amount_minor),
        ]
    owners = {AccountOwner.MERCHANT: payment.merchant_id, AccountOwner.CHANNEL_ACCOUNT: attempt.account_id}
    return ledger.Chain(postings, owners, payment.currency, payment.payment_id)


async def book_back(
    tx: db.Tx, chains: Sequence[ledger.Chain], *, reason: str, new_id: Callable[[], UUID], now: datetime
) -> None:
    """Book the exact opposite of chains that were booked before: of the last transfer first.

    Args:
        chains: Transfers that they name and the books do not have were of zero.

    Repeat:
        A transfer is booked back once, even if a person has reversed it before.

    Errors:
        InvariantBroken: nothing of a chain was booked, or an opposite is refused.
    """
    possible = [transfer_id for chain in chains for transfer_id in reversed(chain.transfer_ids)]
    books = ledger.Ledger(tx, clock=lambda: to_ns(now))
    booked = {transfer.id for transfer in await books.lookup_transfers(possible)}
    if not all(booked & set(chain.transfer_ids) for chain in chains):
        raise InvariantBroken("nothing was booked of what is to be booked back")
    transfer_ids = [transfer_id for transfer_id in possible if transfer_id in booked]
    results = await ledger.reverse(tx, transfer_ids, reason=reason, by="hutong", new_id=new_id, now=now)
    for transfer_id, result in zip(transfer_ids, results, strict=True):
        if result.reversal_id is None:
            raise InvariantBroken(f"transfer {UUID(int=transfer_id)} cannot be booked back: {result.status.name}")


def success_id(payment_id: UUID, attempt_id: UUID) -> int:
    """Return the id of the transfer that books an attempt's success."""
    return ledger.derive_id(payment_id, _success_name(attempt_id))


def success_ids(payment_id: UUID, attempt_id: UUID) -> list[int]:
    """Return the ids of the transfers of an attempt's success that concern the channel; those of zero do not exist."""
    name = _success_name(attempt_id)
    parts = ("", ":discount", ":application_fee", ":channel")
    return [ledger.derive_id(payment_id, name + part) for part in parts]


def _success_name(attempt_id: UUID) -> str:
    return f"attempt:{attempt_id}"


def taken_minor(attempt: Attempt) -> int:
    """Return the amount that a successful attempt took."""
    assert attempt.amount_captured_minor is not None, "a success has a captured amount"
    return attempt.amount_captured_minor
