"""Merchants' answers to disputes, the watch over them, and what operators enter: once each, and never too late."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from hutong import idempotency, operators
from hutong.app.approval_handlers import approval_handlers
from hutong.channels.disputes import DisputeState, ResponseAnswer, ResponseOutcome
from hutong.errors import Conflict, HutongError, InvalidParameter
from hutong.payments.disputes import DisputeWatch, EnterDispute, MoveDispute, Respond, errors
from hutong.payments.disputes.model import Dispute
from support.fixtures.disputes import DISPUTES, DisputeWorld
from support.fixtures.exceptions import approve, person
from support.fixtures.payments import AMOUNT

UNKNOWN = ResponseAnswer(ResponseOutcome.UNKNOWN)
REFUSED = ResponseAnswer(ResponseOutcome.REFUSED, "TOO_LATE", "the time has passed")
EVIDENCE = {"reply": "It was delivered on 3 March."}


def watch(court: DisputeWorld) -> DisputeWatch:
    return DisputeWatch(
        court.database, court.lifecycle._accounts, court.lifecycle, court.transactions.disputes, clock=court.clock,
        sandbox=False,
    )  # fmt: skip


async def respond(
    court: DisputeWorld, dispute: Dispute, evidence: Mapping[str, str] = EVIDENCE, **fields: Any
) -> tuple[int, dict[str, Any]]:
    command = Respond(dispute.dispute_id, evidence, **{"accepts": False, **fields})
    result = await court.lifecycle.responses.respond(command, court.answers.responded)
    answer = result if isinstance(result, idempotency.StoredAnswer) else court.answers.responded(result)
    return answer.status, orjson.loads(answer.body)


async def kinds(court: DisputeWorld, dispute: Dispute) -> list[str]:
    return [kind for _, kind in await court.events(dispute.dispute_id)]


async def test_an_answer_is_sent_once_and_its_evidence_is_not_kept(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    status, document = await respond(court, dispute)
    (response,) = document["responses"]
    assert (status, response["state"], response["accepts"]) == (200, "taken", False)
    assert [(sent.response_no, dict(sent.evidence)) for sent in court.channel.responses] == [(response["id"], EVIDENCE)]
    assert await kinds(court, dispute) == ["dispute.opened", "dispute.updated"]
    async with court.database.transaction() as tx:
        sealed = await tx.fetchval(
            "SELECT count(evidence_sealed) FROM payments.dispute_response WHERE dispute_id = $1", dispute.dispute_id
        )
    assert sealed == 0


async def test_an_answer_without_a_reply_is_sent_again_under_the_same_number(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    court.channel.decisions = [UNKNOWN, UNKNOWN]
    status, document = await respond(court, dispute)
    assert (status, document["responses"][0]["state"]) == (202, "sending")
    with pytest.raises(errors.DisputeResponseInProgress):
        await respond(court, dispute, {"reply": "another"})
    assert (await respond(court, dispute))[0] == 202  # the same one, again
    court.clock.advance(timedelta(minutes=6))
    await watch(court).sweep()
    assert {sent.response_no for sent in court.channel.responses} == {document["responses"][0]["id"]}
    assert len(court.channel.responses) == 3
    assert [r.state for r in (await court.dispute(dispute.dispute_id)).responses] == ["taken"]


async def test_a_refused_answer_is_reported_and_does_not_count(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    court.channel.decisions = [REFUSED]
    _, document = await respond(court, dispute)
    (response,) = document["responses"]
    assert (response["state"], response["channel_code"], response["channel_message"]) == (
        "refused", "TOO_LATE", "the time has passed",
    )  # fmt: skip
    await respond(court, dispute)
    await respond(court, dispute, {"reply": "and more"})
    with pytest.raises(errors.DisputeAnswersExceeded):
        await respond(court, dispute, {"reply": "too much"})
    await respond(court, dispute, {}, accepts=True)  # giving in is no answer
    assert [sent.accepts for sent in court.channel.responses] == [False, False, False, True]


@pytest.mark.parametrize(
    ("evidence", "param"),
    [
        ({"reply": "x" * 501}, "evidence.reply"),
        ({"reply": "x", "receipt": "y"}, "evidence.receipt"),
        ({"tracking_no": "SF1"}, "evidence.reply"),
        ({}, "evidence.reply"),
    ],
)
async def test_evidence_that_the_channel_does_not_take_is_refused_by_its_name(
    court: DisputeWorld, evidence: dict[str, str], param: str
) -> None:
    dispute = await court.disputed(await court.paid())
    with pytest.raises(errors.DisputeEvidenceRefused) as refused:
        await respond(court, dispute, evidence)
    assert refused.value.param == param
    assert court.channel.responses == []


async def test_nothing_is_answered_after_the_end_or_without_an_interface(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    await court.changes(dispute, state=DisputeState.LOST)
    with pytest.raises(errors.DisputeEnded):
        await respond(court, dispute)
    other = await court.disputed(await court.paid())
    court.channel.capabilities = replace(DISPUTES, disputes=None)
    for accepts in (False, True):
        with pytest.raises(errors.DisputeResponseNotOffered):
            await respond(court, other, accepts=accepts)


async def test_an_end_overtakes_what_is_being_sent(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    court.channel.decisions = [UNKNOWN]
    await respond(court, dispute)
    after = await court.changes(dispute, state=DisputeState.WON, taken_minor=0)
    assert [(r.state, r.channel_code) for r in after.responses] == [("refused", "dispute_ended")]


async def test_one_key_sends_one_answer(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    claim = idempotency.Claim(court.merchant_id, f"key-{dispute.dispute_id}", b"x" * 32)
    first = await respond(court, dispute, claim=claim)
    assert await respond(court, dispute, claim=claim) == first
    assert len(court.channel.responses) == 1


async def test_open_disputes_are_asked_about_hourly_and_often_when_an_answer_is_due(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid(), due_at=court.clock.now() + timedelta(hours=3))
    watched = watch(court)
    court.channel.goes_on(dispute.dispute_no, court.clock.now() + timedelta(minutes=1), taken_minor=1100)
    await watched.sweep()
    assert (await court.dispute(dispute.dispute_id)).taken_minor == 1000
    court.clock.advance(timedelta(hours=1, seconds=1))
    await watched.sweep()
    assert (await court.dispute(dispute.dispute_id)).taken_minor == 1100
    court.channel.goes_on(dispute.dispute_no, court.clock.now(), state=DisputeState.UNDER_REVIEW)
    court.clock.advance(timedelta(minutes=6))
    await watched.sweep()
    assert (await court.dispute(dispute.dispute_id)).state == "under_review"


async def test_the_list_finds_a_dispute_whose_message_was_lost(court: DisputeWorld) -> None:
    payment = await court.paid()
    number = court.channel.dispute(payment, court.clock.now())
    court.channel.dispute(payment, court.clock.now(), order_no="someone-elses")
    court.channel.replies = False
    assert await watch(court).find_lost() == 0
    court.channel.replies = True
    court.clock.advance(timedelta(hours=20))
    assert await watch(court).find_lost() == 1
    assert await watch(court).find_lost() == 0
    assert [dispute.dispute_no for dispute in await court.disputes(payment)] == [number]


async def test_a_hanging_channel_stops_no_other(court: DisputeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(court.channel, "list_disputes", hang)
    monkeypatch.setattr("hutong.payments.disputes.watch._LIST_LIMIT_S", 0.05)
    assert await watch(court).find_lost() == 0


async def test_a_merchant_is_reminded_three_days_and_one_day_before_and_when_the_time_has_passed(
    court: DisputeWorld,
) -> None:
    dispute = await court.disputed(await court.paid(), due_at=court.clock.now() + timedelta(days=5))
    watched = watch(court)
    for hours, sent in ((47, 0), (1, 1), (0, 0), (48, 1), (24, 1), (100, 0)):
        court.clock.advance(timedelta(hours=hours))
        assert await watched.remind() == sent
    assert await kinds(court, dispute) == [
        "dispute.opened", "dispute.due_soon", "dispute.due_soon", "dispute.overdue",
    ]  # fmt: skip
    # A later time of the channel begins anew; one that is answered needs none.
    await court.changes(dispute, due_at=court.clock.now() + timedelta(hours=10))
    assert await watched.remind() == 1
    await court.changes(dispute, state=DisputeState.UNDER_REVIEW)
    court.clock.advance(timedelta(days=9))
    assert await watched.remind() == 0


async def decided(court: DisputeWorld, command: EnterDispute | MoveDispute) -> None:
    """Propose as one person and approve as another."""
    proposal_id, now = court.ids.new(), court.clock.now()
    await court.database.run(lambda tx: operators.propose(tx, [command.proposal(proposal_id)], now=now))
    await approve(court, proposal_id)


async def test_operators_enter_and_move_what_a_channel_has_no_interface_for(court: DisputeWorld) -> None:
    payment = await court.paid()
    maker = await person(court)
    entry = EnterDispute(maker, payment, 1500, "letter of 3 December", taken_minor=1500, fee_minor=20)
    await decided(court, entry)
    (dispute,) = await court.disputes(payment)
    assert (dispute.state, dispute.source, dispute.next_query_at) == ("needs_response", "operator", None)
    assert await court.booked() == (1520 - AMOUNT, AMOUNT - 1520, 1520, 1520)
    court.clock.advance(timedelta(days=9))
    await decided(court, MoveDispute(maker, dispute, DisputeState.WON, "letter of 9 January"))
    after = await court.dispute(dispute.dispute_id)
    assert (after.state, after.taken_minor, after.fee_minor) == ("won", 0, 20)
    assert await court.booked() == (20 - AMOUNT, AMOUNT - 20, 0, 0)
    with pytest.raises(errors.DisputeNotEntered):
        await decided(court, MoveDispute(maker, after, DisputeState.WON, "once more"))
    with pytest.raises(InvalidParameter):
        EnterDispute(maker, payment, AMOUNT + 1, "too much").proposal(court.ids.new())
    with pytest.raises(Conflict):
        EnterDispute(maker, await court.payment(), 1, "unpaid").proposal(court.ids.new())


async def test_a_later_statement_of_the_channel_holds_against_an_operators(court: DisputeWorld) -> None:
    dispute = await court.disputed(await court.paid())
    court.clock.advance(timedelta(days=1))
    await decided(court, MoveDispute(await person(court), dispute, DisputeState.LOST, "the portal shows it"))
    await court.deliver(court.channel.dispute_message(dispute.dispute_no))  # an old one
    assert (await court.dispute(dispute.dispute_id)).state == "lost"
    after = await court.changes(dispute, state=DisputeState.WON, taken_minor=0)
    assert (after.state, after.source) == ("won", "query")


async def test_nobody_enters_a_dispute_alone(court: DisputeWorld) -> None:
    payment, maker, proposal_id, now = await court.paid(), await person(court), court.ids.new(), court.clock.now()
    command = EnterDispute(maker, payment, 1, "alone")
    await court.database.run(lambda tx: operators.propose(tx, [command.proposal(proposal_id)], now=now))
    alone = operators.ApprovalDecision(proposal_id, maker, True, "mine")
    effects = approval_handlers(court.transactions)
    with pytest.raises(HutongError) as refused:
        await court.database.run(lambda tx: operators.conclude(tx, alone, effects, now=now))
    assert (refused.value.code, await court.disputes(payment)) == ("own_proposal", [])
