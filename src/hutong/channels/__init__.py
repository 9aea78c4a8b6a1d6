"""What a payment channel is, and one file per channel."""

from hutong.channels.errors import NotificationRefused
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
    "ActionKind",
    "Capabilities",
    "Channel",
    "ChannelAnswer",
    "ChannelState",
    "HttpAnswer",
    "Notification",
    "NotificationRefused",
    "PayRequest",
    "PayerAction",
]
