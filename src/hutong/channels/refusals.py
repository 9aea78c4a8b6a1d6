"""The rule for refusals, which guards money: a refusal concerns one submission, so query before relying on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from hutong.channels.errors import NoAnswer
from hutong.channels.model import FINAL_STATES, ChannelAnswer, ChannelState


async def confirm_refusal(
    refusal: ChannelAnswer,
    query: Callable[[], Awaitable[ChannelAnswer]],
    *,
    inconclusive: bool = False,
    pending: bool = False,
) -> ChannelAnswer:
    """Return the outcome of a refused submission, after a query about its number.

    An earlier submission under the same number, whose reply was lost, may have had its effect. So only a number that
    the channel does not know has failed. An answer that is no refusal is returned unchanged, without a query.

    Args:
        query: Queries the number at the channel. A query without an answer proves nothing.
        inconclusive: The refusal tells that the number was used or that the order has ended, but not how. The query
            alone decides; a number that the channel then does not know stays UNKNOWN.
        pending: Whether an earlier submission that is still under way is the outcome. It is for refunds and payouts;
            an order's query does not bring back the payer's action.
    """
    if refusal.state is not ChannelState.FAILED and not inconclusive:
        return refusal
    try:
        answer = await query()
    except NoAnswer:
        return replace(refusal, state=ChannelState.UNKNOWN)
    if answer.state in FINAL_STATES or (pending and answer.state is ChannelState.PENDING):
        return answer
    if answer.state is ChannelState.NOT_FOUND and not inconclusive:
        return refusal
    return replace(refusal, state=ChannelState.UNKNOWN)
