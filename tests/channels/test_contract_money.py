"""What every adapter does with money that goes back, is reserved, or is sent out, and with the bill of the day.

Unchanged for each adapter; what a channel offers is read from its capabilities.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hutong.channels import (
    About,
    BillRow,
    BillRowKind,
    BillState,
    ChannelAnswer,
    ChannelState,
    Http,
    NotOffered,
    OrderReference,
    PayoutRequest,
    PayRequest,
    RefundRequest,
)
from hutong.errors import InvalidParameter
from support.channel_rigs import Rig, number, order_of

UNDER_WAY = (ChannelState.PENDING, ChannelState.SUCCEEDED)


@pytest.fixture
async def hasty_http() -> AsyncIterator[Http]:
    async with Http.open(total_timeout_s=0.1) as opened:
        yield opened


async def paid(rig: Rig, now: datetime, **changed: Any) -> tuple[PayRequest, OrderReference]:
    """An order that its payer has paid, as later calls name it."""
    request = rig.request(now, **changed)
    placed = await rig.channel.pay(request, now=now)
    await rig.pay(request)
    found = await rig.channel.query(order_of(request, placed.channel_order_no), now=now)
    assert found.state is ChannelState.SUCCEEDED
    return request, order_of(request, found.channel_order_no or placed.channel_order_no)


def refund_of(order: OrderReference, now: datetime, **changed: Any) -> RefundRequest:
    fields: dict[str, Any] = {
        "refund_no": number("ref"),
        "order": order,
        "amount_minor": order.amount_minor,
        "reason": "sent back",
        "notify_url": "http://127.0.0.1:1/notify",
        "created_at": now,
    } | changed
    return RefundRequest(**fields)


async def settled(rig: Rig, refund: RefundRequest, now: datetime) -> ChannelAnswer:
    """The refund once it is no longer under way."""
    for _ in range(200):
        answer = await rig.channel.query_refund(refund, now=now)
        if answer.state is not ChannelState.PENDING:
            break
        await asyncio.sleep(0.01)
    return answer


# Refunds.


async def test_a_whole_refund_is_taken_and_succeeds(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    answer = await rig.channel.refund(refund, now=now)
    assert answer.state in UNDER_WAY
    done = await settled(rig, refund, now)
    assert (done.state, done.amount_minor) == (ChannelState.SUCCEEDED, order.amount_minor)
    assert done.currency in (rig.currency, None)
    assert (await rig.channel.query(order, now=now)).state is ChannelState.SUCCEEDED  # it was paid, and stays paid


async def test_parts_are_given_back_until_nothing_is_left(rig: Rig, now) -> None:
    rule = rig.channel.capabilities.refund
    assert rule is not None
    if not rule.partial:
        return
    _, order = await paid(rig, now)
    first, second = order.amount_minor // 3, order.amount_minor - order.amount_minor // 3
    for amount_minor in (first, second):
        refund = refund_of(order, now, amount_minor=amount_minor)
        assert (await rig.channel.refund(refund, now=now)).state in UNDER_WAY
        done = await settled(rig, refund, now)
        assert (done.state, done.amount_minor) == (ChannelState.SUCCEEDED, amount_minor)
    try:
        beyond = await rig.channel.refund(refund_of(order, now, amount_minor=1), now=now)
    except InvalidParameter:
        return  # the adapter has looked before it sent anything
    assert beyond.state in (ChannelState.FAILED, ChannelState.UNKNOWN)
    assert beyond.channel_code


@pytest.mark.parametrize("amount_minor", [0, -1, 8801])
async def test_more_than_the_order_or_nothing_is_refused_before_it_is_sent(rig: Rig, amount_minor: int, now) -> None:
    assert rig.amount_minor == 8800
    refund = refund_of(order_of(rig.request(now), "1"), now, amount_minor=amount_minor)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.refund(refund, now=now)
    assert caught.value.param == "amount_minor"


async def test_a_refund_after_the_window_is_refused_before_it_is_sent(rig: Rig, now) -> None:
    rule = rig.channel.capabilities.refund
    assert rule is not None
    _, order = await paid(rig, now)
    late = now + rule.window + timedelta(days=8)
    with pytest.raises(InvalidParameter):
        await rig.channel.refund(refund_of(order, late), now=late)


async def test_the_same_refund_again_is_the_same_refund(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now, amount_minor=order.amount_minor // 2)
    for _ in range(3):
        assert (await rig.channel.refund(refund, now=now)).state in UNDER_WAY
    assert (await settled(rig, refund, now)).amount_minor == order.amount_minor // 2
    ours = [r for r in (await rig.control.get("refunds"))["refunds"] if r["order_no"] == rig.theirs(order.attempt_no)]
    assert [r["amount_minor"] for r in ours] == [order.amount_minor // 2]


async def test_a_refund_number_with_another_amount_is_no_second_refund(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now, amount_minor=100)
    await rig.channel.refund(refund, now=now)
    other = refund_of(order, now, refund_no=refund.refund_no, amount_minor=200)
    answer = await rig.channel.refund(other, now=now)
    assert answer.state is not ChannelState.FAILED  # the first one stands
    assert answer.amount_minor in (None, 100)
    ours = [r for r in (await rig.control.get("refunds"))["refunds"] if r["order_no"] == rig.theirs(order.attempt_no)]
    assert [r["amount_minor"] for r in ours] == [100]


async def test_a_query_tells_what_has_moved_also_if_it_is_not_what_was_asked_for(rig: Rig, now) -> None:
    """The life cycle keeps it as an exception; an adapter that called it unknown would leave it in doubt forever."""
    _, order = await paid(rig, now)
    queried = await rig.channel.query(replace(order, amount_minor=order.amount_minor + 1), now=now)
    assert (queried.state, queried.amount_minor) == (ChannelState.SUCCEEDED, order.amount_minor)
    refund = refund_of(order, now, amount_minor=100)
    await rig.channel.refund(refund, now=now)
    await settled(rig, refund, now)
    queried = await rig.channel.query_refund(replace(refund, amount_minor=101), now=now)
    assert (queried.state, queried.amount_minor) == (ChannelState.SUCCEEDED, 100)


@pytest.mark.parametrize("kind", ["dropped", "reply_lost"])
async def test_a_refund_without_an_answer_is_unknown_and_sent_again_under_its_number(rig: Rig, kind: str, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    await rig.next("refund", kind, match=rig.theirs(refund.refund_no))
    answer = await rig.channel.refund(refund, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "no_answer")
    assert (await rig.channel.refund(refund, now=now)).state in UNDER_WAY
    assert (await settled(rig, refund, now)).state is ChannelState.SUCCEEDED
    ours = [r for r in (await rig.control.get("refunds"))["refunds"] if r["order_no"] == rig.theirs(order.attempt_no)]
    assert len(ours) == 1


async def test_a_refund_that_times_out_is_unknown(rig: Rig, hasty_http: Http, now) -> None:
    _, order = await paid(rig, now)
    await rig.control.post("faults", latency_ms=2000)
    rig.channel = rig.make(http=hasty_http)
    assert (await rig.channel.refund(refund_of(order, now), now=now)).state is ChannelState.UNKNOWN


@pytest.mark.parametrize("interface", ["refund", "query_refund"])
async def test_a_refund_answered_without_proof_is_unknown(rig: Rig, interface: str, now) -> None:
    for kind, code in rig.unproven.items():
        _, order = await paid(rig, now)
        refund = refund_of(order, now)
        if interface == "query_refund":
            await rig.channel.refund(refund, now=now)
        await rig.next(interface, kind, match=rig.theirs(refund.refund_no))
        verb = rig.channel.refund if interface == "refund" else rig.channel.query_refund
        answer = await verb(refund, now=now)
        assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, code), kind


@pytest.mark.parametrize("interface", ["refund", "query_refund"])
async def test_a_refund_code_that_we_do_not_know_is_unknown_and_kept(rig: Rig, interface: str, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    if interface == "query_refund":
        await rig.channel.refund(refund, now=now)
    await rig.next(interface, "error", match=rig.theirs(refund.refund_no), status=400, code="NEVER_SEEN")
    verb = rig.channel.refund if interface == "refund" else rig.channel.query_refund
    answer = await verb(refund, now=now)
    assert (answer.state, answer.channel_code, answer.code) == (ChannelState.UNKNOWN, "NEVER_SEEN", "unmapped")


async def test_a_refund_that_the_channel_does_not_know_is_not_found(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    assert (await rig.channel.query_refund(refund_of(order, now), now=now)).state is ChannelState.NOT_FOUND


async def test_a_refund_can_fail_after_it_was_accepted(rig: Rig, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    await rig.next("refund", "refund_fails_after_accept", match=rig.theirs(refund.refund_no))
    assert (await rig.channel.refund(refund, now=now)).state is not ChannelState.FAILED
    done = await settled(rig, refund, now)
    assert done.state is ChannelState.FAILED
    assert done.code not in (None, "unmapped")


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
async def test_a_refunds_outcome_is_notified_where_the_channel_does_that(rig: Rig, receiver, outcome: str, now) -> None:
    rule = rig.channel.capabilities.refund
    assert rule is not None
    if not rig.notifies_refunds:
        return
    await rig.control.post("faults", money_out_ms=None)
    _, order = await paid(rig, now)
    refund = refund_of(order, now, notify_url=receiver.url, amount_minor=order.amount_minor // 2)
    assert (await rig.channel.refund(refund, now=now)).state is ChannelState.PENDING
    await rig.control.post("refund", number=rig.theirs(refund.refund_no), outcome=outcome)
    headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
    notice = rig.channel.parse_notification(headers, body, now=now)
    assert (notice.about, notice.number) == (About.REFUND, refund.refund_no)
    assert notice.answer.state is ChannelState(outcome)
    assert notice.answer.amount_minor == order.amount_minor // 2
    assert (await rig.channel.query_refund(refund, now=now)).state is notice.answer.state


async def test_a_refund_that_fails_after_its_success_is_reported_as_failed(rig: Rig, receiver, now) -> None:
    _, order = await paid(rig, now)
    refund = refund_of(order, now, notify_url=receiver.url, amount_minor=order.amount_minor // 2)
    sent = await rig.channel.refund(refund, now=now)
    assert (await settled(rig, refund, now)).state is ChannelState.SUCCEEDED
    if not rig.notifies_refunds:
        return
    await asyncio.wait_for(receiver.taken.get(), 10)  # of its success
    await rig.control.post("return", number=rig.theirs(refund.refund_no))
    headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
    notice = rig.channel.parse_notification(headers, body, now=now)
    assert (notice.about, notice.number, notice.answer.state) == (About.REFUND, refund.refund_no, ChannelState.FAILED)
    known = replace(refund, channel_refund_no=sent.channel_order_no)
    assert (await rig.channel.query_refund(known, now=now)).state is ChannelState.FAILED
    truth = [e for e in (await rig.control.get("truth"))["truth"] if e["number"] == rig.theirs(refund.refund_no)]
    assert [e["event"] for e in truth] == ["refund_accepted", "refunded", "refund_returned"]


async def test_a_refund_in_the_channels_portal_names_its_order_and_its_own_number(rig: Rig, receiver, now) -> None:
    request, order = await paid(rig, now, notify_url=receiver.url)
    await asyncio.wait_for(receiver.taken.get(), 10)  # of the payment
    given = order.amount_minor // 2
    await rig.control.post("portal", order_no=rig.theirs(request.attempt_no), amount_minor=given)
    headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
    notice = rig.channel.parse_notification(headers, body, now=now)
    assert (notice.about, notice.answer.state) == (About.REFUND, ChannelState.SUCCEEDED)
    assert notice.number
    assert not notice.number.startswith(("ref_", "rvo_"))
    assert request.attempt_no == notice.order_no or order.channel_order_no == notice.channel_order_no
    foreign = refund_of(order, now, refund_no=notice.number, amount_minor=given)
    try:
        queried = await rig.channel.query_refund(foreign, now=now)
    except InvalidParameter:
        queried = notice.answer  # UnionPay is asked by our numbers and times alone
    assert queried.state is ChannelState.SUCCEEDED
    amounts = {queried.amount_minor, notice.answer.amount_minor} - {None}
    assert amounts == {given}
    # What is back already cannot go back by a refund of ours.
    try:
        refused = await rig.channel.refund(refund_of(order, now, amount_minor=order.amount_minor), now=now)
    except InvalidParameter:
        pytest.fail("that it is back already is an answer")
    assert refused.state in (ChannelState.FAILED, ChannelState.UNKNOWN)
    if refused.state is ChannelState.FAILED and not rig.channel.capabilities.channel.startswith("unionpay"):
        assert refused.is_given_back


async def test_a_portals_refund_without_a_number_is_reported_by_the_sum_of_refunds(rig: Rig, receiver, now) -> None:
    if rig.channel.capabilities.channel != "alipay":
        return  # all others name a number of their own
    request, order = await paid(rig, now, notify_url=receiver.url)
    paid_by, body = await asyncio.wait_for(receiver.taken.get(), 10)
    assert rig.channel.parse_notification(paid_by, body, now=now).refunded_minor is None
    for amount, total in ((300, 300), (500, 800)):
        await rig.control.post("portal", order_no=rig.theirs(request.attempt_no), amount_minor=amount, numbered=False)
        headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
        notice = rig.channel.parse_notification(headers, body, now=now)
        assert (notice.about, notice.number, notice.refunded_minor) == (About.PAYMENT, request.attempt_no, total)
        assert (notice.answer.state, notice.answer.amount_minor) == (ChannelState.SUCCEEDED, order.amount_minor)


# Reserved money, and payments cancelled on their own day.


def reserving(rig: Rig) -> str | None:
    """A method by which money can be reserved."""
    return next((name for name, m in rig.channel.capabilities.methods.items() if m.manual_capture), None)


async def reserved(rig: Rig, method: str, now: datetime) -> tuple[PayRequest, OrderReference]:
    """An order whose payer has agreed that the money is reserved, as later calls name it."""
    request = rig.request(now, method=method, capture=False)
    placed = await rig.channel.pay(request, now=now)
    if placed.state is ChannelState.PENDING:
        await rig.open(placed)
        await rig.pay(request)
    order = order_of(request, placed.channel_order_no)
    assert (await rig.channel.query(order, now=now)).state is ChannelState.AUTHORIZED
    return request, order


async def test_reserved_money_is_captured_once(rig: Rig, now) -> None:
    method = reserving(rig)
    if method is None:
        with pytest.raises(InvalidParameter):
            await rig.channel.pay(rig.request(now, capture=False), now=now)
        with pytest.raises(NotOffered):
            await rig.channel.capture(order_of(rig.request(now)), 1, now=now)
        return
    request, order = await reserved(rig, method, now)
    order = replace(order, capture_requested_at=now)
    assert (await rig.channel.query(order, now=now)).state is ChannelState.AUTHORIZED
    part = rig.amount_minor // 2 if rig.channel.capabilities.partial_capture else rig.amount_minor
    for _ in range(2):
        captured = await rig.channel.capture(order, part, now=now)
        assert (captured.state, captured.amount_minor) == (ChannelState.SUCCEEDED, part)
    assert (await rig.channel.query(order, now=now)) == captured
    taken = [e for e in (await rig.control.get("truth"))["truth"] if e["order_no"] == rig.theirs(request.attempt_no)]
    assert [e["amount_minor"] for e in taken if e["event"] == "captured"] == [part]


async def test_reserved_money_is_released_by_a_close(rig: Rig, now) -> None:
    method = reserving(rig)
    if method is None:
        return
    _, order = await reserved(rig, method, now)
    order = replace(order, close_requested_at=now)
    for _ in range(2):
        assert (await rig.channel.close(order, now=now)).state is ChannelState.CLOSED
    assert (await rig.channel.query(order, now=now)).state is ChannelState.CLOSED


async def test_a_capture_or_a_release_whose_answer_is_lost_is_found_by_a_query(rig: Rig, now) -> None:
    method = reserving(rig)
    if method is None:
        return
    for interface, state in (("capture", ChannelState.SUCCEEDED), ("close", ChannelState.CLOSED)):
        request, order = await reserved(rig, method, now)
        order = replace(order, **{f"{interface}_requested_at": now})
        await rig.next_release(interface, "reply_lost")
        if interface == "capture":
            lost = await rig.channel.capture(order, request.amount_minor, now=now)
        else:
            lost = await rig.channel.close(order, now=now)
        assert lost.state is ChannelState.UNKNOWN
        assert (await rig.channel.query(order, now=now)).state is state


async def test_captured_money_goes_back(rig: Rig, now) -> None:
    method = reserving(rig)
    if method is None:
        return
    _, order = await reserved(rig, method, now)
    order = replace(order, capture_requested_at=now)
    captured = await rig.channel.capture(order, order.amount_minor, now=now)
    for known in (captured.channel_order_no, None):
        refund = refund_of(replace(order, channel_order_no=known), now, amount_minor=order.amount_minor // 2)
        assert (await rig.channel.refund(refund, now=now)).state in UNDER_WAY
        done = await settled(rig, refund, now)
        assert (done.state, done.amount_minor) == (ChannelState.SUCCEEDED, refund.amount_minor)


async def test_a_payment_is_voided_on_its_own_day(rig: Rig, now) -> None:
    if not rig.channel.capabilities.same_day_void:
        with pytest.raises(NotOffered):
            await rig.channel.void(refund_of(order_of(rig.request(now)), now), now=now)
        return
    _, order = await paid(rig, now)
    refund = refund_of(order, now)
    assert (await rig.channel.void(refund, now=now)).state in UNDER_WAY
    done = await settled(rig, refund, now)
    assert (done.state, done.amount_minor) == (ChannelState.SUCCEEDED, order.amount_minor)


# Payouts.


def payout(rig: Rig, now: datetime, **changed: Any) -> PayoutRequest:
    fields: dict[str, Any] = {
        "payout_no": number("pyo"),
        "amount_minor": 1234,
        "currency": rig.currency,
        "payee": rig.payee,
        "remark": "prize",
        "notify_url": "http://127.0.0.1:1/notify",
    } | changed
    return PayoutRequest(**fields)


async def test_a_payout_is_sent_once_and_tells_its_end(rig: Rig, now) -> None:
    if not rig.channel.capabilities.payout_methods:
        with pytest.raises(NotOffered):
            await rig.channel.payout(payout(rig, now), now=now)
        return
    await rig.control.post("faults", money_out_ms=None)
    for outcome in ("succeeded", "failed"):
        sent = payout(rig, now)
        answers = [await rig.channel.payout(sent, now=now) for _ in range(2)]
        if answers[0].state is ChannelState.PENDING:
            await rig.control.post("payout", number=rig.theirs(sent.payout_no), outcome=outcome)
            found = await rig.channel.query_payout(sent, now=now)
            if found.state is ChannelState.SUCCEEDED:
                other = await rig.channel.query_payout(replace(sent, amount_minor=sent.amount_minor + 1), now=now)
                assert (other.state, other.amount_minor) == (found.state, found.amount_minor), "what has moved is told"
            assert found.state is ChannelState(outcome)
            assert found.amount_minor in (1234, None)
        known = [
            p for p in (await rig.control.get("payouts"))["payouts"] if p["payout_no"] == rig.theirs(sent.payout_no)
        ]
        assert [p["amount_minor"] for p in known] == [1234]


async def test_a_payout_without_an_answer_is_unknown(rig: Rig, now) -> None:
    if not rig.channel.capabilities.payout_methods:
        return
    for kind in ("dropped", "reply_lost", *(kind for kind in rig.unproven if kind != "too_long")):
        sent = payout(rig, now)
        await rig.next("payout", kind, match=rig.theirs(sent.payout_no))
        assert (await rig.channel.payout(sent, now=now)).state is ChannelState.UNKNOWN, kind
    absent = await rig.channel.query_payout(payout(rig, now), now=now)
    assert absent.state is ChannelState.NOT_FOUND


async def test_a_payouts_end_is_notified(rig: Rig, receiver, now) -> None:
    if not rig.channel.capabilities.payout_methods or not rig.notifies_payouts:
        return
    await rig.control.post("faults", money_out_ms=None)
    sent = payout(rig, now, notify_url=receiver.url)
    await rig.channel.payout(sent, now=now)
    await rig.control.post("payout", number=rig.theirs(sent.payout_no))
    headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
    notice = rig.channel.parse_notification(headers, body, now=now)
    assert (notice.about, notice.number) == (About.PAYOUT, sent.payout_no)
    assert (notice.answer.state, notice.answer.amount_minor) == (ChannelState.SUCCEEDED, 1234)


# What was ordered, what the payer paid, and what will settle.


CHANNELS_COUPON = {"funder": "channel", "amount_minor": 700, "name": "spring"}
BANKS_COUPON = {"funder": "platform", "amount_minor": 300, "name": "autumn"}
MERCHANTS_COUPON = {"funder": "merchant", "amount_minor": 1000, "name": "winter"}
COUPONS: dict[str, tuple[list[dict[str, Any]], int, int]] = {
    "the channel's": ([CHANNELS_COUPON], 8100, 8800),
    "another party's": ([BANKS_COUPON], 8500, 8800),
    "the merchant's": ([MERCHANTS_COUPON], 7800, 7800),
    "all three parties'": ([CHANNELS_COUPON, BANKS_COUPON, MERCHANTS_COUPON], 6800, 7800),
    "the channel's, of the whole": ([CHANNELS_COUPON | {"amount_minor": 8800}], 0, 8800),
    "the merchant's, of the whole": ([MERCHANTS_COUPON | {"amount_minor": 8800}], 0, 0),
}


async def paid_with(rig: Rig, now: datetime, coupons: list[dict[str, Any]], notify_url: str) -> OrderReference:
    request = rig.request(now, notify_url=notify_url)
    placed = await rig.channel.pay(request, now=now)
    await rig.pay(request, coupons=coupons)
    found = await rig.channel.query(order_of(request, placed.channel_order_no), now=now)
    assert (found.state, found.amount_minor) == (ChannelState.SUCCEEDED, rig.amount_minor), found
    return order_of(request, found.channel_order_no or placed.channel_order_no)


@pytest.mark.parametrize("case", COUPONS)
async def test_a_query_and_a_notification_tell_the_three_sums_and_who_bears_what(
    rig: Rig, receiver, case: str, now
) -> None:
    coupons, paid_minor, settled_minor = COUPONS[case]
    if not rig.has_coupons:
        _, order = await paid(rig, now)
        assert (await rig.channel.query(order, now=now)).sums is None
        return
    order = await paid_with(rig, now, coupons, receiver.url)
    headers, body = await asyncio.wait_for(receiver.taken.get(), 10)
    notified = rig.channel.parse_notification(headers, body, now=now).answer
    expected: Counter[str] = Counter()
    for coupon in coupons:
        expected[rig.funders.get(coupon["funder"], coupon["funder"])] += coupon["amount_minor"]
    for answer in (notified, await rig.channel.query(order, now=now)):
        sums = answer.sums
        assert sums is not None
        assert (answer.amount_minor, sums.ordered_minor) == (8800, 8800)
        assert (sums.paid_minor, sums.settled_minor, sums.withheld_minor) == (paid_minor, settled_minor, 0)
        borne: Counter[str] = Counter()
        for discount in sums.discounts:
            assert discount.settles == (discount.funder != "merchant")
            borne[str(discount.funder)] += discount.amount_minor
        assert borne == expected


async def test_refunds_tell_their_parts_and_return_all_of_them_in_the_end(rig: Rig, receiver, now) -> None:
    if not rig.has_coupons:
        return
    order = await paid_with(rig, now, [CHANNELS_COUPON, MERCHANTS_COUPON], receiver.url)
    parts = []
    for amount_minor in (1, 3333, 5466):
        refund = refund_of(order, now, amount_minor=amount_minor)
        assert (await rig.channel.refund(refund, now=now)).state in UNDER_WAY
        done = await settled(rig, refund, now)
        assert (done.state, done.amount_minor) == (ChannelState.SUCCEEDED, amount_minor)
        assert done.returned is not None
        assert done.returned.refunded_minor == amount_minor
        parts.append((done.returned.paid_minor or 0, done.returned.settled_minor or 0))
    assert [sum(each) for each in zip(*parts, strict=True)] == [7100, 7800]


async def test_a_bill_has_the_three_sums_of_payments_and_refunds(rig: Rig, tmp_path: Path, receiver, now) -> None:
    if not rig.has_coupons:
        return
    rule = rig.channel.capabilities.bill
    assert rule is not None
    order = await paid_with(rig, now, [CHANNELS_COUPON, MERCHANTS_COUPON], receiver.url)
    refund = refund_of(order, now, amount_minor=4400)
    await rig.channel.refund(refund, now=now)
    await settled(rig, refund, now)
    plain, _ = await paid(rig, now)
    day = rig.bill_day(now)
    await rig.control.post("bill", day=day.isoformat())
    bill = await rig.channel.download_bill(rule.kinds[0], day, tmp_path, now=rig.bill_now(now, day))
    rows = {row.our_no: row for row in rig.channel.read_bill(bill)}
    seen = [
        (rows[no].amount_minor, rows[no].paid_minor, rows[no].settled_minor)
        for no in (order.attempt_no, refund.refund_no, plain.attempt_no)
    ]
    assert seen == [(8800, 7100, 7800), (4400, 3550, 3900), (8800, 8800, 8800)]
    sums = rows[order.attempt_no].sums
    assert sums is not None
    assert sums.borne_minor == 1000
    assert rows[plain.attempt_no].sums is None


# The channel's trouble.


async def test_under_maintenance_nothing_is_concluded_and_nothing_is_done(rig: Rig, now) -> None:
    await rig.control.post("faults", maintenance_ms=60_000)
    request = rig.request(now)
    for interface in ("place", "query", "close"):
        assert (await rig.call(interface, request, now)).state is ChannelState.UNKNOWN
    truth = (await rig.control.get("truth"))["truth"]
    assert [e for e in truth if e["order_no"] == rig.theirs(request.attempt_no)] == []


# Bills.


async def test_the_bill_parses_back_to_what_happened(rig: Rig, tmp_path: Path, now) -> None:
    rule = rig.channel.capabilities.bill
    assert rule is not None
    first, order = await paid(rig, now)
    second, _ = await paid(rig, now)
    refund = refund_of(order, now, amount_minor=order.amount_minor // 2)
    await rig.channel.refund(refund, now=now)
    await settled(rig, refund, now)
    day = rig.bill_day(now)
    made = await rig.control.post("bill", day=day.isoformat())

    bill = await rig.channel.download_bill(rule.kinds[0], day, tmp_path, now=rig.bill_now(now, day))
    assert (bill.state, bill.kind, bill.day) == (BillState.READY, rule.kinds[0], day)
    rows = list(rig.channel.read_bill(bill))
    assert len([row for row in rows if row.kind in (BillRowKind.PAYMENT, BillRowKind.REFUND)]) <= made["rows"]
    ours: dict[str | None, BillRow] = {row.our_no: row for row in rows}
    for request in (first, second):
        row = ours[request.attempt_no]
        assert (row.kind, row.amount_minor, row.currency) == (BillRowKind.PAYMENT, rig.amount_minor, rig.currency)
        assert row.channel_no
    row = ours[refund.refund_no]
    assert (row.kind, row.amount_minor) == (BillRowKind.REFUND, order.amount_minor // 2)
    assert row.original_no in (order.attempt_no, None)


async def test_planted_differences_are_in_the_bill_and_in_its_key(rig: Rig, tmp_path: Path, now) -> None:
    rule = rig.channel.capabilities.bill
    assert rule is not None
    for _ in range(3):
        await paid(rig, now)
    day = rig.bill_day(now)
    made = await rig.control.post("bill", day=day.isoformat(), differences={"missing": 1, "amount": 1}, seed=3)
    bill = await rig.channel.download_bill(rule.kinds[0], day, tmp_path, now=rig.bill_now(now, day))
    # Refunds that a person made in the portal have the channel's number alone.
    message = {no: row for row in rig.channel.read_bill(bill) for no in (row.our_no, row.channel_no)}
    results = {entry["class"]: entry for entry in made["key"]}
    assert rig.ours(results["missing"]["number"]) not in message
    changed = message[rig.ours(results["amount"]["number"])]
    assert changed.amount_minor == results["amount"]["said"]["amount_minor"]
    assert changed.amount_minor == results["amount"]["true"]["amount_minor"] + 1


async def test_a_day_to_come_has_no_bill(rig: Rig, tmp_path: Path, now) -> None:
    rule = rig.channel.capabilities.bill
    assert rule is not None
    day = (now + timedelta(days=3)).date()
    bill = await rig.channel.download_bill(rule.kinds[0], day, tmp_path, now=now)
    assert bill.state is not BillState.READY
    assert bill.files == ()


async def test_a_bill_without_an_answer_is_unknown(rig: Rig, tmp_path: Path, now) -> None:
    rule = rig.channel.capabilities.bill
    assert rule is not None
    rig.channel = rig.make(**rig.no_base_url)
    bill = await rig.channel.download_bill(rule.kinds[0], now.date() - timedelta(days=1), tmp_path, now=now)
    assert (bill.state, bill.files) == (BillState.UNKNOWN, ())
