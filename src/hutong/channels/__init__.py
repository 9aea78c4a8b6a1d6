"""Payment channels: the kit for adapters, the accounts that a platform holds, and the meanings of channels' codes.

Promises: an unproven answer is UNKNOWN; an unmapped code is neither a success nor a failure; a notification that is
not authentic is refused; credentials are sealed at rest, never shown, and replaced without a restart.

An adapter needs the names of this package alone. Accounts, code maps, disputes and the sums of a payment are the
faces `accounts`, `codes`, `disputes` and `sums`.
"""

from hutong.channels import accounts, codes, disputes, sums
from hutong.channels.accounts.accounts import Accounts, Offer
from hutong.channels.bill import Bill, BillRow, BillRowKind, BillState
from hutong.channels.capability import BillRule, Capabilities, PaymentMethod, RefundRule
from hutong.channels.codes.codes import Codes
from hutong.channels.device import Device
from hutong.channels.errors import BillRefused, ChannelUnreachable, NotificationRefused, NotOffered
from hutong.channels.http import Http, HttpReply
from hutong.channels.model import (
    NOT_SENT,
    About,
    ActionKind,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    OrderReference,
    PayerAction,
    PayoutRequest,
    PayRequest,
    RefundRequest,
    after_sending,
)
from hutong.channels.protocol import AccountFinding, Channel
from hutong.channels.refusals import confirm_refusal
from hutong.channels.registry import adapters, make_channel

__all__ = [
    "NOT_SENT",
    "About",
    "AccountFinding",
    "Accounts",
    "ActionKind",
    "Bill",
    "BillRefused",
    "BillRow",
    "BillRowKind",
    "BillRule",
    "BillState",
    "Capabilities",
    "Channel",
    "ChannelAnswer",
    "ChannelState",
    "ChannelUnreachable",
    "Codes",
    "Device",
    "Http",
    "HttpAnswer",
    "HttpReply",
    "NotOffered",
    "Notification",
    "NotificationRefused",
    "Offer",
    "OrderReference",
    "PayRequest",
    "PayerAction",
    "PaymentMethod",
    "PayoutRequest",
    "RefundRequest",
    "RefundRule",
    "accounts",
    "adapters",
    "after_sending",
    "codes",
    "confirm_refusal",
    "disputes",
    "make_channel",
    "sums",
]
