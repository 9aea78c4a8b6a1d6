"""The postings of a successful attempt: one linked chain of transfers, all of them or none."""

from __future__ import annotations

from uuid import UUID

from hutong import ledger, money
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.payments.model import Attempt, Payment


def success(payment: Payment, attempt: Attempt, *, platform_minor: int = 0, channel_minor: int = 0) -> ledger.Chain:
    """Return the chain that books a success: to the merchant with discount funding and our fee, or to surplus.

    The first transfer's id follows from the attempt, so the ledger itself refuses to book a success twice.

    Args:
        platform_minor, channel_minor: What the platform and the channel pay of the order's discounts. It is owed to
            the merchant; surplus has none.
    """
    if attempt.surplus:
        postings = [
            Posting(
                EventCode.SURPLUS, "surplus", success_id(attempt.payment_id, attempt.attempt_id), taken_minor(attempt)
            )
        ]
    else:
        fee_minor = money.fee_minor(taken_minor(attempt), payment.fee_ppm)
        # The fee comes last, so that nothing is taken from the merchant before everything has been credited.
        extras = [
            Posting(EventCode.FUNDING, "platform", _funding_id(attempt, "platform"), platform_minor),
            Posting(EventCode.FUNDING, "channel", _funding_id(attempt, "channel"), channel_minor),
            # The payment's own id: time-ordered, and as unique as the one success that counts.
            Posting(EventCode.FEE, "fee", attempt.payment_id.int, fee_minor),
        ]
        postings = [
            Posting(
                EventCode.PAYMENT, "payment", success_id(attempt.payment_id, attempt.attempt_id), taken_minor(attempt)
            ),
            *(posting for posting in extras if posting.amount_minor),
        ]
    owners = {AccountOwner.MERCHANT: payment.merchant_id, AccountOwner.CHANNEL_ACCOUNT: attempt.account_id}
    return ledger.make_chain(postings, owners=owners, currency=payment.currency, reference=payment.payment_id)


def success_id(payment_id: UUID, attempt_id: UUID) -> int:
    """Return the id of the transfer that books an attempt's success.

    It is of the time of the payment, since the journal is kept in order of its ids.
    """
    return ledger.derive_id(payment_id, f"attempt:{attempt_id}")


def _funding_id(attempt: Attempt, funder: str) -> int:
    return ledger.derive_id(attempt.payment_id, f"fund:{funder}:{attempt.attempt_id}")


def taken_minor(attempt: Attempt) -> int:
    """Return the amount that a successful attempt took."""
    assert attempt.amount_captured_minor is not None, "a success has a captured amount"
    return attempt.amount_captured_minor
