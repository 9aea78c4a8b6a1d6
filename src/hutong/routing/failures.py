"""Classification of failed attempts: only the channel's own failures count against it, a payer's never do."""

from __future__ import annotations

from hutong.channels import NOT_SENT, ChannelAnswer, ChannelState

TECHNICAL = frozenset(
    {
        "bank_error",
        "channel_busy",
        "channel_error",
        "frequency_limited",
        "maintenance",
        "merchant_not_found",
        "merchant_not_permitted",
        "method_unavailable",
        "signature_invalid",
    }
)
"""Unified codes for what the channel, its bank or our account there cannot do; another account may be able to."""

_WITHOUT_RESULT = frozenset({None, "in_doubt", "unmapped"})


def is_technical_failure(answer: ChannelAnswer) -> bool:
    """Return whether an answer to a submission counts against the channel: a technical failure or no usable answer."""
    if answer.code in TECHNICAL:
        return answer.state in (ChannelState.FAILED, ChannelState.UNKNOWN)
    return answer.state is ChannelState.UNKNOWN and answer.code in _WITHOUT_RESULT


def can_fail_over(answer: ChannelAnswer) -> bool:
    """Return whether the payment may be attempted at another account.

    It may if this account has proved that it took no money and never will, or was never reached, and the failure was
    not the payer's.
    """
    if answer.state is ChannelState.FAILED:
        return answer.code in TECHNICAL
    return is_not_sent(answer)


def is_not_sent(answer: ChannelAnswer) -> bool:
    """Return whether the request never left for the channel."""
    return answer.state is ChannelState.UNKNOWN and answer.channel_code == NOT_SENT
