"""What can be wrong with a channel's message or with a channel account."""

from hutong.errors import Unauthorized


class NotificationRefused(Unauthorized):
    """The message is not proven to come from the channel for this account, is stale, or cannot be read."""

    code = "notification_refused"
