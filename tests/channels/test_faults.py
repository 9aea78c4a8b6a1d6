"""Every fault that the sandbox's control API can be asked for is met by each channel's adapter, and decides nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hutong.channels import ChannelState
from hutong.sandbox.faults import KINDS
from support.channel_rigs import NAMES, Rig, order_of

REPLIES = sorted(set(KINDS) - {"error", "slow", "refund_fails_after_accept"})


# One kind of account at each simulator is enough: faults are the simulator's.
pytestmark = pytest.mark.parametrize("rig", [name for name in NAMES if "-" not in name], indirect=True)


@pytest.mark.parametrize("kind", REPLIES)
async def test_a_faulty_reply_decides_nothing(rig: Rig, kind: str, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    # A client may ask once more after a broken connection, since asking changes nothing.
    await rig.next("query", kind, match=rig.theirs(request.attempt_no), times=2)
    answer = await rig.channel.query(order_of(request), now=now)
    left = sum(fault["times"] for fault in (await rig.control.get("faults"))["calls"])
    assert left < 2
    carried = kind in rig.unproven or kind in ("dropped", "reply_lost", "paid_reply_lost", "other_order")
    # What a channel's replies cannot carry, such as a time that Alipay does not sign, is answered as if nothing were.
    assert answer.state is ChannelState.UNKNOWN or (not carried and answer.state is ChannelState.SUCCEEDED)


async def test_a_slow_reply_is_waited_for(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.next("place", "slow", match=rig.theirs(request.attempt_no), ms=50)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.PENDING


async def test_calls_that_fail_by_chance_decide_nothing(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.control.post("faults", percent=100)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.UNKNOWN
    await rig.control.post("faults", percent=0)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.PENDING


async def test_late_and_reordered_notices_come_late_and_in_another_order(rig: Rig, receiver: Any, now) -> None:
    first, second = rig.request(now, notify_url=receiver.url), rig.request(now, notify_url=receiver.url)
    for request in (first, second):
        await rig.channel.pay(request, now=now)
    await rig.pay(first, notify={"reorder": True})
    await rig.pay(second, notify={"delay_ms": 20})
    results = []
    async with asyncio.timeout(10):
        while len(results) < 2:  # whatever is told again in between does not count
            number = rig.channel.parse_notification(*(await receiver.taken.get()), now=now).number
            results += [number] * (number not in results)
    assert results == [second.attempt_no, first.attempt_no]
