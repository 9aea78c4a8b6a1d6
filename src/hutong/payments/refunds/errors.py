"""Why a refund is not taken on. Nothing is written then."""

from __future__ import annotations

from hutong.errors import Conflict, HutongError, InvalidParameter
from hutong.payments.refunds.create import RefundRefusal


class RefundNoReused(Conflict):
    """The merchant's refund number stands for a refund with other content."""

    code = "refund_no_reused"


class PaymentNotRefundable(Conflict):
    """The payment has not succeeded, so there is nothing to give back."""

    code = "payment_not_refundable"


class RefundExceedsAvailable(Conflict):
    """More is asked for than was captured, less what has gone back or is on its way."""

    code = "refund_exceeds_available"


class InsufficientMerchantFunds(Conflict):
    """The merchant's balance, with its agreed overdraft, does not cover the refund."""

    code = "insufficient_merchant_funds"


class RefundNotOffered(Conflict):
    """The channel that took the money gives none back."""

    code = "refund_not_offered"


class RefundWindowClosed(Conflict):
    """The payment is older than what the channel still refunds."""

    code = "refund_window_closed"


class RefundCountExceeded(Conflict):
    """The channel takes no further refund of this payment."""

    code = "refund_count_exceeded"


class PartialRefundNotOffered(Conflict):
    """The channel gives back the whole of a payment only."""

    code = "partial_refund_not_offered"


class SameDayRefundNotOffered(Conflict):
    """The channel refunds from the day after the payment on."""

    code = "same_day_refund_not_offered"


class UnknownRefundItem(InvalidParameter):
    """The payment has no such item."""

    code = "unknown_refund_item"


class RefundQuantityExceeded(Conflict):
    """More units are asked for than were bought and have not been given back."""

    code = "refund_quantity_exceeded"


class RefundByItemOnly(InvalidParameter):
    """The payment has items, so a refund names items and not an amount."""

    code = "refund_by_item_only"


_REFUSALS: dict[str, tuple[type[HutongError], str, str | None]] = {
    RefundRefusal.NUMBER_REUSED: (
        RefundNoReused, "this refund number stands for a refund with other content", "merchant_refund_no",
    ),
    RefundRefusal.NOT_REFUNDABLE: (PaymentNotRefundable, "the payment has not succeeded", None),
    RefundRefusal.EXCEEDS_AVAILABLE: (
        RefundExceedsAvailable, "more than what is left of the payment to be given back", "amount_minor",
    ),
    RefundRefusal.INSUFFICIENT_FUNDS: (
        InsufficientMerchantFunds, "your balance does not cover this refund", None,
    ),
    RefundRefusal.NOT_OFFERED: (RefundNotOffered, "the channel of this payment gives no refunds", None),
    RefundRefusal.WINDOW_CLOSED: (RefundWindowClosed, "the payment is too old for its channel to refund it", None),
    RefundRefusal.COUNT_EXCEEDED: (RefundCountExceeded, "the channel takes no further refund of this payment", None),
    RefundRefusal.PARTIAL_NOT_OFFERED: (
        PartialRefundNotOffered, "the channel gives back the whole payment only", "amount_minor",
    ),
    RefundRefusal.SAME_DAY_NOT_OFFERED: (
        SameDayRefundNotOffered, "the channel refunds from the day after the payment on", None,
    ),
    RefundRefusal.UNKNOWN_ITEM: (UnknownRefundItem, "the payment has no such item", "items"),
    RefundRefusal.QUANTITY_EXCEEDED: (
        RefundQuantityExceeded, "more units than are left to be given back", "items",
    ),
    RefundRefusal.BY_ITEM_ONLY: (
        RefundByItemOnly, "the payment has items: name those, and not an amount", "amount_minor",
    ),
}  # fmt: skip


def refusal_error(refusal: str) -> HutongError:
    """The error that tells the caller of a refusal."""
    kind, detail, param = _REFUSALS[refusal]
    return kind(detail, param=param)
