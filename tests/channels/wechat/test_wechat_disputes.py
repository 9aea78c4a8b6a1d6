"""WeChat Pay's complaints: notified, queried, listed, replied to once, and reported as settled."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pytest

from hutong.channels import About, ChannelState, Codes, NotificationRefused
from hutong.channels.codes.codes import load_codes
from hutong.channels.disputes import DisputeReport, DisputeResponse, DisputeState, ResponseOutcome
from hutong.channels.wechat.adapter import WeChatPay
from hutong.clock import BEIJING, ManualClock
from hutong.errors import InvalidParameter
from hutong.sandbox.wechat.keys import MCHID, PUBLIC_KEY_ID
from support.channel_rigs import Rig, number, order_of
from support.fakes.wechat_messages import Wire, envelope, seal, sign

NEEDS, REVIEW, ACCEPTED = DisputeState.NEEDS_RESPONSE, DisputeState.UNDER_REVIEW, DisputeState.ACCEPTED
both = pytest.mark.parametrize("rig", ["wechat", "wechat-partner"], indirect=True)
alone = pytest.mark.parametrize("rig", ["wechat"], indirect=True)


async def complain(rig: Rig, now: datetime, *, order: dict[str, Any] | None = None, **fields: Any) -> tuple[Any, str]:
    """A paid order and the number of a complaint about it."""
    request = rig.request(now, **order or {})
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    opened = await rig.control.post("dispute", order_no=request.attempt_no, **fields)
    return request, opened["dispute_no"]


def make_provider(keys, url: str, http: Any) -> WeChatPay:
    raw = keys.provider_credentials(url)
    credentials = WeChatPay.Credentials.model_validate(raw, context={"sandbox": True, "stored": True})
    return WeChatPay(credentials, http, Codes(load_codes(WeChatPay.code_map)))  # type: ignore[arg-type]


def reply(dispute_no: str, text: str | None = "我们马上退款", *, accepts: bool = False) -> DisputeResponse:
    return DisputeResponse(number("rsp"), dispute_no, {} if text is None else {"response": text}, accepts)


async def state(rig: Rig, dispute_no: str, now: datetime) -> DisputeState:
    report = await rig.channel.query_dispute(dispute_no, now=now)
    assert report is not None
    return report.state


async def replies(rig: Rig, dispute_no: str, now: datetime) -> list[str]:
    """What the payer has been answered, as the history has it."""
    found = await rig.channel._client.ask(
        f"/v3/merchant-service/complaints-v2/{dispute_no}/negotiation-historys?limit=300&offset=0", now
    )
    entries = found[0]["data"]
    return [entry["operate_details"] for entry in entries if entry["operate_type"] == "MERCHANT_RESPONSE"]


@both
async def test_a_complaint_is_notified_by_its_number_and_queried(rig: Rig, receiver, now) -> None:
    request, dispute_no = await complain(
        rig, now, order={"notify_url": receiver.url}, amount_minor=3000, statement="鞋子没有收到"
    )
    while True:
        notice = rig.channel.parse_notification(*(await asyncio.wait_for(receiver.taken.get(), 10)), now=now)
        if notice.about is not About.PAYMENT:
            break
    assert (notice.about, notice.number, notice.dispute) == (About.DISPUTE, dispute_no, None)
    assert notice.answer.state is ChannelState.UNKNOWN
    assert notice.replay_key is not None

    paid = await rig.channel.query(order_of(request), now=now)
    report = await rig.channel.query_dispute(dispute_no, now=now)
    assert report is not None
    assert report.changed_at is not None
    assert report.opened_at is not None
    assert abs(report.changed_at - now) < timedelta(seconds=60)
    day = report.opened_at.astimezone(BEIJING).date()
    assert report == DisputeReport(
        dispute_no, NEEDS, 3000, "CNY", order_no=request.attempt_no, channel_order_no=paid.channel_order_no,
        taken_minor=0, fee_minor=0, reason="REFUND", statement="鞋子没有收到", opened_at=report.opened_at,
        changed_at=report.changed_at,
        due_at=datetime(day.year, day.month, day.day, tzinfo=BEIJING) + timedelta(days=2),
    )  # fmt: skip


@both
async def test_a_complaint_goes_from_reply_over_further_text_to_settled_and_is_continued(rig: Rig, now) -> None:
    _, dispute_no = await complain(rig, now, reason="SERVICE_NOT_WORK")
    answered = await rig.channel.respond_to_dispute(reply(dispute_no), now=now)
    assert answered.outcome is ResponseOutcome.TAKEN
    assert answered.report is not None
    assert (answered.report.state, answered.report.amount_minor) == (REVIEW, rig.amount_minor)
    await rig.control.post("move", number=dispute_no, status="USER_RESPONSE")
    assert await state(rig, dispute_no, now) is NEEDS
    settled = await rig.channel.respond_to_dispute(reply(dispute_no, "已退款", accepts=True), now=now)
    assert (settled.outcome, settled.report and settled.report.state) == (ResponseOutcome.TAKEN, ACCEPTED)
    assert settled.report is not None
    assert settled.report.due_at is None
    assert await replies(rig, dispute_no, now) == ["我们马上退款", "已退款"]
    await rig.control.post("move", number=dispute_no, status="CONTINUE_COMPLAINT")
    continued = await rig.channel.query_dispute(dispute_no, now=now)
    assert continued is not None
    assert (continued.state, continued.due_at) == (NEEDS, None)  # no rule says until when a continued one is answered


@both
@pytest.mark.parametrize("interface", ["reply", "complete"])
async def test_a_response_whose_answer_was_lost_is_sent_again_and_the_payer_reads_it_once(
    rig: Rig, interface: str, now
) -> None:
    _, dispute_no = await complain(rig, now)
    await rig.next(interface, "reply_lost", match=dispute_no)
    response = reply(dispute_no, accepts=True)
    lost = await rig.channel.respond_to_dispute(response, now=now)
    assert (lost.outcome, lost.channel_code) == (ResponseOutcome.UNKNOWN, "no_answer")
    again = await rig.channel.respond_to_dispute(response, now=now)
    assert (again.outcome, again.report and again.report.state) == (ResponseOutcome.TAKEN, ACCEPTED)
    assert await replies(rig, dispute_no, now) == ["我们马上退款"]


@alone
@pytest.mark.parametrize("kind", ["unsigned", "bad_signature", "stale", "malformed", "dropped"])
async def test_nothing_is_written_to_the_payer_while_the_history_is_not_proven(rig: Rig, kind: str, now) -> None:
    _, dispute_no = await complain(rig, now)
    await rig.next("history", kind, match=dispute_no, times=2)
    answer = await rig.channel.respond_to_dispute(reply(dispute_no), now=now)
    assert answer.outcome is ResponseOutcome.UNKNOWN
    await rig.control.post("reset")
    assert await replies(rig, dispute_no, now) == []


@alone
async def test_a_refusal_is_returned_with_its_code_and_an_unknown_one_decides_nothing(rig: Rig, now) -> None:
    _, dispute_no = await complain(rig, now)
    for status, code, outcome in (
        (400, "INVALID_REQUEST", ResponseOutcome.REFUSED),
        (403, "NO_AUTH", ResponseOutcome.REFUSED),
        (400, "NEVER_SEEN", ResponseOutcome.UNKNOWN),
        (500, "SYSTEM_ERROR", ResponseOutcome.UNKNOWN),
        (429, "FREQUENCY_LIMITED", ResponseOutcome.UNKNOWN),
        (202, "INVALID_REQUEST", ResponseOutcome.UNKNOWN),
    ):
        for interface, response in (("reply", reply(dispute_no)), ("complete", reply(dispute_no, None, accepts=True))):
            await rig.next(interface, "error", match=dispute_no, status=status, code=code)
            answer = await rig.channel.respond_to_dispute(response, now=now)
            assert (answer.outcome, answer.channel_code) == (outcome, code)
    assert await state(rig, dispute_no, now) is NEEDS


@alone
async def test_what_is_settled_already_counts_as_settled(rig: Rig, now) -> None:
    _, dispute_no = await complain(rig, now)
    await rig.control.post("move", number=dispute_no, status="PROCESSED")
    answer = await rig.channel.respond_to_dispute(reply(dispute_no, None, accepts=True), now=now)
    assert (answer.outcome, answer.report and answer.report.state) == (ResponseOutcome.TAKEN, ACCEPTED)


@alone
@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"evidence": {}}, "evidence.response"),
        ({"evidence": {"response": " \n"}}, "evidence.response"),
        ({"evidence": {"response": "词" * 501}}, "evidence.response"),
        ({"evidence": {"response": "ok", "image": "x"}}, "evidence.image"),
        ({"dispute_no": "../complaints"}, "dispute_no"),
        ({"dispute_no": ""}, "dispute_no"),
    ],
)
async def test_what_wechat_could_not_take_is_refused_before_it_is_sent(rig: Rig, changed, param: str, now) -> None:
    fields = {
        "response_no": "rsp_1",
        "dispute_no": "200200000000000000000000001",
        "evidence": {"response": "ok"},
    } | changed
    rig.channel = rig.make(**rig.no_base_url)
    with pytest.raises(InvalidParameter) as caught:
        await rig.channel.respond_to_dispute(DisputeResponse(**fields), now=now)
    assert caught.value.param == param


@both
async def test_each_complaint_of_a_day_is_listed_once_over_all_pages(rig: Rig, now) -> None:
    request, first = await complain(rig, now)
    opened = [first]
    for _ in range(51):  # more than a page
        made = await rig.control.post("dispute", order_no=request.attempt_no)
        opened.append(made["dispute_no"])
    day = now.astimezone(BEIJING).date()
    listed = await rig.channel.list_disputes(day, now=now)
    assert listed is not None
    numbers = [report.dispute_no for report in listed if report.order_no == request.attempt_no]
    assert numbers == opened
    assert len({report.dispute_no for report in listed}) == len(listed)
    found = await rig.channel.query_dispute(first, now=now)
    assert [report for report in listed if report.dispute_no == first] == [
        DisputeReport(
            **{name: getattr(found, name) for name in DisputeReport.__slots__} | {"changed_at": listed[0].changed_at}
        )
    ]
    assert await rig.channel.list_disputes(day - timedelta(days=1), now=now) == []


@both
@pytest.mark.parametrize("kind", ["unsigned", "bad_signature", "malformed", "dropped"])
async def test_a_list_or_a_query_without_proof_is_none(rig: Rig, kind: str, now) -> None:
    _, dispute_no = await complain(rig, now)
    await rig.next("list_disputes", kind, times=2)
    await rig.next("query_dispute", kind, match=dispute_no, times=2)
    assert await rig.channel.list_disputes(now.astimezone(BEIJING).date(), now=now) is None
    assert await rig.channel.query_dispute(dispute_no, now=now) is None


@both
async def test_a_complaint_against_somebody_else_is_not_ours(
    rig: Rig, make_channel, keys, sandbox_url, http, now
) -> None:
    _, dispute_no = await complain(rig, now)
    channel = make_channel() if rig.channel._merchant.sub_mchid else make_provider(keys, sandbox_url, http)
    assert await channel.query_dispute(dispute_no, now=now) is None
    listed = await channel.list_disputes(now.astimezone(BEIJING).date(), now=now)
    assert dispute_no not in {report.dispute_no for report in listed}


# What WeChat documents, told by a wire of our own.


@pytest.fixture
def wire(keys, clock: ManualClock) -> Wire:
    return Wire(keys, clock)


@pytest.fixture
def wired(keys, wire: Wire, make_channel) -> WeChatPay:
    return make_channel(http=wire)


def complaint(**changed: Any) -> dict[str, Any]:
    """The example of WeChat's documents."""
    return {
        "complaint_id": "200201820200101080076610000",
        "complaint_time": "2026-03-20T13:29:35.120+08:00",
        "complaint_detail": "反馈一个重复扣费的问题",
        "complainted_mchid": MCHID,
        "complaint_state": "PENDING",
        "payer_phone": "sGdNeTHMQGlxCWiUyHu6XNO9GCYln2Luv4HhwJzZBfcL12sB",
        "payer_openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        "complaint_order_info": [
            {"transaction_id": "4200000404201909069117582536", "out_trade_no": "20190906154617947762231", "amount": 3}
        ],
        "complaint_full_refunded": True,
        "incoming_user_response": False,
        "user_complaint_times": 1,
    } | changed


@pytest.mark.parametrize(
    ("fields", "state", "due"),
    [
        ({}, NEEDS, datetime(2026, 3, 21, 16, tzinfo=UTC)),  # the end of March 21 in Beijing
        ({"complaint_state": "PROCESSING"}, REVIEW, datetime(2026, 3, 23, 16, tzinfo=UTC)),
        (
            {"complaint_state": "PROCESSING", "incoming_user_response": True},
            NEEDS,
            datetime(2026, 3, 23, 16, tzinfo=UTC),
        ),
        ({"complaint_state": "PROCESSED"}, ACCEPTED, None),
        ({"user_complaint_times": 2}, NEEDS, None),
        ({"complaint_state": "SOMETHING_NEW"}, NEEDS, None),
        ({"complaint_time": "yesterday"}, NEEDS, None),
        ({"complaint_time": "2026-03-20T23:59:59+00:00"}, NEEDS, datetime(2026, 3, 22, 16, tzinfo=UTC)),
    ],
)
async def test_states_and_times_are_as_wechat_publishes_them(wired, wire, clock, fields, state, due) -> None:
    wire.answers = [(200, complaint(**fields))]
    report = await wired.query_dispute("200201820200101080076610000", now=clock.now())
    assert report is not None
    assert (report.state, report.due_at, report.taken_minor) == (state, due, 0)
    assert report.changed_at == clock.now().replace(microsecond=0)
    assert "sGdNeTHMQGlx" not in repr(report)  # the payer's telephone stays out


@pytest.mark.parametrize(
    ("fields", "amount_minor"),
    [
        ({}, 3),
        ({"apply_refund_amount": 2}, 2),
        ({"apply_refund_amount": 4}, 3),
        ({"apply_refund_amount": "2"}, 3),
        ({"complaint_order_info": []}, 0),
        ({"complaint_order_info": None}, 0),
        ({"complaint_order_info": ["x"]}, 0),
    ],
)
async def test_a_payer_disputes_the_order_or_what_they_want_back(wired, wire, clock, fields, amount_minor) -> None:
    wire.answers = [(200, complaint(**fields))]
    report = await wired.query_dispute("200201820200101080076610000", now=clock.now())
    assert report is not None
    assert report.amount_minor == amount_minor


@pytest.mark.parametrize(
    "answer",
    [
        (200, complaint(complaint_id="200201820200101080076610001")),
        (404, complaint()),
        (200, None),
    ],
    ids=["another", "not found", "empty"],
)
async def test_another_complaint_is_no_answer(wired, wire, clock, answer) -> None:
    wire.answers = [answer]
    assert await wired.query_dispute("200201820200101080076610000", now=clock.now()) is None


async def test_a_complaint_against_another_merchant_of_the_provider_is_stated_and_answered_by_nobody_else(
    wired, wire, clock
) -> None:
    """WeChat notifies one address of all of a service provider's complaints."""
    wire.answers = [(200, complaint(complainted_mchid="1900000110"))]
    report = await wired.query_dispute("200201820200101080076610000", now=clock.now())
    assert report is not None
    assert report.order_no == "20190906154617947762231"
    wire.answers = [(200, {"data": [], "total_count": 0}), (400, {"code": "PARAM_ERROR", "message": "被诉商户号错误"})]
    response = DisputeResponse("rsp_1", "200201820200101080076610000", {"response": "好的"})
    assert (await wired.respond_to_dispute(response, now=clock.now())).outcome is ResponseOutcome.REFUSED


@pytest.mark.parametrize(
    "content",
    [
        {"data": [complaint()], "total_count": "1"},
        {"data": [complaint(), "x"], "total_count": 2},
        {"data": {}, "total_count": 1},
        {"total_count": None},
    ],
)
async def test_a_list_that_cannot_be_read_is_none(wired, wire, clock, content) -> None:
    wire.answers = [(200, content)]
    assert await wired.list_disputes(date(2026, 3, 20), now=clock.now()) is None


async def test_a_list_leaves_out_what_is_not_ours_and_ends_with_its_pages(wired, wire, clock) -> None:
    first = [complaint(), complaint(complainted_mchid="1900000110"), complaint(complaint_id="a b")]
    wire.answers = [
        (200, {"data": first, "total_count": 5}),
        (200, {"data": [complaint(complaint_id="2", complainted_mchid=MCHID)], "total_count": 5}),
        (200, {"data": [], "total_count": 5}),
    ]
    listed = await wired.list_disputes(date(2026, 3, 20), now=clock.now())
    assert [report.dispute_no for report in listed] == ["200201820200101080076610000", "2"]
    assert [call.partition("?")[2] for call in wire.calls] == [
        f"begin_date=2026-03-20&end_date=2026-03-20&complainted_mchid={MCHID}&limit=50&offset={offset}"
        for offset in (0, 3, 4)
    ]


def entry(kind: str, text: str, second: int) -> dict[str, Any]:
    at = f"2026-03-20T13:29:{second:02d}+08:00"
    return {"log_id": str(second), "operate_type": kind, "operate_details": text, "operate_time": at}


@pytest.mark.parametrize(
    ("history", "sent"),
    [
        ([], True),
        ([entry("MERCHANT_RESPONSE", "好的", 5)], False),
        ([entry("MERCHANT_RESPONSE", "好", 5)], True),
        ([entry("USER_RESPONSE", "好的", 5)], True),
        ([entry("MERCHANT_RESPONSE", "好的", 5), entry("USER_RESPONSE", "还没有", 6)], True),
        ([entry("USER_CONTINUE_COMPLAINT", "还没有", 6), entry("MERCHANT_RESPONSE", "好的", 5)], True),
        ([entry("USER_RESPONSE", "还没有", 4), entry("MERCHANT_RESPONSE", "好的", 5)], False),
        ([entry("MERCHANT_RESPONSE", "好的", 5), entry("USER_RESPONSE", "还没有", 5)], False),
        ([entry("MERCHANT_RESPONSE", "好的", 5), entry("PLATFORM_RESPONSE", "请处理", 9)], False),
    ],
)
async def test_a_reply_is_sent_unless_it_is_the_merchants_since_the_payer_wrote(
    wired, wire, clock, history, sent: bool
) -> None:
    wire.answers = [(200, {"data": history, "total_count": len(history)}), *([(204, None)] if sent else [])]
    wire.answers.append((200, complaint(complaint_state="PROCESSING")))
    response = DisputeResponse("rsp_1", "200201820200101080076610000", {"response": "好的"})
    answer = await wired.respond_to_dispute(response, now=clock.now())
    assert (answer.outcome, answer.report and answer.report.state) == (ResponseOutcome.TAKEN, REVIEW)
    assert [call.split()[0] for call in wire.calls] == (["GET", "POST", "GET"] if sent else ["GET", "GET"])


def notice(keys, fields: Any, event: str = "COMPLAINT.STATE_CHANGE", kind: str = "complaint") -> Any:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    body = envelope(keys, {}, event_type=event, resource=seal(keys, orjson.dumps(fields), original_type=kind))
    return sign(keys.public.key, PUBLIC_KEY_ID, body, now=now), body, now


@pytest.mark.parametrize("action", ["CREATE_COMPLAINT", "USER_RESPONSE", "REFUND_SUCCESS", "SOMETHING_NEW"])
@pytest.mark.parametrize("kind", ["complaint", "something"])
def test_a_notification_of_a_complaint_is_known_by_its_event(channel, keys, action: str, kind: str) -> None:
    headers, body, now = notice(keys, {"complaint_id": "2002", "action_type": action}, kind=kind)
    found = channel.parse_notification(headers, body, now=now)
    assert (found.about, found.number, found.dispute) == (About.DISPUTE, "2002", None)


@pytest.mark.parametrize("number", [None, "", "a/b", "x" * 65, 7])
def test_a_complaint_without_a_number_is_refused(channel, keys, number: Any) -> None:
    headers, body, now = notice(keys, {"complaint_id": number, "action_type": "CREATE_COMPLAINT"})
    with pytest.raises(NotificationRefused):
        channel.parse_notification(headers, body, now=now)


# The address of notifications.


@both
async def test_complaints_are_notified_at_the_registered_address(rig: Rig, sandbox, receiver, now) -> None:
    shared, rig.control.url = rig.control.url, sandbox.url  # a sandbox whose address is its own
    rig.channel = rig.make(base_url=sandbox.url)
    findings = {finding.check: finding.advice for finding in await rig.channel.diagnose(now=now)}
    assert "no address" in findings["complaints"]
    for url in ("http://127.0.0.1:1/notify", receiver.url, receiver.url):
        taken = await rig.channel.register_address(url, now=now)
        assert (taken.fault, url in taken.advice) == (None, True)
    await rig.next("complaint_address", "dropped", times=4)
    assert (await rig.channel.register_address("http://127.0.0.1:1/notify", now=now)).fault == "no_answer"
    await rig.control.post("reset")
    assert (await rig.channel.register_address("ftp://127.0.0.1:1", now=now)).fault == "refused"
    findings = {finding.check: finding.advice for finding in await rig.channel.diagnose(now=now)}
    assert receiver.url in findings["complaints"]
    _, dispute_no = await complain(rig, now)
    notice = rig.channel.parse_notification(*(await asyncio.wait_for(receiver.taken.get(), 10)), now=now)
    assert (notice.about, notice.number) == (About.DISPUTE, dispute_no)
    rig.control.url = shared
