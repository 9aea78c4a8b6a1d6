"""What can be wrong with a channel's message, with a channel account, or with the way to the channel."""

from hutong.errors import HutongError, Unauthorized


class NotificationRefused(Unauthorized):
    """The message is not proven to come from the channel for this account, is stale, or cannot be read."""

    code = "notification_refused"


class ChannelUnreachable(HutongError):
    """A call to a channel brought no answer. Adapters turn it into ChannelState.UNKNOWN; it goes no further.

    Attributes:
        sent: Whether the channel may have received the call. False only where no connection was made at all.
    """

    code = "channel_unreachable"
    http_status = 503

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class NotOffered(HutongError):
    """The channel has no such verb. Its capabilities say so, so that nobody asks."""

    code = "channel_verb_not_offered"
    http_status = 422


class BillRefused(HutongError):
    """A bill is not of its channel's layout, is not whole, or does not add up to its own totals. None of it is used."""

    code = "bill_refused"
    http_status = 422
