"""The postings of a successful attempt: one linked chain of transfers, all of them or none."""

from __future__ import annotations

from hutong import ledger, money
from hutong.ledger import AccountOwner, EventCode, Posting
from hutong.payments.model import Attempt, Payment


def success(payment: Payment, attempt: Attempt, *, platform_minor: int = 0, channel_minor: int = 0) -> ledger.Chain:
    """Return the chain that books a success: to the merchant with discount funding and our fee, or to surplus.

    The attempt's id is the first transfer's id, so the ledger itself refuses to book a success twice.

    Args:
        platform_minor, channel_minor: What the platform and the channel pay of the order's discounts. It is owed to
            the merchant; surplus has none.
    """
    taken, attempt_id = taken_minor(attempt), attempt.attempt_id
    if attempt.surplus:
        postings = [Posting(EventCode.SURPLUS, "surplus", taken, attempt_id)]
    else:
        # The fee comes last, so that nothing is taken from the merchant before everything has been credited.
        extras = [
            Posting(EventCode.FUNDING, "platform", platform_minor, attempt_id, "fund:platform"),
            Posting(EventCode.FUNDING, "channel", channel_minor, attempt_id, "fund:channel"),
            # The payment's own id: time-ordered, and as unique as the one success that counts.
            Posting(EventCode.FEE, "fee", money.fee_minor(taken, payment.fee_ppm), attempt.payment_id),
        ]
        postings = [
            Posting(EventCode.PAYMENT, "payment", taken, attempt_id),
            *(posting for posting in extras if posting.amount_minor),
        ]
    owners = {AccountOwner.MERCHANT: payment.merchant_id, AccountOwner.CHANNEL_ACCOUNT: attempt.account_id}
    return ledger.Chain(postings, owners, payment.currency, payment.payment_id)


def taken_minor(attempt: Attempt) -> int:
    """Return the amount that a successful attempt took."""
    assert attempt.amount_captured_minor is not None, "a success has a captured amount"
    return attempt.amount_captured_minor
