"""Whose fault a refusal is. Only what the channel itself cannot do harms it; a payer's own faults never do."""

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
"""Our words for what the channel, its bank or our account there cannot do; another account may be able to."""

_NO_WORD = frozenset({None, "in_doubt", "unmapped"})


def is_technical_failure(answer: ChannelAnswer) -> bool:
    """Whether an answer to a submission speaks against the channel: it failed technically, or said nothing usable."""
    if answer.code in TECHNICAL:
        return answer.state in (ChannelState.FAILED, ChannelState.UNKNOWN)
    return answer.state is ChannelState.UNKNOWN and answer.code in _NO_WORD


def can_fail_over(answer: ChannelAnswer) -> bool:
    """Whether the payment may be tried at another account: this one proved that it has taken nothing and never will,
    or was never reached, and it was no fault of the payer's."""
    if answer.state is ChannelState.FAILED:
        return answer.code in TECHNICAL
    return is_not_sent(answer)


def is_not_sent(answer: ChannelAnswer) -> bool:
    """Whether nothing was sent at all."""
    return answer.state is ChannelState.UNKNOWN and answer.channel_code == NOT_SENT
