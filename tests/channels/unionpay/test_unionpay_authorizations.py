"""Money that UnionPay reserves: taken once at most, or released, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hutong.channels import About, ActionKind, BillRowKind, ChannelAnswer, ChannelState, OrderReference, RefundRequest
from hutong.channels.unionpay.requests import settle_date
from hutong.errors import InvalidParameter
from hutong.sandbox.unionpay.keys import UnionPaySandboxKeys
from support.channel_rigs import Rig, number, order_of
from support.fakes.unionpay_messages import ATTEMPT_NO, form, payment, sign

pytestmark = pytest.mark.parametrize("rig", ["unionpay"], indirect=True)


async def placed(rig: Rig, now: datetime, **changed: Any) -> tuple[OrderReference, ChannelAnswer]:
    """An order in an application that reserves money, and that nobody has paid yet."""
    request = rig.request(now, **{"method": "unionpay_app", "capture": False} | changed)
    answer = await rig.channel.pay(request, now=now)
    return replace(order_of(request), capture_requested_at=now), answer


async def reserved(rig: Rig, now: datetime, **changed: Any) -> OrderReference:
    order, _ = await placed(rig, now, **changed)
    await rig.control.post("pay", order_no=rig.theirs(order.attempt_no))
    return order


def releasing(order: OrderReference, now: datetime) -> OrderReference:
    return replace(order, capture_requested_at=None, close_requested_at=now)


async def taken(rig: Rig, order: OrderReference) -> list[tuple[str, int]]:
    """What has become of the money, by the channel's own log."""
    truth = (await rig.control.get("truth"))["truth"]
    mine = [entry for entry in truth if entry["order_no"] == rig.theirs(order.attempt_no)]
    return [(entry["event"], entry["amount_minor"]) for entry in mine if entry["event"] in ("captured", "released")]


def refund_of(order: OrderReference, now: datetime, amount_minor: int, **changed: Any) -> RefundRequest:
    return RefundRequest(
        number("ref"),
        replace(order, amount_minor=changed.pop("captured_minor", amount_minor)),
        amount_minor,
        "sent back",
        changed.pop("notify_url", "http://127.0.0.1:1/notify"),
        changed.pop("created_at", now),
    )


async def test_an_application_gets_the_number_that_unionpays_sdk_takes(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_app")
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.action.kind) == (ChannelState.PENDING, ActionKind.SDK)
    content = orjson.loads(answer.action.content)
    assert content == {"tn": content["tn"], "mode": "01"}
    assert (await rig.channel.pay(request, now=now)).action == answer.action
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.PENDING
    await rig.control.post("pay", code_url=content["tn"])  # the payer pays by the number alone
    paid = await rig.channel.query(order_of(request), now=now)
    assert (paid.state, paid.amount_minor) == (ChannelState.SUCCEEDED, rig.amount_minor)


async def test_the_sdk_gets_the_live_environment_at_the_live_gateway_alone(rig: Rig) -> None:
    live, test = rig.make(base_url="https://gateway.95516.com"), rig.make(base_url="https://gateway.test.95516.com")
    modes = [orjson.loads(c._action("unionpay_app", "1" * 21).content)["mode"] for c in (live, test, rig.channel)]
    assert modes == ["00", "01", "01"]


@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "unsigned", "bad_signature", "malformed", "other_order"])
async def test_an_application_without_a_proven_number_gets_none(rig: Rig, now, kind: str) -> None:
    request = rig.request(now, method="unionpay_app")
    await rig.next("place", kind, match=rig.theirs(request.attempt_no))
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.action) == (ChannelState.UNKNOWN, None)
    again = await rig.channel.pay(request, now=now)
    assert (again.state, again.action.kind) == (ChannelState.PENDING, ActionKind.SDK)


async def test_what_reserves_money_is_sent_as_a_preauthorization(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_front", capture=False)
    page = orjson.loads((await rig.channel.pay(request, now=now)).action.content)
    fields = page["fields"]
    assert page["url"].endswith("/gateway/api/frontTransReq.do")
    assert [fields[name] for name in ("txnType", "txnSubType", "bizType", "channelType")] == [
        "02",
        "01",
        "000201",
        "07",
    ]
    for method in ("unionpay_qr", "unionpay_code", "unionpay_collection"):
        with pytest.raises(InvalidParameter) as caught:
            await rig.channel.pay(rig.request(now, method=method, capture=False), now=now)
        assert caught.value.param == "capture"


async def test_each_step_of_reserved_money_is_notified(rig: Rig, now, receiver) -> None:
    receiver.answers += [200] * 4

    async def notice() -> Any:
        return rig.channel.parse_notification(*(await asyncio.wait_for(receiver.taken.get(), 10)), now=now)

    order = await reserved(rig, now, notify_url=receiver.url)
    authorized = await notice()
    assert (authorized.about, authorized.number) == (About.PAYMENT, order.attempt_no)
    assert (authorized.answer.state, authorized.answer.amount_minor) == (ChannelState.AUTHORIZED, 8800)
    assert authorized.answer.code == "authorized"
    assert authorized.answer == await rig.channel.query(order, now=now)
    captured = await rig.channel.capture(order, 3000, now=now)
    assert (captured.state, captured.amount_minor, captured.code) == (ChannelState.SUCCEEDED, 3000, "paid")
    assert captured.channel_order_no != authorized.answer.channel_order_no
    notified = await notice()
    assert (notified.about, notified.number, notified.answer) == (About.PAYMENT, order.attempt_no, captured)
    void = refund_of(order, now, 3000, notify_url=receiver.url)
    assert (await rig.channel.void(void, now=now)).state is ChannelState.PENDING
    voided = await notice()
    assert (voided.about, voided.number) == (About.REFUND, void.refund_no)
    assert (voided.answer.state, voided.answer.amount_minor) == (ChannelState.SUCCEEDED, 3000)
    assert voided.channel_order_no == captured.channel_order_no


async def test_a_release_is_notified_as_the_end_of_the_order(rig: Rig, now, receiver) -> None:
    receiver.answers += [200] * 2
    order = releasing(await reserved(rig, now, notify_url=receiver.url), now)
    reservation = await rig.channel.query(order, now=now)
    closed = await rig.channel.close(order, now=now)
    assert (closed.state, closed.channel_order_no) == (ChannelState.CLOSED, None)
    await asyncio.wait_for(receiver.taken.get(), 10)
    notified = rig.channel.parse_notification(*(await asyncio.wait_for(receiver.taken.get(), 10)), now=now)
    assert (notified.about, notified.number, notified.answer) == (About.PAYMENT, order.attempt_no, closed)
    late = replace(order, channel_order_no=reservation.channel_order_no, capture_requested_at=now)
    assert (await rig.channel.capture(late, 1, now=now)).state is ChannelState.UNKNOWN
    assert await taken(rig, order) == [("released", 8800)]


@pytest.mark.parametrize("code", ["03", "05", "06", "10", "12", "35", "36", "38", "60", "99"])
async def test_a_refused_or_doubtful_capture_is_unknown_and_is_made_once(rig: Rig, now, code: str) -> None:
    order = await reserved(rig, now)
    await rig.next_release("capture", "error", code=code)
    doubt = await rig.channel.capture(order, 3000, now=now)
    assert (doubt.state, doubt.channel_code) == (ChannelState.UNKNOWN, code)
    assert (await rig.channel.query(order, now=now)).state is ChannelState.AUTHORIZED
    assert (await rig.channel.capture(order, 3000, now=now)).state is ChannelState.SUCCEEDED
    assert await taken(rig, order) == [("captured", 3000)]


async def test_a_capture_without_an_answer_is_not_taken_for_reserved_money(rig: Rig, now) -> None:
    order = await reserved(rig, now)
    await rig.next_release("capture", "reply_lost")
    assert (await rig.channel.capture(order, 3000, now=now)).state is ChannelState.UNKNOWN
    for kind in ("dropped", "unsigned", "bad_signature", "other_order"):
        await rig.next("query", kind, match=rig.theirs(order.attempt_no).replace("att", "cap"))
        assert (await rig.channel.query(order, now=now)).state is ChannelState.UNKNOWN, kind
    found = await rig.channel.query(order, now=now)
    assert (found.state, found.amount_minor) == (ChannelState.SUCCEEDED, 3000)


async def test_a_capture_under_way_is_neither_taken_nor_reserved(rig: Rig, now) -> None:
    order = await reserved(rig, now)
    completion = rig.theirs(order.attempt_no).replace("att", "cap")
    await rig.next_release("capture", "reply_lost")
    await rig.channel.capture(order, 3000, now=now)
    await rig.next("query", "error", match=completion, code="05")
    assert (await rig.channel.query(order, now=now)).state is ChannelState.PENDING
    for close_requested_at in (None, now):
        await rig.next("query", "error", match=completion, code="05")
        still = await rig.channel.close(replace(order, close_requested_at=close_requested_at), now=now)
        assert still.state is ChannelState.PENDING
    assert await taken(rig, order) == [("captured", 3000)]


async def test_a_completion_that_failed_has_failed_and_names_no_amount(rig: Rig, now, sandbox_folder: Path) -> None:
    keys = UnionPaySandboxKeys.load(sandbox_folder / "unionpay")
    fields = payment(txnType="03", txnSubType="00", orderId=ATTEMPT_NO.replace("att_", "cap"), txnAmt="3000")
    failed = fields | {"respCode": "60", "respMsg": "交易失败，详情请咨询您的发卡行[1000060]"}
    notice = rig.channel.parse_notification({}, form(sign(keys.signer, failed)), now=now)
    assert (notice.about, notice.number) == (About.PAYMENT, ATTEMPT_NO)
    assert (notice.answer.state, notice.answer.amount_minor) == (ChannelState.FAILED, None)
    release = failed | {"txnType": "32", "orderId": ATTEMPT_NO.replace("att_", "rel")}
    assert rig.channel.parse_notification({}, form(sign(keys.signer, release)), now=now).about is About.NOTHING


async def test_a_release_that_is_refused_leaves_the_money_reserved(rig: Rig, now) -> None:
    order = releasing(await reserved(rig, now), now)
    await rig.next_release("close", "error", code="36")
    refused = await rig.channel.close(order, now=now)
    assert (refused.state, refused.channel_code) == (ChannelState.AUTHORIZED, "36")
    assert await taken(rig, order) == []
    assert (await rig.channel.close(order, now=now)).state is ChannelState.CLOSED


async def test_an_authorization_lapses_after_thirty_days(rig: Rig, now) -> None:
    order = await reserved(rig, now)
    assert (await rig.channel.query(order, now=now + timedelta(days=30, hours=1))).state is ChannelState.AUTHORIZED
    lapsed = now + timedelta(days=31, hours=1)
    assert (await rig.channel.query(order, now=lapsed)).state is ChannelState.CLOSED
    assert (await rig.channel.close(releasing(order, lapsed), now=lapsed)).state is ChannelState.CLOSED
    await rig.channel.capture(order, 8800, now=now)
    assert (await rig.channel.query(order, now=lapsed)).state is ChannelState.SUCCEEDED
    assert rig.channel.capabilities.authorization_kept == timedelta(days=30)


async def test_an_authorization_is_never_read_as_a_payment(rig: Rig, now) -> None:
    order = await reserved(rig, now)
    unaware = replace(order, capture=True, capture_requested_at=None)
    assert (await rig.channel.query(unaware, now=now)).state is ChannelState.AUTHORIZED


async def test_nobody_has_agreed_yet(rig: Rig, now) -> None:
    order, _ = await placed(rig, now)
    order = replace(order, expires_at=now + timedelta(minutes=5))
    assert (await rig.channel.query(order, now=now)).state is ChannelState.PENDING
    assert (await rig.channel.close(releasing(order, now), now=now)).state is ChannelState.PENDING
    assert (await rig.channel.capture(order, 1, now=now)).state is ChannelState.PENDING
    await rig.control.post("decline", order_no=rig.theirs(order.attempt_no))
    unasked = replace(order, capture_requested_at=None)
    assert (await rig.channel.query(unasked, now=now)).state is ChannelState.PENDING  # another card may be used
    assert (await rig.channel.query(unasked, now=now + timedelta(minutes=7))).state is ChannelState.FAILED


@pytest.mark.parametrize(
    ("changed", "amount_minor", "param"),
    [
        ({}, 0, "amount_minor"),
        ({}, 8801, "amount_minor"),
        ({"capture": True}, 1, "order"),
        ({"method": "unionpay_qr"}, 1, "order"),
        ({"notify_url": None}, 1, "notify_url"),
        ({"capture_requested_at": None}, 1, "capture_requested_at"),
        ({"attempt_no": "att-1"}, 1, "attempt_no"),
    ],
)
async def test_a_capture_that_unionpay_cannot_take_is_not_sent(rig: Rig, now, changed, amount_minor, param) -> None:
    order = replace(await reserved(rig, now), **changed)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.capture(order, amount_minor, now=now)
    assert caught.value.param == param


async def test_a_completion_is_voided_whole_on_its_own_clearing_day(rig: Rig, now) -> None:
    order = await reserved(rig, now, placed_at=now - timedelta(days=5))
    await rig.channel.capture(order, 3000, now=now)
    with pytest.raises(InvalidParameter):
        await rig.channel.void(refund_of(order, now, 1, captured_minor=3000), now=now)
    with pytest.raises(InvalidParameter):
        await rig.channel.void(refund_of(order, now, 3000, created_at=now + timedelta(days=1)), now=now)
    void = refund_of(order, now, 3000)
    assert (await rig.channel.void(void, now=now)).state is ChannelState.PENDING
    assert (await rig.channel.query_refund(void, now=now)).state in (ChannelState.PENDING, ChannelState.SUCCEEDED)
    assert (await rig.channel.refund(refund_of(order, now, 3000), now=now)).state is ChannelState.FAILED


async def test_nothing_is_given_back_of_a_completion_that_is_not_proven(rig: Rig, now) -> None:
    order = await reserved(rig, now)
    for unproven in (order, replace(order, capture_requested_at=None)):
        answer = await rig.channel.refund(refund_of(unproven, now, 3000), now=now)
        assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "not_sent")


async def test_a_bill_has_the_completion_and_its_void_but_not_the_authorization(rig: Rig, now, tmp_path: Path) -> None:
    order = await reserved(rig, now)
    captured = await rig.channel.capture(order, 3000, now=now)
    unused = await reserved(rig, now)
    released = await reserved(rig, now)
    await rig.channel.close(releasing(released, now), now=now)
    void = refund_of(order, now, 3000)
    await rig.channel.void(void, now=now)
    for _ in range(200):
        if (await rig.channel.query_refund(void, now=now)).state is ChannelState.SUCCEEDED:
            break
        await asyncio.sleep(0.01)
    day: date = settle_date(now, 23)
    await rig.control.post("bill", day=day.isoformat())  # what an earlier test has planted in this day's bill goes
    bill = await rig.channel.download_bill("trade", day, tmp_path, now=now + timedelta(days=2))
    numbers = {order.attempt_no, void.refund_no, unused.attempt_no, released.attempt_no}
    rows = [row for row in rig.channel.read_bill(bill) if row.our_no in numbers]
    assert [(row.kind, row.our_no, row.amount_minor) for row in rows] == [
        (BillRowKind.PAYMENT, order.attempt_no, 3000),
        (BillRowKind.REFUND, void.refund_no, 3000),
    ]
    assert rows[0].channel_no == rows[1].original_channel_no == captured.channel_order_no


async def test_captures_and_a_release_at_once_do_one_thing_once(rig: Rig, now) -> None:
    for _ in range(3):
        order = await reserved(rig, now)
        captures = [rig.channel.capture(order, 3000, now=now) for _ in range(4)]
        answers = await asyncio.gather(*captures, rig.channel.close(releasing(order, now), now=now))
        ((event, _),) = await taken(rig, order)
        state = ChannelState.SUCCEEDED if event == "captured" else ChannelState.CLOSED
        other = ChannelState.CLOSED if event == "captured" else ChannelState.SUCCEEDED
        assert other not in {answer.state for answer in answers}
        assert (await rig.channel.query(replace(order, close_requested_at=now), now=now)).state is state


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amount_minor=st.integers(1, 8800),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["capture", "capture", "query", "close"]),
            st.sampled_from(["", "dropped", "reply_lost", "unsigned", "other_order", "error"]),
        ),
        min_size=1,
        max_size=6,
    ),
)
async def test_whatever_is_lost_the_answers_agree_with_what_was_done(rig: Rig, now, amount_minor, steps) -> None:
    """A sum is captured at most once, and nothing final is ever answered that the channel's log does not hold."""
    await rig.control.post("reset")
    order = await reserved(rig, now)
    intent = next((verb for verb, _ in steps if verb != "query"), "capture")
    if intent == "close":
        order = releasing(order, now)
    for verb, fault in steps:
        if verb not in ("query", intent):
            continue  # the two exclude each other: the intent that is written first decides
        if fault:
            await rig.next_release(verb, fault, code="06")
        if verb == "capture":
            answer = await rig.channel.capture(order, amount_minor, now=now)
        else:
            answer = await getattr(rig.channel, verb)(order, now=now)
        done = await taken(rig, order)
        if answer.state is ChannelState.SUCCEEDED:
            assert done == [("captured", amount_minor)] == [("captured", answer.amount_minor)]
        elif answer.state is ChannelState.CLOSED:
            assert done == [("released", 8800)]
        else:
            assert answer.state in (ChannelState.UNKNOWN, ChannelState.AUTHORIZED)
            assert answer.state is ChannelState.UNKNOWN or done == []
    await rig.control.post("reset")
    finally_done = await taken(rig, order)
    assert len(finally_done) <= 1
    found = (await rig.channel.query(order, now=now)).state
    expected = {"captured": ChannelState.SUCCEEDED, "released": ChannelState.CLOSED}
    assert found is (expected[finally_done[0][0]] if finally_done else ChannelState.AUTHORIZED)
