"""The disputes of a channel's bill: those whose messages were lost, and what was taken or given back since.

A bill's row moves money and states no dispute, so the channel is asked about each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from hutong.channels import About, BillRow, BillRowKind, ChannelAnswer, ChannelState, Notification
from hutong.errors import Unavailable
from hutong.payments.model import Source

if TYPE_CHECKING:
    from hutong.payments.lifecycle import Payments


async def take_billed_disputes(lifecycle: Payments, account_id: UUID, rows: Iterable[BillRow]) -> Counter[str]:
    """Record the disputes of a bill as their channel answers now.

    Repeat:
        A dispute is asked about once for each bill; what is known already changes nothing.

    Returns:
        How many disputes had each outcome: "opened", "changed", "unchanged", "in_doubt" where the channel gave no
        answer, or why a dispute waits as an exception.
    """
    numbers = {row.channel_no for row in rows if row.kind is BillRowKind.DISPUTE and row.channel_no is not None}
    outcomes: Counter[str] = Counter()
    for number in sorted(numbers):
        notification = Notification(number, ChannelAnswer(ChannelState.UNKNOWN), About.DISPUTE)
        try:
            outcome = await lifecycle.notifications.take_dispute(account_id, notification, source=Source.BILL)
            outcomes[outcome.value] += 1
        except Unavailable:
            outcomes["in_doubt"] += 1
    return outcomes
