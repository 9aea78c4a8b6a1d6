"""The decision after a query: what an open attempt needs next. No I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from hutong.channels import Capabilities, ChannelAnswer, ChannelState
from hutong.payments.model import Attempt, AttemptState, Payment, PollingPolicy
from hutong.payments.switching import CHANNEL_CLOCK_SLACK, is_by_code

_CLOSABLE = frozenset({ChannelState.PENDING, ChannelState.AUTHORIZED})
_CODE_USABLE_FOR = timedelta(minutes=2)
"""After this no channel takes a payer's code any more: WeChat's and Alipay's live for a minute."""


class Step(StrEnum):
    """What to do with an open attempt."""

    WAIT = "wait"
    END = "end"
    """Request its end, and decide again: the channel's expiry has passed, so that the payer may start another."""
    CLOSE = "close"
    """Close it at the channel."""
    CAPTURE = "capture"
    """Capture it again."""
    SUBMIT = "submit"
    """Send it again under the same number: the order, or what the payer has to do, is missing."""
    GIVE_UP = "give_up"
    """Record it as closed: "no such order" now proves that there is none."""


def next_step(
    payment: Payment,
    attempt: Attempt,
    answer: ChannelAnswer,
    can: Capabilities,
    policy: PollingPolicy,
    *,
    now: datetime,
) -> Step:
    """Decide what an open attempt needs, by the channel's answer to a query.

    Args:
        payment, attempt: In their state after the answer was recorded.
        can: The capabilities of the attempt's channel.
    """
    state = answer.state
    ending = payment.wants_end(attempt)
    unpaid = attempt.state is not AttemptState.AUTHORIZED and state in (ChannelState.PENDING, ChannelState.NOT_FOUND)
    # A payment by code is reversed whatever the channel knows of it, so nobody at the till waits for an answer.
    unclear = is_by_code(attempt) and state is ChannelState.UNKNOWN
    if (unpaid or unclear) and not ending and _is_over(attempt, now):
        return Step.END
    if ending and (state in _CLOSABLE or unclear):
        return Step.CLOSE
    if state is ChannelState.AUTHORIZED and payment.is_capturing:
        return Step.CAPTURE
    if unpaid and not ending and _is_missing(attempt, state, can):
        return Step.SUBMIT
    gone = unpaid and state is ChannelState.NOT_FOUND and _is_gone(attempt, ending, policy, now)
    return Step.GIVE_UP if gone and not _may_arrive(attempt, can, now) else Step.WAIT


def _is_over(attempt: Attempt, now: datetime) -> bool:
    """Tell whether the expiry sent to the channel has passed, with some slack for the channel's own clock.

    The end of a payment by code is ours, so no other clock matters.
    """
    if attempt.expires_at is None:
        return False
    return now >= attempt.expires_at if is_by_code(attempt) else now > attempt.expires_at + CHANNEL_CLOCK_SLACK


def _is_missing(attempt: Attempt, state: ChannelState, can: Capabilities) -> bool:
    """Tell whether sending the same order again is safe and is needed."""
    method = can.methods.get(attempt.method)
    lacks_action = method is not None and method.action is not None and not attempt.action_kind
    absent = state is ChannelState.NOT_FOUND
    return can.resubmits and ((absent and not attempt.action_kind) or (not absent and lacks_action))


def _is_gone(attempt: Attempt, ending: bool, policy: PollingPolicy, now: datetime) -> bool:
    """Tell whether "no such order" proves that there is none. An order that a channel had taken is not given up before
    its expiry."""
    grace = min(policy.not_found_grace, _CODE_USABLE_FOR) if is_by_code(attempt) else policy.not_found_grace
    late = now - attempt.created_at > grace
    return late and (ending or attempt.state is not AttemptState.SUBMITTED)


def _may_arrive(attempt: Attempt, can: Capabilities, now: datetime) -> bool:
    """Tell whether the payer can still bring the order to a channel that cannot be made to refuse it."""
    method = can.methods.get(attempt.method)
    closable = method is None or method.closable
    return not closable and bool(attempt.action_kind) and not _is_over(attempt, now)
