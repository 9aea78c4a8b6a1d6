"""What every adapter does with a payer's dispute, where its channel has an interface for that.

Unchanged for each adapter; what a channel offers is read from its capabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from hutong.channels import About, Http, NotOffered, PayRequest
from hutong.channels.disputes import (
    FINAL_DISPUTE_STATES,
    DisputeReport,
    DisputeResponse,
    DisputeRule,
    DisputeState,
    ResponseAnswer,
    ResponseOutcome,
)
from hutong.errors import InvalidParameter
from support.channel_rigs import Rig, number, order_of

CLAIM = "鞋子没有收到"
TEXT = "Delivered on 3 March; the payer has signed for it."
RESPOND = {"alipay": "respond_to_dispute", "stripe": "respond", "wechat": "reply"}
"""The simulators' interface that takes an answer."""
TAKEN, UNKNOWN = ResponseOutcome.TAKEN, ResponseOutcome.UNKNOWN


@pytest.fixture
async def hasty_http() -> AsyncIterator[Http]:
    async with Http.open(total_timeout_s=0.1) as opened:
        yield opened


async def disputed(rig: Rig, now: datetime, **changed: Any) -> tuple[PayRequest, str]:
    """A paid order, and the channel's number of the dispute about it."""
    request = rig.request(now, **changed)
    await rig.channel.pay(request, now=now)
    await rig.pay(request)
    opened = await rig.control.post("dispute", order_no=rig.theirs(request.attempt_no), statement=CLAIM)
    return request, str(opened["dispute_no"])


def rule_of(rig: Rig) -> DisputeRule:
    rule = rig.channel.capabilities.disputes
    assert rule is not None
    return rule


def answer(rig: Rig, dispute_no: str) -> DisputeResponse:
    rule = rule_of(rig)
    names = rule.required or {max(rule.evidence, key=lambda name: rule.evidence[name])}
    return DisputeResponse(number("rsp"), dispute_no, dict.fromkeys(names, TEXT))


async def found(rig: Rig, dispute_no: str, now: datetime) -> DisputeReport:
    report = await rig.channel.query_dispute(dispute_no, now=now)
    assert report is not None
    return report


async def reaches(rig: Rig, dispute_no: str, now: datetime, states: set[DisputeState]) -> DisputeReport:
    for _ in range(200):
        report = await found(rig, dispute_no, now)
        if report.state in states:
            return report
        await asyncio.sleep(0.01)
    raise AssertionError(report)


async def events(rig: Rig, dispute_no: str) -> list[str]:
    truth = (await rig.control.get("truth"))["truth"]
    return [entry["event"] for entry in truth if entry["number"] == dispute_no]


@pytest.fixture(autouse=True)
async def offered(rig: Rig, now: datetime) -> bool:
    """Where a channel has no interface, each verb says so."""
    if rig.channel.capabilities.disputes is not None:
        return True
    for verb in (
        rig.channel.query_dispute("1", now=now),
        rig.channel.list_disputes(now.date(), now=now),
        rig.channel.respond_to_dispute(DisputeResponse("rsp_1", "1"), now=now),
    ):
        with pytest.raises(NotOffered):
            await verb
    return False


async def test_a_dispute_names_its_order_and_says_what_was_taken(rig: Rig, receiver, now, offered: bool) -> None:
    if not offered:
        return
    request, dispute_no = await disputed(rig, now, notify_url=receiver.url)
    order = await rig.channel.query(order_of(request), now=now)
    report = await found(rig, dispute_no, now)
    assert (report.dispute_no, report.state) == (dispute_no, DisputeState.NEEDS_RESPONSE)
    assert request.attempt_no == report.order_no or order.channel_order_no == report.channel_order_no
    assert (report.amount_minor, report.currency) in ((request.amount_minor, request.currency), (0, request.currency))
    (entry,) = [one for one in (await rig.control.get("disputes"))["disputes"] if one["dispute_no"] == dispute_no]
    assert (report.taken_minor, report.fee_minor) == (entry["taken_minor"], entry["fee_minor"])
    assert report.opened_at is not None
    assert abs(report.opened_at - now) < timedelta(minutes=1)
    assert report.statement in (CLAIM, None)


async def test_a_message_of_a_dispute_leads_to_it(rig: Rig, receiver, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now, notify_url=receiver.url)
    numbers = set()
    tells = rig.channel.capabilities.channel != "alipay"  # its kind of complaint has no message
    try:
        while dispute_no not in numbers:
            headers, body = await asyncio.wait_for(receiver.taken.get(), 10 if tells else 1)
            notice = rig.channel.parse_notification(headers, body, now=now)
            if notice.about is About.DISPUTE:
                numbers.add(notice.number if notice.dispute is None else notice.dispute.dispute_no)
    except TimeoutError:
        assert not tells


async def test_disputes_of_a_day_are_listed_and_of_another_day_are_not(rig: Rig, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    day = rig.bill_day(now)

    async def listed(day: date) -> set[str]:
        reports = await rig.channel.list_disputes(day, now=now)
        assert reports is not None
        return {report.dispute_no for report in reports}

    assert dispute_no in await listed(day)
    assert dispute_no not in await listed(day - timedelta(days=2))


async def test_an_answer_is_taken_once_however_often_it_is_sent(rig: Rig, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    response = answer(rig, dispute_no)
    assert [(await rig.channel.respond_to_dispute(response, now=now)).outcome for _ in range(3)] == [TAKEN] * 3
    report = await found(rig, dispute_no, now)
    assert report.state is not DisputeState.NEEDS_RESPONSE
    assert len(await events(rig, dispute_no)) <= 2, "opened, and answered once"


async def test_who_gives_in_ends_the_dispute_and_again_changes_nothing(rig: Rig, now, offered: bool) -> None:
    if not offered or not rule_of(rig).accepts:
        return
    _, dispute_no = await disputed(rig, now)
    taken = (await found(rig, dispute_no, now)).taken_minor
    required = [name for name, must in rule_of(rig).accepting.items() if must]
    response = DisputeResponse(number("rsp"), dispute_no, dict.fromkeys(required, TEXT), accepts=True)
    assert (await rig.channel.respond_to_dispute(response, now=now)).outcome is TAKEN
    report = await reaches(rig, dispute_no, now, set(FINAL_DISPUTE_STATES))
    assert (report.state, report.taken_minor) == (DisputeState.ACCEPTED, taken)
    once = await events(rig, dispute_no)
    assert (await rig.channel.respond_to_dispute(response, now=now)).outcome is TAKEN
    assert await events(rig, dispute_no) == once


async def test_an_answer_without_an_answer_is_unknown_and_sent_again(rig: Rig, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    response = answer(rig, dispute_no)
    await rig.next(RESPOND[rig.channel.capabilities.channel], "reply_lost")
    assert (await rig.channel.respond_to_dispute(response, now=now)).outcome is UNKNOWN
    await rig.control.post("reset")
    assert (await rig.channel.respond_to_dispute(response, now=now)).outcome is TAKEN
    assert len(await events(rig, dispute_no)) <= 2


async def test_without_an_answer_nothing_is_known(rig: Rig, hasty_http: Http, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    hasty, slow = rig.make(http=hasty_http), {"kind": "slow", "ms": 500, "times": 5}
    for interface in ("query_dispute", "list_disputes", RESPOND[rig.channel.capabilities.channel]):
        await rig.control.post("next", interface=interface, **slow)
    assert await hasty.query_dispute(dispute_no, now=now) is None
    assert await hasty.list_disputes(rig.bill_day(now), now=now) is None
    sent: ResponseAnswer = await hasty.respond_to_dispute(answer(rig, dispute_no), now=now)
    assert sent.outcome is UNKNOWN


async def test_an_unproven_answer_says_nothing_of_a_dispute(rig: Rig, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    for kind in rig.unproven:
        await rig.next("query_dispute", kind)
        assert await rig.channel.query_dispute(dispute_no, now=now) is None, kind
        await rig.control.post("reset")


async def test_what_a_channel_cannot_take_is_not_sent(rig: Rig, now, offered: bool) -> None:
    if not offered:
        return
    _, dispute_no = await disputed(rig, now)
    name, most = next(iter(rule_of(rig).evidence.items()))
    too_long = DisputeResponse(number("rsp"), dispute_no, {name: "x" * (most + 1)})
    unknown = DisputeResponse(number("rsp"), dispute_no, {"video": TEXT})
    for response in (too_long, unknown):
        with pytest.raises(InvalidParameter):
            await rig.channel.respond_to_dispute(response, now=now)
    assert (await found(rig, dispute_no, now)).state is DisputeState.NEEDS_RESPONSE
