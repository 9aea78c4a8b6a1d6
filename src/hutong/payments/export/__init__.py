"""Payments and refunds for views that others build, and for those who compare them with the books."""

from hutong.payments.export.amounts import (
    HeldDispute,
    MerchantAmount,
    held_disputes,
    merchant_amounts,
    stream_payments,
    stream_refunds,
)
from hutong.payments.export.channel_numbers import (
    ChannelNumber,
    ChannelNumbers,
    NumberKind,
    UnbookedNumber,
    channel_number,
    channel_numbers,
    late_method,
    refund_transfer,
    unbooked_numbers,
)
from hutong.payments.export.day_records import refunded_sums, refunds_ended, stream_orders

__all__ = [
    "ChannelNumber",
    "ChannelNumbers",
    "HeldDispute",
    "MerchantAmount",
    "NumberKind",
    "UnbookedNumber",
    "channel_number",
    "channel_numbers",
    "held_disputes",
    "late_method",
    "merchant_amounts",
    "refund_transfer",
    "refunded_sums",
    "refunds_ended",
    "stream_orders",
    "stream_payments",
    "stream_refunds",
    "unbooked_numbers",
]
