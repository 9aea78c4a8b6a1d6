"""Errors of a channel's messages, of channel accounts, and of the connection to a channel."""

from __future__ import annotations

from hutong.channels.model import NOT_SENT, ChannelAnswer, ChannelState, text
from hutong.errors import HutongError, Unauthorized


class NotificationRefused(Unauthorized):
    """The message is not proven to come from the channel for this account, is stale, or cannot be read.

    Attributes:
        reason: One term for the reason.
        is_unreadable: The message is proven to come from the channel for this account, and cannot be read.
    """

    code = "notification_refused"

    def __init__(self, reason: str, *, is_unreadable: bool = False) -> None:
        super().__init__(f"the notification is refused: {reason}")
        self.reason = reason
        self.is_unreadable = is_unreadable

    @classmethod
    def because(cls, error: NotAuthentic | NoAnswer, *, proven: bool = False) -> NotificationRefused:
        """Return the refusal for a reason not to rely on a notification.

        Args:
            proven: Whether the message's signature was verified. What is about somebody else is none of ours even so.
        """
        reason = (error.answer.channel_code if isinstance(error, NoAnswer) else str(error)) or "unreadable"
        return cls(reason, is_unreadable=proven and reason != "not_ours")


class ChannelUnreachable(HutongError):
    """A call to a channel brought no answer. Adapters turn it into ChannelState.UNKNOWN; callers never see it.

    Attributes:
        sent: Whether the channel may have received the call. False only where no connection was made at all.
    """

    code = "channel_unreachable"
    http_status = 503

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.sent = sent


class NotOffered(HutongError):
    """The channel has no such verb. Its capabilities state that beforehand, so that no caller needs to try."""

    code = "channel_verb_not_offered"
    http_status = 422


class BillRefused(HutongError):
    """A bill is not of its channel's layout, is not whole, or does not add up to its own totals. None of it is used."""

    code = "bill_refused"
    http_status = 422


class NotAuthentic(Exception):
    """A message is not proven to come from the channel for this account. Never leaves an adapter.

    The text is one term for the reason: "unsigned", "bad_signature", "unknown_key", "stale", "unreadable", "not_ours"…
    """


class NoAnswer(Exception):
    """A call brought no answer that can be relied on. Never leaves an adapter.

    Attributes:
        answer: The UNKNOWN answer that the verb returns instead, with the code and the message for people.
        reason: Why nothing is proven, whatever code the unproven answer itself carries.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        unified_code: str | None = None,
        code_entry: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(code)
        self.reason = reason or code
        self.answer = ChannelAnswer(
            ChannelState.UNKNOWN,
            channel_code=text(code, 64),
            channel_message=text(message, 256),
            code=unified_code,
            code_entry=code_entry,
        )

    @classmethod
    def unreachable(cls, error: ChannelUnreachable) -> NoAnswer:
        """Return the error for a call without a reply; only one that was never sent carries the code NOT_SENT."""
        return cls("no_answer" if error.sent else NOT_SENT, error.detail)
