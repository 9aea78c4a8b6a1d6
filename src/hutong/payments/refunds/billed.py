"""The refunds of a channel's bill: those that its portal has made, and those that have failed after their success.

Messages about them may have been lost, or a channel sends none. A bill proves nothing by itself: the channel is asked
about each row, as about a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from hutong.channels import About, BillRow, BillRowKind, ChannelAnswer, ChannelState, Notification
from hutong.errors import NotFound, Unavailable
from hutong.payments.model import Source
from hutong.payments.refunds.model import read_number

if TYPE_CHECKING:
    from hutong.payments.lifecycle import Payments

_STATES = {BillRowKind.REFUND: ChannelState.SUCCEEDED, BillRowKind.REFUND_FAILURE: ChannelState.FAILED}


async def take_billed_refunds(
    lifecycle: Payments, channel: str, account_id: UUID, rows: Iterable[BillRow]
) -> Counter[str]:
    """Adopt the refunds of a bill whose numbers are not ours, and record those that failed after their success.

    Repeat:
        What is known already changes nothing, whether it was known by a message or by a bill.

    Returns:
        How many rows had each outcome: "known", "adopted", "failed_after_success", "in_doubt" where the channel gave no
        answer, or why a refund waits as an exception.
    """
    outcomes: Counter[str] = Counter()
    for row in rows:
        state = _STATES.get(row.kind)
        # The channel's number of the refund, where it is another one than that of its order.
        number = row.our_no or (row.channel_no if row.original_channel_no is not None else None)
        if state is None or number is None or not row.amount_minor:
            continue
        is_ours = _is_ours(number)
        if is_ours and state is ChannelState.SUCCEEDED:
            outcomes["known"] += 1  # of the reconciliation's, not of the portal
            continue
        answer = ChannelAnswer(
            state,
            row.amount_minor,
            row.currency,
            channel_order_no=row.channel_no,
            channel_code=row.state,
            happened_at=row.happened_at,
        )
        notification = Notification(
            number,
            answer,
            About.REFUND,
            order_no=row.original_no,
            channel_order_no=row.original_channel_no,
        )
        outcomes[await _take(lifecycle, channel, account_id, notification)] += 1
    return outcomes


async def _take(lifecycle: Payments, channel: str, account_id: UUID, notification: Notification) -> str:
    try:
        try:
            outcome = await lifecycle.record_notification(channel, account_id, notification, source=Source.BILL)
        except NotFound:
            return (await lifecycle.notifications.take_portal(account_id, notification, source=Source.BILL)).value
    except Unavailable:
        return "in_doubt"
    is_failure = notification.answer.state is ChannelState.FAILED
    return "failed_after_success" if is_failure and outcome.value == "applied" else "known"


def _is_ours(number: str) -> bool:
    try:
        read_number(number)
    except NotFound:
        return False
    return True
