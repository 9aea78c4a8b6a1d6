"""Refusals of refunds. Nothing is written then."""

from __future__ import annotations

from hutong.errors import Conflict, HutongError, InvalidParameter
from hutong.payments.refunds.create import RefundRefusal


class RefundNoReused(Conflict):
    """The merchant's refund number belongs to a refund with other content."""

    code = "refund_no_reused"


class PaymentNotRefundable(Conflict):
    """The payment has not succeeded, so there is nothing to refund."""

    code = "payment_not_refundable"


class RefundExceedsAvailable(Conflict):
    """The amount exceeds the captured amount minus what is refunded or on its way back."""

    code = "refund_exceeds_available"


class InsufficientMerchantFunds(Conflict):
    """The merchant's balance, with its agreed overdraft, does not cover the refund."""

    code = "insufficient_merchant_funds"


class RefundNotOffered(Conflict):
    """The channel that took the money offers no refunds."""

    code = "refund_not_offered"


class RefundWindowClosed(Conflict):
    """The payment is too old for its channel to refund it."""

    code = "refund_window_closed"


class RefundCountExceeded(Conflict):
    """The channel accepts no further refund of this payment."""

    code = "refund_count_exceeded"


class PartialRefundNotOffered(Conflict):
    """The channel refunds only whole payments."""

    code = "partial_refund_not_offered"


class SameDayRefundNotOffered(Conflict):
    """The channel refunds only from the day after the payment."""

    code = "same_day_refund_not_offered"


class UnknownRefundItem(InvalidParameter):
    """The payment has no such item."""

    code = "unknown_refund_item"


class RefundQuantityExceeded(Conflict):
    """The quantity exceeds the units that are not refunded yet."""

    code = "refund_quantity_exceeded"


class RefundByItemOnly(InvalidParameter):
    """The payment has items, so that a refund names items instead of an amount."""

    code = "refund_by_item_only"


_REFUSALS: dict[RefundRefusal, tuple[type[HutongError], str, str | None]] = {
    RefundRefusal.NUMBER_REUSED: (
        RefundNoReused,
        "`merchant_refund_no` was used for a refund with other content",
        "merchant_refund_no",
    ),
    RefundRefusal.NOT_REFUNDABLE: (PaymentNotRefundable, "the payment has not succeeded", None),
    RefundRefusal.EXCEEDS_AVAILABLE: (
        RefundExceedsAvailable,
        "`amount_minor` is larger than the part of the payment that can still be refunded",
        "amount_minor",
    ),
    RefundRefusal.INSUFFICIENT_FUNDS: (InsufficientMerchantFunds, "your balance does not cover this refund", None),
    RefundRefusal.NOT_OFFERED: (RefundNotOffered, "the channel of this payment offers no refunds", None),
    RefundRefusal.WINDOW_CLOSED: (RefundWindowClosed, "the payment is too old for its channel to refund it", None),
    RefundRefusal.COUNT_EXCEEDED: (RefundCountExceeded, "the channel accepts no further refund of this payment", None),
    RefundRefusal.PARTIAL_NOT_OFFERED: (
        PartialRefundNotOffered,
        "the channel refunds only the whole payment",
        "amount_minor",
    ),
    RefundRefusal.SAME_DAY_NOT_OFFERED: (
        SameDayRefundNotOffered,
        "the channel refunds only from the day after the payment",
        None,
    ),
    RefundRefusal.UNKNOWN_ITEM: (UnknownRefundItem, "`items` names an item that the payment does not have", "items"),
    RefundRefusal.QUANTITY_EXCEEDED: (
        RefundQuantityExceeded,
        "`items` names more units than can still be refunded",
        "items",
    ),
    RefundRefusal.BY_ITEM_ONLY: (
        RefundByItemOnly,
        "the payment has items: send `items` instead of `amount_minor`",
        "amount_minor",
    ),
}


def refusal_error(refusal: RefundRefusal) -> HutongError:
    """Return the error that answers a refused refund."""
    error, detail, param = _REFUSALS[refusal]
    return error(detail, param=param)
