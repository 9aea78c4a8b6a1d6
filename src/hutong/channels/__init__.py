"""What a payment channel is, one file per channel, and the accounts that a merchant platform holds there.

Promises: what a channel has not proven is UNKNOWN; a code that the map does not hold is neither a success nor a
failure; a notification that is not proven is refused; credentials are sealed at rest, never shown, and replaced
without a restart.
"""

from hutong.channels.accounts.accounts import (
    Accounts,
    Offer,
    create_account,
    ensure_account,
    find_account,
    replace_credentials,
    set_enabled,
)
from hutong.channels.accounts.diagnostics import diagnose_account
from hutong.channels.accounts.listing import AccountEntry, list_accounts
from hutong.channels.bill import Bill, BillRow, BillRowKind, BillState
from hutong.channels.capability import BillRule, Capabilities, Method, RefundRule
from hutong.channels.codes.codes import CodeEntry, Codes, Meaning, load_codes
from hutong.channels.codes.coverage import Coverage, coverage
from hutong.channels.codes.store import (
    CHANGE,
    CodeVersion,
    UnmappedCode,
    change_code,
    code_history,
    current_codes,
    load_shipped,
    open_unmapped,
    propose_code,
)
from hutong.channels.codes.unmapped import Unmapped
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
    Order,
    PayerAction,
    Payout,
    PayRequest,
    Refund,
    after_sending,
)
from hutong.channels.protocol import Channel, Finding
from hutong.channels.registry import Adapter, adapters, make_channel

__all__ = [
    "CHANGE",
    "NOT_SENT",
    "About",
    "AccountEntry",
    "Accounts",
    "ActionKind",
    "Adapter",
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
    "CodeEntry",
    "CodeVersion",
    "Codes",
    "Coverage",
    "Finding",
    "Http",
    "HttpAnswer",
    "HttpReply",
    "Meaning",
    "Method",
    "NotOffered",
    "Notification",
    "NotificationRefused",
    "Offer",
    "Order",
    "PayRequest",
    "PayerAction",
    "Payout",
    "Refund",
    "RefundRule",
    "Unmapped",
    "UnmappedCode",
    "adapters",
    "after_sending",
    "change_code",
    "code_history",
    "coverage",
    "create_account",
    "current_codes",
    "diagnose_account",
    "ensure_account",
    "find_account",
    "list_accounts",
    "load_codes",
    "load_shipped",
    "make_channel",
    "open_unmapped",
    "propose_code",
    "replace_credentials",
    "set_enabled",
]
