"""The WeChat Pay adapter pays, asks and closes at the simulator, and reads its notifications."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from hutong.channels import ActionKind, ChannelState, NotificationRefused, PayRequest
from hutong.channels.wechat import WeChatPay


def order(now: datetime, notify_url: str = "http://127.0.0.1:1/notify", **changed: object) -> PayRequest:
    fields = {
        "attempt_no": f"att_{uuid4().hex[:26]}",
        "method": "wechat_native",
        "amount_minor": 8800,
        "currency": "CNY",
        "subject": "糖醋排骨",
        "expires_at": now + timedelta(minutes=5),
        "notify_url": notify_url,
    } | changed
    return PayRequest(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("public_key_mode", [True, False], ids=["public key", "certificate"])
async def test_scan_pay_notify_query(make_channel, public_key_mode, control, receiver, now) -> None:
    channel: WeChatPay = make_channel(public_key_mode=public_key_mode)
    request = order(now, receiver.url)
    placed = await channel.pay(request, now=now)
    assert placed.state is ChannelState.PENDING
    assert placed.action is not None
    assert placed.action.kind is ActionKind.QR_CODE
    assert (await channel.query(request.attempt_no, now=now)).state is ChannelState.PENDING

    await control.post("pay", code_url=placed.action.content)
    headers, body = await receiver.taken.get()
    notification = channel.parse_notification(headers, body, now=now)
    assert notification.attempt_no == request.attempt_no
    assert notification.answer.state is ChannelState.SUCCEEDED
    assert (notification.answer.amount_minor, notification.answer.currency) == (8800, "CNY")
    assert await channel.query(request.attempt_no, now=now) == notification.answer

    with pytest.raises(NotificationRefused):
        channel.parse_notification(headers, body, now=now + timedelta(seconds=310))


async def test_close_of_an_unpaid_order(channel, now) -> None:
    request = order(now)
    await channel.pay(request, now=now)
    assert (await channel.close(request.attempt_no, now=now)).state is ChannelState.CLOSED
    assert (await channel.query(request.attempt_no, now=now)).state is ChannelState.CLOSED


async def test_close_of_a_paid_order_tells_what_was_paid(channel, control, now) -> None:
    request = order(now)
    placed = await channel.pay(request, now=now)
    await control.post("pay", code_url=placed.action.content)
    answer = await channel.close(request.attempt_no, now=now)
    assert answer.state is ChannelState.SUCCEEDED
    assert answer.amount_minor == 8800
