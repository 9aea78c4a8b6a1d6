"""A payer who changes their mind: when an open order may be left for another one, and how long it takes otherwise.

An order can be left while it is open only where no payer is known to have opened it and its channel cannot end it. If
both orders are paid all the same, the later success is surplus and goes back by itself.

Source:
    https://developer.aliyun.com/article/707654: an order at Alipay exists once its code has been scanned or its page
    opened; until then it can neither be found nor closed. UnionPay has no call that closes an order; it ends with its
    `payTimeout` (https://open.unionpay.com/tjweb/acproduct/APIList?apiservId=468).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hutong.channels import ChannelAnswer, ChannelState, PaymentMethod
from hutong.payments.model import Attempt, AttemptState, CaptureMethod, Payment, PollingPolicy

CASHIER_ORDER_LIFE = timedelta(minutes=8)
"""How long the cashier's orders live at channels that cannot end an order which nobody has opened. A close by the
merchant, which waits for that, is then done within ten minutes."""
OPEN_ORDERS_MAX = 6
"""How many open orders a payment may have, counting those that the payer has left."""
_LEAST_LIFE = timedelta(minutes=1)
"""No channel takes an order that a payer could pay for less."""
CHANNEL_CLOCK_SLACK = timedelta(minutes=1)
"""By how much a channel's clock may be behind when it lets an order expire."""


def may_leave(payment: Payment, attempt: Attempt, method: PaymentMethod | None, answer: ChannelAnswer | None) -> bool:
    """Tell whether an order whose end was requested may stay open behind another one.

    Money that is only reserved would not go back by itself as a surplus does, so such payments wait.

    Args:
        answer: The channel's answer to a query after the end was requested; None where it gave none.
    """
    if answer is None or method is None or payment.capture_method is CaptureMethod.MANUAL:
        return False
    if attempt.state is not AttemptState.SUBMITTED or attempt.action_kind is None or method.action is None:
        return False
    if answer.state is ChannelState.NOT_FOUND:
        return method.stays_payable
    return answer.state is ChannelState.PENDING and not method.closable


def wait_for_end(
    attempt: Attempt, method: PaymentMethod | None, policy: PollingPolicy, *, now: datetime
) -> timedelta | None:
    """Return how long it takes at most until an order's end can be proven; None where that is unknown."""
    if method is None or not method.stays_payable or attempt.expires_at is None:
        return None
    end = attempt.expires_at + CHANNEL_CLOCK_SLACK
    if method.closable:
        end = min(end, attempt.created_at + policy.not_found_grace)
    return max(end - now, policy.cadence[0])


def is_by_code(attempt: Attempt) -> bool:
    """Tell whether the payer has shown a code: the channel decides soon, or the order is reversed at its expiry."""
    return attempt.expires_at is not None and attempt.expires_at - attempt.created_at < _LEAST_LIFE


def is_live(attempt: Attempt, *, now: datetime) -> bool:
    """Tell whether a payer can go on with an open attempt: its end is neither requested nor reached."""
    return attempt.close_requested_at is None and (attempt.expires_at is None or attempt.expires_at > now)
