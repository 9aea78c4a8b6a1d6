"""UnionPay's products: what is sent, what is refused before it is sent, and what becomes of money given back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from hutong.channels import About, ActionKind, ChannelState, Http, OrderReference, RefundRequest
from hutong.channels.unionpay.adapter import UnionPay
from hutong.channels.unionpay.requests import settle_date
from hutong.errors import InvalidParameter
from support.channel_rigs import Rig, number, order_of

pytestmark = pytest.mark.parametrize("rig", ["unionpay"], indirect=True)


async def paid(rig: Rig, now, **changed: Any) -> OrderReference:
    request = rig.request(now, **changed)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    answer = await rig.channel.query(order_of(request), now=now)
    assert answer.state is ChannelState.SUCCEEDED
    return order_of(request, answer.channel_order_no)


def refund_of(order: OrderReference, now, **changed: Any) -> RefundRequest:
    fields: dict[str, Any] = {
        "refund_no": number("ref"),
        "order": order,
        "amount_minor": order.amount_minor,
        "reason": "changed his mind",
        "notify_url": "http://127.0.0.1:1/notify",
        "created_at": now,
    } | changed
    return RefundRequest(**fields)


async def test_the_gateway_payment_is_a_form_and_calls_nobody(rig: Rig, now) -> None:
    async with Http.open(total_timeout_s=0.1) as nobody:
        channel = rig.make(base_url="http://127.0.0.1:1", http=nobody)
        request = rig.request(now, method="unionpay_front")
        placed = await channel.pay(request, now=now)
        assert await channel.pay(request, now=now + timedelta(seconds=2)) == placed
    assert (placed.state, placed.action.kind) == (ChannelState.PENDING, ActionKind.FORM)
    form = orjson.loads(placed.action.content)
    assert form["url"] == "http://127.0.0.1:1/gateway/api/frontTransReq.do"
    assert form["charset"] == "UTF-8"
    fields = form["fields"]
    assert (fields["txnType"], fields["txnSubType"], fields["bizType"]) == ("01", "01", "000201")
    assert (fields["txnAmt"], fields["currencyCode"], fields["frontUrl"]) == ("8800", "156", request.return_url)
    assert fields["orderId"] == request.attempt_no.replace("_", "")
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.NOT_FOUND


async def test_the_form_is_taken_by_the_gateway_and_paid(rig: Rig, now, receiver) -> None:
    request = rig.request(now, method="unionpay_front", notify_url=receiver.url)
    form = orjson.loads((await rig.channel.pay(request, now=now)).action.content)
    async with rig.control.session.post(form["url"], data=form["fields"], allow_redirects=False) as page:
        assert page.status == 302
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.PENDING
    await rig.pay(request)
    notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
    assert (notice.number, notice.answer.state) == (request.attempt_no, ChannelState.SUCCEEDED)


async def test_a_form_that_was_changed_is_not_taken(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_front")
    form = orjson.loads((await rig.channel.pay(request, now=now)).action.content)
    async with rig.control.session.post(form["url"], data=form["fields"] | {"txnAmt": "1"}) as page:
        assert (await page.text()).startswith("11 ")
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.NOT_FOUND


@pytest.mark.parametrize(
    ("method", "payer"),
    [
        ("unionpay_collection", {"agreement": "AGREEMENT0001"}),
        ("unionpay_code", {"auth_code": "6220000000000000000"}),
    ],
)
async def test_what_needs_no_page_is_accepted_and_decided_later(rig: Rig, now, receiver, method, payer) -> None:
    for verb, state in (("pay", ChannelState.SUCCEEDED), ("decline", ChannelState.FAILED)):
        request = rig.request(now, method=method, payer=payer, notify_url=receiver.url)
        placed = await rig.channel.pay(request, now=now)
        assert (placed.state, placed.action, placed.channel_code) == (ChannelState.PENDING, None, "00")
        receiver.answers.append(200)  # any other status makes UnionPay repeat the notification
        await rig.control.post(verb, order_no=rig.theirs(request.attempt_no))
        notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
        assert (notice.number, notice.answer.state) == (request.attempt_no, state)
        assert (await rig.channel.query(order_of(request), now=now)).state is state


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"method": "unionpay_collection", "payer": {}}, "payer.agreement"),
        ({"method": "unionpay_collection", "payer": {"agreement": "a&b=c"}}, "payer.agreement"),
        ({"method": "unionpay_code", "payer": {"auth_code": "1"}}, "payer.auth_code"),
        ({"method": "unionpay_code", "payer": {"auth_code": "1" * 19}}, "payer.auth_code"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": 10**12}, "amount_minor"),
        ({"placed_at": None}, "placed_at"),
        ({"capture": False}, "capture"),
        ({"attempt_no": "att-01kas0000"}, "attempt_no"),
        ({"attempt_no": "att_" + "0" * 30}, "attempt_no"),
    ],
)
async def test_what_unionpay_cannot_take_is_refused_before_it_is_sent(rig: Rig, now, changed, param: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.pay(rig.request(now, **changed), now=now)
    assert caught.value.param == param


async def test_an_account_without_a_terminal_does_not_take_the_payers_code(rig: Rig, now) -> None:
    channel = rig.make(term_id=None)
    with pytest.raises(InvalidParameter):
        await channel.pay(rig.request(now, method="unionpay_code", payer={"auth_code": "62" + "6" * 17}), now=now)


@pytest.mark.parametrize(
    ("auth_code", "state", "code"),
    [("6220000000000000001", ChannelState.SUCCEEDED, "paid"),
     ("6220000000000000002", ChannelState.FAILED, "insufficient_funds"),
     ("6220000000000000000", ChannelState.PENDING, "pending")],
)  # fmt: skip
async def test_the_end_of_a_payers_code_tells_what_becomes_of_it(rig: Rig, now, auth_code, state, code) -> None:
    request = rig.request(now, method="unionpay_code", payer={"auth_code": auth_code})
    assert (await rig.channel.pay(request, now=now)).state is ChannelState.PENDING
    found = await rig.channel.query(order_of(request), now=now)
    assert (found.state, found.code) == (state, code)


async def test_a_payment_by_code_is_reversed_and_nobody_pays_it_then(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_code", payer={"auth_code": "6220000000000000000"})
    await rig.channel.pay(request, now=now)
    for _ in range(2):
        closed = await rig.channel.close(order_of(request), now=now)
        assert closed.state in (ChannelState.CLOSED, ChannelState.FAILED)
    truth = (await rig.control.get("truth"))["truth"]
    events = [entry["event"] for entry in truth if entry["number"] == rig.theirs(request.attempt_no)]
    assert events == ["placed", "reversed"]


async def test_a_payment_by_code_in_doubt_is_reversed_and_what_was_taken_goes_back(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_code", payer={"auth_code": "6220000000000000001"})
    await rig.channel.pay(request, now=now)
    assert (await rig.channel.close(order_of(request), now=now)).state is ChannelState.SUCCEEDED
    await rig.next("query", "unsigned", match=rig.theirs(request.attempt_no))
    assert (await rig.channel.close(order_of(request), now=now)).state is ChannelState.CLOSED
    assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.FAILED


async def test_a_reversal_without_an_answer_proves_nothing(rig: Rig, now) -> None:
    request = rig.request(now, method="unionpay_code", payer={"auth_code": "6220000000000000000"})
    await rig.channel.pay(request, now=now)
    await rig.control.post("next", interface="close", kind="reply_lost", match=rig.theirs(request.attempt_no))
    assert (await rig.channel.close(order_of(request), now=now)).state is ChannelState.UNKNOWN
    other = rig.request(now, method="unionpay_code", payer={"auth_code": "6220000000000000000"})
    await rig.channel.pay(other, now=now)
    refused = {"match": rig.theirs(other.attempt_no), "code": "10"}
    await rig.control.post("next", interface="close", kind="error", **refused)
    assert (await rig.channel.close(order_of(other), now=now)).state is ChannelState.PENDING


async def test_an_order_is_its_number_and_its_time(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    order = order_of(request)
    assert (await rig.channel.query(order, now=now + timedelta(days=1))).state is ChannelState.PENDING
    other = replace(order, placed_at=order.placed_at + timedelta(seconds=1))
    assert (await rig.channel.query(other, now=now)).state is ChannelState.NOT_FOUND


async def test_a_declined_card_is_no_failure_before_the_order_ends(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.control.post("decline", order_no=rig.theirs(request.attempt_no))
    order = replace(order_of(request), expires_at=request.expires_at)
    during = await rig.channel.query(order, now=now)
    assert (during.state, during.code) == (ChannelState.PENDING, "insufficient_funds")
    after = await rig.channel.query(order, now=request.expires_at + timedelta(minutes=2))
    assert after.state is ChannelState.FAILED


async def test_a_number_that_was_used_tells_what_became_of_it(rig: Rig, now) -> None:
    request = rig.request(now)
    await rig.channel.pay(request, now=now)
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), code="12")
    again = await rig.channel.pay(request, now=now)
    assert (again.state, again.action) == (ChannelState.PENDING, None)
    unknown = rig.request(now)
    await rig.next("place", "error", match=rig.theirs(unknown.attempt_no), code="12")
    assert (await rig.channel.pay(unknown, now=now)).state is ChannelState.UNKNOWN


@pytest.mark.parametrize("code", ["03", "04", "06", "42", "74", "75", "99"])
async def test_doubt_is_no_failure(rig: Rig, now, code: str) -> None:
    request = rig.request(now)
    await rig.next("place", "error", match=rig.theirs(request.attempt_no), code=code)
    answer = await rig.channel.pay(request, now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, code)


async def test_a_refused_query_says_nothing_of_the_payment(rig: Rig, now) -> None:
    request = rig.request(now)
    for code in ("10", "11", "13", "32", "37", "38", "60", "64"):
        await rig.next("query", "error", match=rig.theirs(request.attempt_no), code=code)
        assert (await rig.channel.query(order_of(request), now=now)).state is ChannelState.UNKNOWN


async def test_a_refund_is_accepted_ends_later_and_is_notified(rig: Rig, now, receiver) -> None:
    order = await paid(rig, now)
    await rig.control.post("faults", money_out_ms=None)
    refund = refund_of(order, now, amount_minor=3000, notify_url=receiver.url)
    accepted = await rig.channel.refund(refund, now=now)
    assert (accepted.state, accepted.code) == (ChannelState.PENDING, "pending")
    assert (await rig.channel.query_refund(refund, now=now)).state is ChannelState.PENDING
    await rig.control.post("refund", number=rig.theirs(refund.refund_no))
    notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
    assert (notice.about, notice.number) == (About.REFUND, refund.refund_no)
    found = await rig.channel.query_refund(refund, now=now)
    assert found == notice.answer
    assert (found.state, found.amount_minor) == (ChannelState.SUCCEEDED, 3000)
    assert (await rig.channel.query(order, now=now)).state is ChannelState.SUCCEEDED


async def test_a_refund_that_fails_after_it_was_accepted_has_failed(rig: Rig, now, receiver) -> None:
    order = await paid(rig, now)
    await rig.next("refund", "refund_fails_after_accept")
    refund = refund_of(order, now, notify_url=receiver.url)
    assert (await rig.channel.refund(refund, now=now)).state is ChannelState.PENDING
    notice = rig.channel.parse_notification(*(await receiver.taken.get()), now=now)
    assert notice.answer.state is ChannelState.FAILED
    assert (await rig.channel.query_refund(refund, now=now)).state is ChannelState.FAILED


async def test_a_refund_sent_twice_is_made_once(rig: Rig, now) -> None:
    order = await paid(rig, now)
    refund = refund_of(order, now, amount_minor=8000)
    await rig.next("refund", "reply_lost")
    assert (await rig.channel.refund(refund, now=now)).state is ChannelState.UNKNOWN
    again = await rig.channel.refund(refund, now=now)
    assert again.state in (ChannelState.PENDING, ChannelState.SUCCEEDED)
    truth = (await rig.control.get("truth"))["truth"]
    assert [entry["event"] for entry in truth if entry["number"] == rig.theirs(refund.refund_no)][:1] == [
        "refund_accepted"
    ]
    assert sum(entry["number"] == rig.theirs(refund.refund_no) for entry in truth) <= 2


async def test_parts_never_exceed_the_whole(rig: Rig, now) -> None:
    order = await paid(rig, now)
    assert (await rig.channel.refund(refund_of(order, now, amount_minor=8000), now=now)).state is ChannelState.PENDING
    over = await rig.channel.refund(refund_of(order, now, amount_minor=801), now=now)
    assert (over.state, over.code) == (ChannelState.FAILED, "refund_not_allowed")
    assert (await rig.channel.refund(refund_of(order, now, amount_minor=800), now=now)).state is ChannelState.PENDING


async def test_a_refund_learns_the_number_of_its_payment(rig: Rig, now) -> None:
    order = await paid(rig, now)
    unlearnt = replace(order, channel_order_no=None)
    assert (await rig.channel.refund(refund_of(unlearnt, now), now=now)).state is ChannelState.PENDING
    absent = replace(order, attempt_no=number("att"), channel_order_no=None)
    answer = await rig.channel.refund(refund_of(absent, now), now=now)
    assert (answer.state, answer.channel_code) == (ChannelState.UNKNOWN, "not_sent")


@pytest.mark.parametrize(("amount_minor", "param"), [(8801, "amount_minor"), (0, "amount_minor"), (-1, "amount_minor")])
async def test_more_than_the_order_is_not_sent(rig: Rig, now, amount_minor: int, param: str) -> None:
    order = replace(order_of(rig.request(now)), channel_order_no="1" * 21)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.refund(refund_of(order, now, amount_minor=amount_minor), now=now)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("method", "days"), [("unionpay_qr", 30), ("unionpay_front", 330), ("unionpay_collection", 330)]
)
async def test_a_refund_after_the_window_is_not_sent(rig: Rig, now, method: str, days: int) -> None:
    order = replace(order_of(rig.request(now, method=method)), channel_order_no="1" * 21)
    edge = refund_of(order, now, created_at=now + timedelta(days=days))
    # Begun in time, it is sent however late.
    assert (await rig.channel.refund(edge, now=now + timedelta(days=days, hours=1))).state is ChannelState.FAILED
    with pytest.raises(InvalidParameter):
        late = now + timedelta(days=days, seconds=1)
        await rig.channel.refund(refund_of(order, now, created_at=late), now=late)


async def test_a_payment_is_voided_whole_and_on_its_clearing_day(rig: Rig, now) -> None:
    order = await paid(rig, now)
    refund = refund_of(order, now)
    assert (await rig.channel.void(refund, now=now)).state is ChannelState.PENDING
    assert (await rig.channel.query_refund(refund, now=now)).state in (ChannelState.PENDING, ChannelState.SUCCEEDED)
    for changed in ({"amount_minor": 1}, {"created_at": now + timedelta(days=1)}):
        with pytest.raises(InvalidParameter):
            await rig.channel.void(refund_of(order, now, **changed), now=now)
    assert (await rig.channel.refund(refund_of(order, now), now=now)).state is ChannelState.FAILED


def test_a_clearing_day_begins_at_its_cut(rig) -> None:
    assert settle_date(datetime(2026, 1, 1, 14, 59, 59, tzinfo=UTC), 23) == date(2026, 1, 1)
    assert settle_date(datetime(2026, 1, 1, 15, 0, 0, tzinfo=UTC), 23) == date(2026, 1, 2)
    assert settle_date(datetime(2026, 1, 1, 15, 59, 59, tzinfo=UTC), 24) == date(2026, 1, 1)


def test_what_a_channel_can_do_is_true(rig: Rig) -> None:
    assert isinstance(rig.channel, UnionPay)
    can = rig.channel.capabilities
    assert can.same_day_void
    assert can.refund is not None
    assert can.refund.partial
    assert [name for name, method in can.methods.items() if method.closable] == ["unionpay_code"]
