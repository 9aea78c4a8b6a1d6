"""What every adapter does, whatever the channel does: run against its simulator, unchanged for each adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hutong.channels import NOT_SENT, ChannelState, ChannelUnreachable, Http, HttpReply, NotificationRefused
from hutong.errors import InvalidParameter
from support.channel_rigs import INTERFACES, Rig, order_of


@pytest.fixture
async def hasty_http() -> AsyncIterator[Http]:
    async with Http.open(total_timeout_s=0.1) as opened:
        yield opened


async def test_an_order_is_placed_paid_notified_and_found_paid(rig: Rig, receiver, now) -> None:
    request = rig.request(now, notify_url=receiver.url)
    placed = await rig.channel.pay(request, now=now)
    assert placed.state is ChannelState.PENDING
    assert placed.action is not None
    assert placed.action.kind is rig.channel.capabilities.methods[rig.method].action
    assert (await rig.channel.query(order_of(request), now=now)).state is rig.placed

    await rig.pay(request)
    headers, body = await receiver.taken.get()
    notification = rig.channel.parse_notification(headers, body, now=now)
    assert notification.number == request.attempt_no
    assert notification.answer.state is ChannelState.SUCCEEDED
    assert (notification.answer.amount_minor, notification.answer.currency) == (rig.amount_minor, rig.currency)
    assert notification.answer.channel_order_no
    assert notification.answer.happened_at is not None
    assert await rig.channel.query(order_of(request), now=now) == notification.answer


async def test_a_declined_order_has_failed(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.control.post("decline", order_no=rig.theirs(request.attempt_no))
    answer = await rig.channel.query(order_of(request), now=now)
    assert answer.state is rig.declined
    assert answer.channel_code


async def test_placing_again_gives_the_same_order(rig: Rig, now) -> None:
    request = rig.request(now)
    assert await rig.channel.pay(request, now=now) == await rig.channel.pay(request, now=now)
    truth = (await rig.control.get("truth"))["truth"]
    assert [entry["event"] for entry in truth if entry["order_no"] == rig.theirs(request.attempt_no)] == ["placed"]


async def test_placing_again_later_gives_the_same_order(rig: Rig, now) -> None:
    request = rig.request(now)
    placed = await rig.channel.pay(request, now=now)
    assert await rig.channel.pay(request, now=now + timedelta(seconds=2)) == placed


async def test_placing_again_with_another_amount_is_unknown(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    changed = rig.request(now, attempt_no=request.attempt_no, amount_minor=rig.amount_minor - 1)
    answer = await rig.channel.pay(changed, now=now)
    assert answer.state is ChannelState.UNKNOWN
    assert answer.channel_code


async def test_placing_again_what_is_paid_tells_what_was_paid(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.amount_minor) == (ChannelState.SUCCEEDED, rig.amount_minor)


async def test_placing_again_what_is_closed_is_closed(rig: Rig, now) -> None:
    if not rig.closable:
        return
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.channel.close(order_of(request), now=now)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.CLOSED


async def test_closing_an_unpaid_order_closes_it_and_again_does_nothing(rig: Rig, now) -> None:
    if not rig.closable:
        return
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    for _ in range(2):
        assert (await rig.channel.close(order_of(request), now=now)).state is ChannelState.CLOSED
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.CLOSED


async def test_closing_a_paid_order_tells_what_was_paid(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    answer = await rig.channel.close(order_of(request), now=now)
    assert (answer.state, answer.amount_minor) == (ChannelState.SUCCEEDED, rig.amount_minor)


async def test_money_taken_after_the_close_is_reported(rig: Rig, receiver, now) -> None:
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.channel.close(order_of(request), now=now)
    await rig.pay(request, force=True)
    headers, body = await receiver.taken.get()
    assert rig.channel.parse_notification(headers, body, now=now).answer.state is ChannelState.SUCCEEDED
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.SUCCEEDED


@pytest.mark.parametrize("kind", ["dropped", "reply_lost"])
@pytest.mark.parametrize("interface", INTERFACES)
async def test_a_broken_connection_is_unknown(rig: Rig, interface: str, kind: str, now) -> None:
    request = rig.request(now)
    if interface != "place":
        await rig.channel.pay(request, now=now)
    # A client may ask once more after a broken connection where asking changes nothing, so both calls break.
    await rig.next(interface, kind, match=rig.theirs(request.attempt_no), times=2)
    answer = await rig.call(interface, request, now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "no_answer")


async def test_paid_but_the_reply_was_lost_is_unknown_then_found_paid(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.next("place", "paid_reply_lost", match=rig.theirs(request.attempt_no))
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.UNKNOWN
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.SUCCEEDED


@pytest.mark.parametrize("interface", INTERFACES)
async def test_a_time_out_is_unknown(rig: Rig, interface: str, hasty_http: Http, now) -> None:
    request = rig.request(now)
    if interface != "place":
        await rig.channel.pay(request, now=now)
    await rig.control.post("faults", latency_ms=2000)
    rig.channel = rig.make(http=hasty_http)
    answer = await rig.call(interface, request, now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "no_answer")


@pytest.mark.parametrize("interface", INTERFACES)
async def test_a_refused_connection_is_unknown_and_says_that_nothing_was_sent(rig: Rig, interface: str, now) -> None:
    rig.channel = rig.make(**rig.no_base_url)
    answer = await rig.call(interface, rig.request(now), now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "not_sent")


class _FailingHttp(Http):
    """A way to the channel that breaks down after some calls."""

    calls_left = 1

    async def call(self, *args: Any, **options: Any) -> HttpReply:
        if self.calls_left == 0:
            raise ChannelUnreachable("no connection", sent=False)
        self.calls_left -= 1
        return await super().call(*args, **options)


@pytest.mark.parametrize("calls", [1, 2])
async def test_what_was_sent_is_never_called_not_sent(rig: Rig, calls: int, now) -> None:
    """A payment that was not sent may be tried at another channel."""
    refused, repeated = rig.request(now), rig.request(now)
    await rig.channel.pay(repeated, now=now)
    await rig.next("place", "error", match=rig.theirs(refused.attempt_no), status=rig.refusal[0], code=rig.refusal[1])
    for request in (refused, repeated):
        async with Http.open() as opened:
            failing = _FailingHttp(opened._session, opened._open_session)
            failing.calls_left = calls
            answer = await rig.make(http=failing).pay(request, now=now)
            assert answer.channel_code != NOT_SENT


@pytest.mark.parametrize("interface", INTERFACES)
async def test_an_answer_without_proof_is_unknown(rig: Rig, interface: str, now) -> None:
    for kind, code in rig.unproven.items():
        request = rig.request(now)
        if interface != "place":
            await rig.channel.pay(request, now=now)
        if interface == "query":
            await rig.pay(request)
        await rig.next(interface, kind, match=rig.theirs(request.attempt_no))
        answer = await rig.call(interface, request, now)
        if (interface, kind) in rig.harmless:
            continue
        assert answer.state is ChannelState.UNKNOWN, kind
        assert interface == "close" or answer.channel_code == code
        assert answer.action is None


async def test_an_answer_about_another_order_is_unknown(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    await rig.next("query", "other_order", match=rig.theirs(request.attempt_no))
    answer = await rig.channel.query(order_of(request), now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "not_ours")


async def test_an_answer_signed_with_a_key_we_do_not_hold_is_unknown(rig: Rig, now) -> None:
    if rig.stranger is None:
        return  # this channel signs no answers
    rig.channel = rig.make(**rig.stranger)
    answer = await rig.channel.pay(rig.request(now), now=now)
    assert answer.state is ChannelState.UNKNOWN
    assert answer.channel_code in ("unknown_key", "bad_signature")


@pytest.mark.parametrize("status", [200, 202, 302, 400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("interface", INTERFACES)
async def test_a_code_we_do_not_know_is_unknown_and_kept(rig: Rig, interface: str, status: int, now) -> None:
    request = rig.request(now)
    if interface != "place":
        await rig.channel.pay(request, now=now)
    await rig.next(interface, "error", match=rig.theirs(request.attempt_no), status=status, code="NEVER_SEEN")
    answer = await rig.call(interface, request, now)
    assert answer.state is ChannelState.UNKNOWN
    if not (interface == "query" and status == 200):
        assert answer.channel_code == "NEVER_SEEN"


async def test_a_number_not_found_right_after_submission_is_no_failure(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    status, code = rig.absent
    await rig.next("query", "error", match=rig.theirs(request.attempt_no), status=status, code=code)
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.NOT_FOUND
    assert (await rig.channel.query(order_of(request), now=now)).state is rig.placed


async def test_closing_what_the_channel_does_not_know_is_not_found(rig: Rig, now) -> None:
    assert (await rig.channel.close(order_of(rig.request(now)), now=now)).state is rig.closed_unseen


async def test_a_refused_order_that_the_channel_does_not_know_has_failed(rig: Rig, now) -> None:
    request = rig.request(now)
    status, code = rig.refusal
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), status=status, code=code)
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.FAILED, code)


async def test_a_refusal_is_not_believed_while_an_earlier_submission_is_known(rig: Rig, now) -> None:
    request = rig.request(now)
    status, code = rig.refusal
    await rig.next("place", "reply_lost", match=rig.theirs(request.attempt_no))
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.UNKNOWN
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), status=status, code=code)
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, code)

    await rig.pay(request)
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), status=status, code=code)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.SUCCEEDED


async def test_a_refusal_is_not_believed_while_the_query_fails(rig: Rig, now) -> None:
    request = rig.request(now)
    status, code = rig.refusal
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), status=status, code=code)
    await rig.next("query", "unsigned", match=rig.theirs(request.attempt_no))
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, code)


async def test_a_duplicate_notice_reads_the_same(rig: Rig, receiver, now) -> None:
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request, notify={"copies": 3})
    notices = [rig.channel.parse_notification(*(await receiver.taken.get()), now=now) for _ in range(3)]
    assert len({(notice.number, notice.about, notice.answer) for notice in notices}) == 1
    if rig.signed_each_time:
        assert len({notice.replay_key for notice in notices}) == 3  # so none of them is a replay
    else:
        assert {notice.replay_key for notice in notices} == {None}


@pytest.mark.parametrize("sign", [-1, 1])
async def test_a_stale_notice_is_refused(rig: Rig, receiver, sign: int, now) -> None:
    if rig.notice_window is None:
        return  # this channel's messages tell no time that is signed
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    headers, body = await receiver.taken.get()
    with pytest.raises(NotificationRefused):
        rig.channel.parse_notification(headers, body, now=now + sign * (rig.notice_window + timedelta(seconds=1)))


async def test_bytes_of_another_charset_or_cut_off_are_refused(rig: Rig, receiver, now) -> None:
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    headers, body = await receiver.taken.get()
    half = len(body) // 2
    for damaged in (body[:half] + b"\xff\xfe" + body[half:], body.decode().encode("utf-16"), body[:half], b""):
        with pytest.raises(NotificationRefused):
            rig.channel.parse_notification(headers, damaged, now=now)


async def test_a_notice_tells_the_amount_that_the_channel_says(rig: Rig, receiver, now) -> None:
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    await rig.pay(request, notify={"amount_delta_minor": 1 - rig.amount_minor})
    headers, body = await receiver.taken.get()
    assert rig.channel.parse_notification(headers, body, now=now).answer.amount_minor == 1


async def test_the_channel_stops_when_we_accept_and_repeats_when_we_refuse(rig: Rig) -> None:
    assert rig.channel.acceptance.status in (200, 204)
    refusal = rig.channel.refusal
    assert refusal.status >= 400
    assert refusal.body != rig.channel.acceptance.body or not refusal.body


REFUSALS = {
    "wechat": (401, b'{"code":"FAIL","message":"refused"}'),
    "alipay": (401, b"failure"),
    "unionpay": (400, b"refused"),
    "stripe": (400, b""),
    "tealeaf": (401, b""),
}


async def test_a_notification_is_refused_in_the_channels_own_form(rig: Rig, receiver, now) -> None:
    refusal = rig.channel.refusal
    assert (refusal.status, refusal.body) == REFUSALS[rig.control.channel]
    request = rig.request(now, notify_url=receiver.url)
    await rig.channel.pay(request, now=now)
    receiver.answers.append(refusal.status)
    await rig.pay(request)
    await receiver.taken.get()
    headers, body = await receiver.taken.get()  # refused, the channel repeats it
    assert rig.channel.parse_notification(headers, body, now=now).number == request.attempt_no


@pytest.mark.parametrize(
    ("field", "value"), [("method", "barter"), ("currency", "XTS"), ("attempt_no", "../../evil?x=1")]
)
async def test_what_the_channel_cannot_take_is_refused_before_it_is_sent(rig: Rig, field: str, value: str, now) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.pay(rig.request(now, **{field: value}), now=now)
    assert caught.value.param == field


@pytest.mark.parametrize("subject", ["很" * 500, "礼物🎁", "🎁" * 200, "a`,b\n/=&{}[]\"'", "e\u0301 \u200d👨\u200d👩"])
async def test_any_subject_is_sent_as_the_channel_takes_it(rig: Rig, now, subject: str) -> None:
    request = rig.request(now, subject=subject)
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.PENDING
