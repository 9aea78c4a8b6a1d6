"""UnionPay's pre-authorizations: reserved money that is completed, or released whole, by transactions of their own.

A completion and a release have numbers of their own, derived from the attempt's, and the time of their intent, since
UnionPay identifies each by number and time. So the order's state is that of up to three transactions. A refused
completion proves nothing about the reserved money, which may have been taken under another time before a restore.

Source:
    UnionPay's own samples for merchants, as published in
    https://github.com/hectorqin/lpays/tree/ddc5185b6a60fb7d6807691de4cd8a26a8fe78f4/src/libs/upacp_apple_pay/demo/api_05_app
    (`Form_6_7_1_AppPreauth` to `Form_6_7_4_PreauthFinishUndo`): a completion of up to 115 percent within 30 days, after
    which the money is released; a release on the clearing day of the authorization, and whole.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hutong.channels.errors import NoAnswer
from hutong.channels.model import ChannelAnswer, ChannelState, OrderReference, after_sending
from hutong.channels.unionpay.client import UnionPayClient
from hutong.channels.unionpay.credentials import UnionPayCredentials
from hutong.channels.unionpay.requests import (
    COMPLETION,
    COMPLETION_TYPE,
    RELEASE,
    RELEASE_TYPE,
    completion_fields,
    intent_time,
    related_no,
)
from hutong.channels.unionpay.responses import UnionPayResponses

KEPT = timedelta(days=30)
"""How long after the authorization it may be completed."""
_LAPSE_DELAY = timedelta(days=1)
"""How long after that a completion which was sent in time may still be on the way."""
_WITHOUT_RELEASE = (ChannelState.FAILED, ChannelState.NOT_FOUND)


class UnionPayAuthorizations:
    """The orders of one account that reserve money."""

    def __init__(self, client: UnionPayClient, responses: UnionPayResponses, credentials: UnionPayCredentials) -> None:
        self._client = client
        self._responses = responses
        self._credentials = credentials

    async def query(self, order: OrderReference, *, now: datetime) -> ChannelAnswer:
        """Query the completion and the release, where their intents were written, then the authorization."""
        if order.capture_requested_at is not None:
            completed = await self._query_completion(order, now)
            if completed.state is not ChannelState.NOT_FOUND:
                return completed
        if order.close_requested_at is not None:
            released = await self._query_release(order, now)
            if released.state not in _WITHOUT_RELEASE:
                return released
        reserved = await self._client.query("authorized_state", order.attempt_no, order.placed_at, now=now)
        lapses_at = (reserved.happened_at or order.placed_at) + KEPT + _LAPSE_DELAY
        if reserved.state is ChannelState.AUTHORIZED and now > lapses_at:
            return replace(reserved, state=ChannelState.CLOSED, code=None, code_entry=None)
        return reserved

    async def capture(self, order: OrderReference, amount_minor: int, *, now: datetime) -> ChannelAnswer:
        """Complete the authorization: SUCCEEDED once UnionPay confirms it, PENDING while it is under way."""
        fields = completion_fields(order, COMPLETION_TYPE, amount_minor, self._credentials)
        original_no = order.channel_order_no
        if original_no is None:
            known = await self.query(order, now=now)
            if known.state is not ChannelState.AUTHORIZED:
                return known
            original_no = known.channel_order_no
        sent = await self._send(fields | {"origQryId": str(original_no)}, now)
        if sent.state is ChannelState.UNKNOWN and sent.code is None:
            return sent
        completed = await self._query_completion(order, now)
        if completed.state is ChannelState.NOT_FOUND:
            return replace(sent, state=ChannelState.UNKNOWN)
        return after_sending(completed)

    async def release(self, order: OrderReference, reserved: ChannelAnswer, *, now: datetime) -> ChannelAnswer:
        """Release the reserved money: CLOSED once UnionPay confirms it.

        UnionPay refuses that after the clearing day; the money stays AUTHORIZED until the authorization lapses.

        Args:
            reserved: The answer to a query, which is AUTHORIZED.
        """
        fields = completion_fields(order, RELEASE_TYPE, order.amount_minor, self._credentials)
        sent = await self._send(fields | {"origQryId": str(reserved.channel_order_no)}, now)
        if sent.state is ChannelState.UNKNOWN and sent.code is None:
            return sent
        answer = await self._query_release(order, now)
        return replace(sent, state=reserved.state) if answer.state in _WITHOUT_RELEASE else after_sending(answer)

    async def find_completion(self, order: OrderReference, *, now: datetime) -> str | None:
        """Return UnionPay's number of the completion; None where it is not proven that there is one."""
        if order.capture_requested_at is None:
            return None
        completed = await self._query_completion(order, now)
        return completed.channel_order_no if completed.state is ChannelState.SUCCEEDED else None

    async def _send(self, fields: dict[str, str], now: datetime) -> ChannelAnswer:
        try:
            response = await self._client.call("backTransReq", fields, now)
        except NoAnswer as error:
            return error.answer
        return self._responses.code("capture", response.get("respCode"), response.get("respMsg"))

    async def _query_completion(self, order: OrderReference, now: datetime) -> ChannelAnswer:
        number = related_no(order.attempt_no, COMPLETION)
        answer = await self._client.query("trade_state", number, intent_time(order, COMPLETION_TYPE), now=now)
        return answer if answer.state is ChannelState.SUCCEEDED else without_amount(answer)

    async def _query_release(self, order: OrderReference, now: datetime) -> ChannelAnswer:
        number = related_no(order.attempt_no, RELEASE)
        answer = await self._client.query("trade_state", number, intent_time(order, RELEASE_TYPE), now=now)
        return released(answer)


def released(answer: ChannelAnswer) -> ChannelAnswer:
    """Return the order's state by that of its release, which keeps the authorization's number."""
    answer = without_amount(answer)
    if answer.state is not ChannelState.SUCCEEDED:
        return answer
    return replace(answer, state=ChannelState.CLOSED, code=None, code_entry=None)


def without_amount(answer: ChannelAnswer) -> ChannelAnswer:
    """Return the state of a transaction that has taken nothing: its amount and its number are not the order's."""
    return replace(answer, amount_minor=None, currency=None, sums=None, channel_order_no=None)
