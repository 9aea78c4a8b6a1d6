"""The postings of a successful attempt: one linked chain of transfers, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from hutong import db, ledger, money
from hutong.errors import InvariantBroken
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.payments.model import Attempt, Payment


def success(payment: Payment, attempt: Attempt, *, platform_minor: int = 0, channel_minor: int = 0) -> ledger.Chain:
    """Return the chain that books a success: to the merchant with discount funding and our fee, or to surplus.

    The first transfer's id follows from the attempt, so the ledger itself refuses to book a success twice. All ids are
    of the payment's time, since the journal is kept in order of its ids and those of attempts are in none.

    Args:
        platform_minor, channel_minor: What the platform and the channel pay of the order's discounts. It is owed to
            the merchant; surplus has none.
    """
    taken, payment_id = taken_minor(attempt), attempt.payment_id
    name = _success_name(attempt.attempt_id)
    if attempt.surplus:
        postings = [Posting(EventCode.SURPLUS, "surplus", taken, payment_id, name)]
    else:
        # The fee comes last, so that nothing is taken from the merchant before everything has been credited.
        extras = [
            Posting(EventCode.FUNDING, "platform", platform_minor, payment_id, f"{name}:platform"),
            Posting(EventCode.FUNDING, "channel", channel_minor, payment_id, f"{name}:channel"),
            # The payment's own id: time-ordered, and as unique as the one success that counts.
            Posting(EventCode.FEE, "fee", money.fee_minor(taken, payment.fee_ppm), payment_id),
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

    Repeat:
        A transfer is booked back once, even if a person has reversed it before.

    Errors:
        InvariantBroken: a transfer was not booked, or its opposite is refused.
    """
    transfer_ids = [transfer_id for chain in chains for transfer_id in reversed(chain.transfer_ids)]
    results = await ledger.reverse(tx, transfer_ids, reason=reason, by="hutong", new_id=new_id, now=now)
    for transfer_id, result in zip(transfer_ids, results, strict=True):
        if result.reversal_id is None:
            raise InvariantBroken(f"transfer {UUID(int=transfer_id)} cannot be booked back: {result.status.name}")


def success_id(payment_id: UUID, attempt_id: UUID) -> int:
    """Return the id of the transfer that books an attempt's success."""
    return ledger.derive_id(payment_id, _success_name(attempt_id))


def _success_name(attempt_id: UUID) -> str:
    return f"attempt:{attempt_id}"


def taken_minor(attempt: Attempt) -> int:
    """Return the amount that a successful attempt took."""
    assert attempt.amount_captured_minor is not None, "a success has a captured amount"
    return attempt.amount_captured_minor
