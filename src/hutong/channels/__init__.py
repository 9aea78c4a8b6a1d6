"""What a payment channel is, one file per channel, and the accounts that a merchant platform holds there.

Promises: what a channel has not proven is UNKNOWN; a notification that is not proven is refused; credentials are sealed
at rest, never shown, and replaced without a restart.
"""

from hutong.channels.account import Accounts, Offer, create_account, find_account, replace_credentials, set_enabled
from hutong.channels.adapter import Adapter
from hutong.channels.errors import ChannelUnreachable, NotificationRefused
from hutong.channels.http import Http, HttpReply
from hutong.channels.listing import AccountEntry, list_accounts
from hutong.channels.model import (
    ActionKind,
    Capabilities,
    Channel,
    ChannelAnswer,
    ChannelState,
    HttpAnswer,
    Notification,
    PayerAction,
    PayRequest,
)

__all__ = [
    "AccountEntry",
    "Accounts",
    "ActionKind",
    "Adapter",
    "Capabilities",
    "Channel",
    "ChannelAnswer",
    "ChannelState",
    "ChannelUnreachable",
    "Http",
    "HttpAnswer",
    "HttpReply",
    "Notification",
    "NotificationRefused",
    "Offer",
    "PayRequest",
    "PayerAction",
    "create_account",
    "find_account",
    "list_accounts",
    "replace_credentials",
    "set_enabled",
]
