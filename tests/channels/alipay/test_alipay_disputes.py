"""Complaints at Alipay: found, listed, answered; of a trade in a mini program with a message, of any other without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, Http, NotificationRefused, PayRequest
from hutong.channels.alipay.adapter import Alipay
from hutong.channels.alipay.disputes import _RISK_STATES, _TRADE_STATES, _RiskComplaints, _TradeComplaints
from hutong.channels.disputes import DisputeReport, DisputeResponse, DisputeState, ResponseOutcome
from hutong.errors import InvalidParameter
from support.fixtures.alipay import START, AlipayWorld, alipay_world

DAY = date(2026, 3, 10)
TRADE, RISK = "alipay_jsapi", "alipay_code"
"""Ways to pay whose complaints come by each of the two interfaces."""
CLAIM = "没有收到货，商家不回复"
NEEDS_RESPONSE, UNDER_REVIEW = DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW
WON, LOST, ACCEPTED = DisputeState.WON, DisputeState.LOST, DisputeState.ACCEPTED
TAKEN, REFUSED, UNKNOWN = ResponseOutcome.TAKEN, ResponseOutcome.REFUSED, ResponseOutcome.UNKNOWN


@pytest.fixture
async def world(sandbox_folder: Path, http: Http) -> AsyncIterator[AlipayWorld]:
    async with alipay_world(sandbox_folder / "alipay", http) as made:
        yield made


async def complained(world: AlipayWorld, method: str, **fields: Any) -> tuple[PayRequest, str]:
    request = await world.paid(method=method) if method == TRADE else world.request(method)
    if method != TRADE:
        await world.channel().pay(request, now=world.clock.now())
    opened = await world.control("dispute", order_no=request.attempt_no, statement=CLAIM, **fields)
    return request, opened["dispute_no"]


def answer(number: str, remark: str = "已补发，单号 SF123", **changed: Any) -> DisputeResponse:
    result = changed.pop("result", None)
    evidence = {"remark": remark} | ({"result": result} if result else {})
    return DisputeResponse("rsp_1", number, evidence, **changed)


async def advice(world: AlipayWorld) -> str:
    findings = {one.check: one for one in await world.channel().diagnose(now=world.clock.now())}
    assert findings["complaints"].fault is None
    return findings["complaints"].advice


async def found(world: AlipayWorld, number: str, channel: Alipay | None = None) -> DisputeReport:
    report = await (channel or world.channel()).query_dispute(number, now=world.clock.now())
    assert report is not None
    return report


@pytest.mark.parametrize("certificate_mode", [False, True])
@pytest.mark.parametrize("method", [TRADE, RISK])
async def test_a_complaint_takes_no_money_and_is_read_whole(
    world: AlipayWorld, method: str, certificate_mode: bool
) -> None:
    request, number = await complained(world, method, amount_minor=800)
    order = world.simulator.store.orders[request.attempt_no]
    report = await found(world, number, world.channel(certificate_mode=certificate_mode))
    assert report == DisputeReport(
        number,
        NEEDS_RESPONSE,
        800,
        "CNY",
        order_no=request.attempt_no,
        channel_order_no=order.channel_order_no,
        reason="未收到货" if method == TRADE else None,
        statement=CLAIM,
        due_at=None if method == TRADE else START + timedelta(days=3),
        opened_at=START,
        changed_at=START if method == TRADE else None,
    )
    assert (report.taken_minor, report.fee_minor) == (0, 0)


async def test_the_message_of_a_complaint_names_it_and_states_nothing(world: AlipayWorld, receiver) -> None:
    request = await world.paid(method=TRADE, notify_url=receiver.url)
    await receiver.taken.get()
    opened = await world.control("dispute", order_no=request.attempt_no)
    headers, body = await receiver.taken.get()
    assert b"msg_method=alipay.merchant.tradecomplain.changed" in body
    channel, now = world.channel(), world.clock.now()
    notification = channel.parse_notification(headers, body, now=now)
    assert (notification.about, notification.number, notification.dispute) == (
        About.DISPUTE, opened["dispute_no"], None,
    )  # fmt: skip
    digit = opened["dispute_no"][-1]
    forged = body.replace(f"{digit}%22%7D".encode(), f"{(int(digit) + 1) % 10}%22%7D".encode())
    assert forged != body
    for message in (forged, body.replace(b"charset=GBK", b"charset=utf-8")):
        with pytest.raises(NotificationRefused):
            channel.parse_notification(headers, message, now=now)
    with pytest.raises(NotificationRefused):
        world.channel(app_id="2021000118640000").parse_notification(headers, body, now=now)


async def test_of_a_complaint_about_any_other_trade_no_message_comes(world: AlipayWorld, receiver) -> None:
    request = await world.paid(notify_url=receiver.url)
    await receiver.taken.get()
    opened = await world.control("dispute", order_no=request.attempt_no)
    await asyncio.sleep(0.05)
    assert receiver.taken.empty()
    listed = await world.channel().list_disputes(DAY, now=world.clock.now())
    assert [report.dispute_no for report in listed or []] == [opened["dispute_no"]]


async def test_a_day_is_listed_page_by_page_by_both_interfaces(world: AlipayWorld) -> None:
    requests = [(await complained(world, method))[0] for method in (TRADE, RISK)]
    numbers = set(world.simulator.store.disputes)
    world.clock.advance(timedelta(hours=14) - timedelta(seconds=1))  # the last second of the day in Beijing
    for request, count in zip(requests, (21, 11), strict=True):
        for _ in range(count - 1):
            opened = await world.control("dispute", order_no=request.attempt_no)
            numbers.add(opened["dispute_no"])
    now = world.clock.advance(timedelta(seconds=1))
    late = (await world.control("dispute", order_no=requests[1].attempt_no))["dispute_no"]
    channel = world.channel()
    listed = await channel.list_disputes(DAY, now=now)
    assert listed is not None
    assert len(numbers) == 32
    assert {report.dispute_no for report in listed} == numbers
    for report in listed[::8]:
        assert report == await found(world, report.dispute_no)
    following = await channel.list_disputes(DAY + timedelta(days=1), now=now)
    assert [report.dispute_no for report in following or []] == [late]


async def test_a_page_without_proof_proves_no_list(world: AlipayWorld) -> None:
    await complained(world, TRADE)
    for interface, kind in (
        ("list_disputes", "bad_signature"),
        ("list_disputes", "error"),
        ("query_dispute", "dropped"),
    ):
        await world.control("next", interface=interface, kind=kind, code="SYSTEM_ERROR", times=2)
        assert await world.channel().list_disputes(DAY, now=world.clock.now()) is None
        await world.control("reset")


async def test_an_interface_that_is_not_signed_for_hides_nothing_of_the_other(world: AlipayWorld) -> None:
    _, number = await complained(world, RISK)
    interfaces = world.simulator._interfaces
    batch = "alipay.merchant.tradecomplain.batchquery"

    def not_signed(*_: Any) -> Any:
        code = {"code": "40006", "msg": "Insufficient Permissions", "sub_code": "isv.insufficient-isv-permissions"}
        return lambda _kind: code

    interfaces[batch] = (interfaces[batch][0], not_signed)
    listed = await world.channel().list_disputes(DAY, now=world.clock.now())
    assert [report.dispute_no for report in listed or []] == [number]
    assert "not listed by alipay.merchant.tradecomplain, which" in await advice(world)
    batch = "alipay.security.risk.complaint.info.batchquery"
    interfaces[batch] = (interfaces[batch][0], not_signed)
    assert await world.channel().list_disputes(DAY, now=world.clock.now()) is None
    assert "tradecomplain and alipay.security.risk.complaint, which" in await advice(world)


async def test_the_doctor_tells_which_complaints_are_listed(world: AlipayWorld) -> None:
    assert "both interfaces" in await advice(world)
    await world.control("next", interface="list_disputes", kind="error", code="SYSTEM_ERROR", status=400)
    assert "not tested" in await advice(world)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("MERCHANT_PROCESSING", NEEDS_RESPONSE), ("MERCHANT_FEEDBACKED", UNDER_REVIEW),
        ("PLATFORM_PROCESSING", UNDER_REVIEW), ("PLATFORM_FINISH", LOST), ("FINISHED", ACCEPTED), ("CANCELLED", WON),
        ("CLOSED", WON), ("SOMETHING_NEW", NEEDS_RESPONSE),
    ],
)  # fmt: skip
async def test_each_status_of_a_trades_complaint_has_a_state(world: AlipayWorld, status: str, state) -> None:
    _, number = await complained(world, TRADE)
    world.simulator.store.disputes[number].status = status
    assert (await found(world, number)).state is state


@pytest.mark.parametrize(
    ("status", "result", "state"),
    [
        ("WAIT_PROCESS", None, NEEDS_RESPONSE), ("PROCESSING", None, NEEDS_RESPONSE),
        ("PART_OVERDUE", None, NEEDS_RESPONSE), ("OVERDUE", None, NEEDS_RESPONSE),
        ("PROCESSED", "ORTHER", WON), ("PROCESSED", "REFUND", ACCEPTED),
        ("OVERDUE_PROCESSED", "CONSENSUS_WITH_CLIENT", ACCEPTED), ("DROP_COMPLAIN", None, WON),
        ("DROP_PROCESSED", "REFUND", WON), ("SOMETHING_NEW", None, NEEDS_RESPONSE),
    ],
)  # fmt: skip
async def test_each_status_of_any_other_complaint_has_a_state(world: AlipayWorld, status: str, result, state) -> None:
    _, number = await complained(world, RISK)
    dispute = world.simulator.store.disputes[number]
    dispute.status = status
    if result:
        dispute.data |= {"result": result, "remark": "x", "at": START}
    assert (await found(world, number)).state is state


async def test_a_trades_complaint_is_answered_then_spoken_about_then_ended(world: AlipayWorld) -> None:
    channel, now = world.channel(), world.clock.now()
    _, number = await complained(world, TRADE)
    done = await channel.respond_to_dispute(answer(number), now=now)
    assert done.report is not None
    assert (done.outcome, done.report.state) == (TAKEN, UNDER_REVIEW)
    dispute = world.simulator.store.disputes[number]
    assert await channel.respond_to_dispute(answer(number), now=now) == done  # the same text is not sent again
    assert (await channel.respond_to_dispute(answer(number, "快递已签收"), now=now)).outcome is TAKEN
    await world.control("move", number=number, status="PLATFORM_PROCESSING")
    assert (await channel.respond_to_dispute(answer(number, "签收凭证见附言"), now=now)).outcome is TAKEN
    expected = ["已补发，单号 SF123", "快递已签收", "签收凭证见附言"]
    assert [reply["content"] for reply in dispute.data["replies"]] == expected
    await world.control("move", number=number, status="FINISHED")
    assert (await found(world, number)).state is ACCEPTED
    late = await channel.respond_to_dispute(answer(number, "还有问题吗"), now=now)
    assert (late.outcome, late.channel_code) == (REFUSED, "FINISHED")
    assert len(dispute.data["replies"]) == 3


@pytest.mark.parametrize(
    ("accepts", "result", "sent", "state"),
    [
        (False, None, "ORTHER", WON), (True, None, "CONSENSUS_WITH_CLIENT", ACCEPTED),
        (True, "REFUND", "REFUND", ACCEPTED),
        (False, "RECTIFICATION_NO_REFUND", "RECTIFICATION_NO_REFUND", WON),
    ],
)  # fmt: skip
async def test_one_answer_ends_any_other_complaint(world: AlipayWorld, accepts, result, sent, state) -> None:
    channel, now = world.channel(), world.clock.now()
    _, number = await complained(world, RISK)
    response = answer(number, accepts=accepts, result=result)
    done = await channel.respond_to_dispute(response, now=now)
    assert done.report is not None
    assert (done.outcome, done.report.state) == (TAKEN, state)
    assert world.simulator.store.disputes[number].data["result"] == sent
    assert await channel.respond_to_dispute(response, now=now) == done
    other = await channel.respond_to_dispute(answer(number, "另外的话"), now=now)
    assert (other.outcome, other.channel_code) == (REFUSED, "PROCESSED")


async def test_a_late_answer_is_taken_and_a_withdrawn_complaint_needs_none(world: AlipayWorld) -> None:
    channel = world.channel()
    _, first = await complained(world, RISK)
    _, second = await complained(world, RISK)
    now = world.clock.advance(timedelta(days=4))
    assert (await found(world, first)).state is NEEDS_RESPONSE
    assert (await channel.respond_to_dispute(answer(first), now=now)).outcome is TAKEN
    assert world.simulator.store.disputes[first].status == "OVERDUE_PROCESSED"
    await world.control("move", number=second, status="DROP_OVERDUE_COMPLAIN")
    assert (await found(world, second)).state is WON
    assert (await channel.respond_to_dispute(answer(second), now=now)).outcome is REFUSED


@pytest.mark.parametrize("method", [TRADE, RISK])
async def test_an_answer_whose_reply_was_lost_is_unknown_and_sent_once(world: AlipayWorld, method: str) -> None:
    channel, now = world.channel(), world.clock.now()
    _, number = await complained(world, method)
    await world.control("next", interface="respond_to_dispute", kind="reply_lost")
    assert (await channel.respond_to_dispute(answer(number), now=now)).outcome is UNKNOWN
    truth = world.simulator.store.truth[-1]
    assert (await channel.respond_to_dispute(answer(number), now=now)).outcome is TAKEN
    assert world.simulator.store.truth[-1] == truth


@pytest.mark.parametrize(
    ("code", "outcome"), [("COMPLAIN_STATUS_ERROR", REFUSED), ("SYSTEM_ERROR", UNKNOWN), ("ACQ.SYSTEM_ERROR", UNKNOWN)]
)
async def test_a_refused_answer_is_not_one_in_doubt(world: AlipayWorld, code: str, outcome) -> None:
    _, number = await complained(world, RISK)
    await world.control("next", interface="respond_to_dispute", kind="error", status=400, code=code)
    done = await world.channel().respond_to_dispute(answer(number), now=world.clock.now())
    assert (done.outcome, done.channel_code) == (outcome, code)


@pytest.mark.parametrize(
    ("method", "changed", "param"),
    [
        (RISK, {"evidence": {}}, "evidence.remark"),
        (RISK, {"evidence": {"remark": " "}}, "evidence.remark"),
        (RISK, {"evidence": {"remark": "x" * 201}}, "evidence.remark"),
        (RISK, {"evidence": {"remark": "x", "photo": "y"}}, "evidence.photo"),
        (RISK, {"evidence": {"remark": "x", "result": "02"}}, "evidence.result"),
        (TRADE, {"evidence": {"remark": "x", "result": "REFUND"}}, "evidence.result"),
        (TRADE, {"dispute_no": "../x"}, "dispute_no"),
    ],
)
async def test_an_answer_that_alipay_cannot_take_is_not_sent(world: AlipayWorld, method: str, changed, param) -> None:
    _, number = await complained(world, method)
    before = len(world.simulator.store.truth)
    with pytest.raises(InvalidParameter) as caught:
        await world.channel().respond_to_dispute(replace(answer(number), **changed), now=world.clock.now())
    assert caught.value.param == param
    assert len(world.simulator.store.truth) == before


async def test_a_complaint_about_another_seller_is_none_of_ours(world: AlipayWorld) -> None:
    _, number = await complained(world, RISK)
    other, now = world.channel(seller_id="2088102146225136"), world.clock.now()
    assert await other.query_dispute(number, now=now) is None
    assert await other.list_disputes(DAY, now=now) == []
    assert (await other.respond_to_dispute(answer(number), now=now)).outcome is UNKNOWN
    assert await world.channel().query_dispute("1" * 28, now=now) is None
    assert await world.channel().query_dispute("no_number", now=now) is None


NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["8.00", "2088102146225135"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["trade_no", "out_no", "amount"]), inner)
    ),
    max_leaves=5,
)
FIELDS = [
    "complain_event_id",
    "target_type",
    "target_id",
    "trade_amount",
    "merchant_order_no",
    "trade_no",
    "complain_reason",
    "content",
    "gmt_create",
    "gmt_modified",
    "reply_detail_infos",
    "id",
    "opposite_pid",
    "complain_amount",
    "process_code",
    "process_remark",
    "complaint_trade_info_list",
    "complain_content",
    "gmt_overdue",
    "gmt_complain",
    "leaf_category_name",
]


@settings(max_examples=150, deadline=None)
@given(
    node=st.dictionaries(st.sampled_from(FIELDS), NODES),
    status=st.sampled_from([*_TRADE_STATES, *_RISK_STATES, "", "X"]) | NODES,
    ours=st.booleans(),
)
def test_whatever_a_complaint_states_it_takes_no_money_and_ends_only_by_a_known_status(
    node, status, ours: bool
) -> None:
    seller = "2088102146225135"
    node = node | {"status": status} | ({"opposite_pid": seller} if ours else {})
    for complaints, states in ((_TradeComplaints(seller), _TRADE_STATES), (_RiskComplaints(seller), _RISK_STATES)):
        report = complaints.report(node)
        if report is None:
            continue
        assert (report.taken_minor, report.fee_minor, report.currency) == (0, 0, "CNY")
        assert report.amount_minor >= 0
        assert report.state is NEEDS_RESPONSE or status in states
        if states is _RISK_STATES:
            assert node["opposite_pid"] == seller
        complaints.answer(node, answer("1"))
