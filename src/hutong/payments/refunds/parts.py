"""A refund's part of each of a payment's sums: what the payer gets back, what is taken back from the settlement.

Each refund takes of what is left in proportion to what is left of the ordered sum, rounded half up. So no part is ever
above the refund or above what is left, and the refund of the rest takes the rest of each sum, in any case.
"""

from __future__ import annotations

from collections.abc import Iterable

from hutong.payments.model import Attempt, Payment
from hutong.payments.refunds.model import Refund, RefundKind


def parts_of(
    payment: Payment, attempt: Attempt, refunds: Iterable[Refund], amount_minor: int
) -> tuple[int | None, int | None]:
    """Return what the payer gets of a new refund, and what is taken back from the settlement.

    Args:
        refunds: The earlier ones of the payment.

    Returns:
        None for both where no discount has made a difference.
    """
    if attempt.sums is None:
        return None, None
    # One that succeeded late has taken its part, though it had failed.
    earlier = [r for r in refunds if r.kind is RefundKind.REFUND and (r.counts or r.late_success_at)]
    paid_left = attempt.sums.paid_minor - sum(refund.payer_minor for refund in earlier)
    settled_left = attempt.returnable_minor - sum(refund.held_minor for refund in earlier)
    ordered_left = payment.unrefunded_minor
    # What the channel has given back besides what a dispute has taken goes by what is left without the dispute.
    if amount_minor <= payment.refundable_minor:
        paid_left, settled_left = paid_left - payment.disputed_paid_minor, settled_left - payment.disputed_settled_minor
        ordered_left = payment.refundable_minor
    return share_minor(paid_left, amount_minor, ordered_left), share_minor(settled_left, amount_minor, ordered_left)


def disputed_parts(attempt: Attempt, taken_minor: int) -> tuple[int, int]:
    """Return the parts of the captured sum and of the payer's that go with what a channel has taken for a dispute.

    They follow from the order alone, not from its refunds, so that messages in any order give the same.
    """
    captured_minor, returnable_minor = attempt.amount_captured_minor or 0, attempt.returnable_minor
    if attempt.sums is None:
        return min(taken_minor, captured_minor), min(taken_minor, captured_minor)
    taken_minor = min(taken_minor, returnable_minor)
    counted_minor = (
        captured_minor
        if taken_minor == returnable_minor
        else ((2 * taken_minor * captured_minor + returnable_minor) // (2 * returnable_minor))
    )
    return counted_minor, share_minor(attempt.sums.paid_minor, counted_minor, captured_minor)


def share_minor(left_minor: int, amount_minor: int, of_minor: int) -> int:
    """Return the share of what is left that goes with an amount out of `of_minor`; never above the amount."""
    if of_minor <= 0:
        return 0
    rounded = (2 * max(left_minor, 0) * amount_minor + of_minor) // (2 * of_minor)
    return min(rounded, amount_minor)
