"""Stripe's disputes: money first, then the merchant's one answer; and what is never taken for a statement."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hutong.channels import About, ChannelState, OrderReference
from hutong.channels.disputes import DisputeReport, DisputeResponse, DisputeState, ResponseOutcome
from hutong.channels.errors import NoAnswer
from hutong.channels.stripe.disputes import RULE, read_dispute
from hutong.channels.stripe.responses import StripeResponses
from hutong.errors import InvalidParameter
from support.channel_rigs import number
from support.stripe_world import World

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
RESPONSES = StripeResponses(None, livemode=False)  # type: ignore[arg-type]


def movement(amount: object = -8800, fee: object = 1500, currency: str = "usd") -> dict[str, Any]:
    return {"object": "balance_transaction", "amount": amount, "fee": fee, "currency": currency}


def dispute(**changed: Any) -> dict[str, Any]:
    return {
        "id": "du_1",
        "object": "dispute",
        "amount": 8800,
        "balance_transactions": [movement()],
        "charge": "ch_1",
        "created": 1795262300,
        "currency": "usd",
        "evidence_details": {"due_by": 1795953599},
        "livemode": False,
        "metadata": {},
        "payment_intent": "pi_1",
        "reason": "product_not_received",
        "status": "needs_response",
    } | changed


def read(**changed: Any) -> DisputeReport:
    return read_dispute(RESPONSES, dispute(**changed), at=AT)


def test_a_dispute_is_read() -> None:
    report = read()
    assert (report.dispute_no, report.state, report.amount_minor, report.currency) == (
        "du_1", DisputeState.NEEDS_RESPONSE, 8800, "USD",
    )  # fmt: skip
    assert (report.taken_minor, report.fee_minor, report.reason) == (8800, 1500, "product_not_received")
    assert (report.order_no, report.channel_order_no) == (None, "pi_1")
    assert report.due_at == datetime(2026, 11, 29, 11, 59, 59, tzinfo=UTC)
    expanded = read(charge={"metadata": {"attempt_no": "att_1"}}, payment_intent={"id": "pi_1"})
    assert (expanded.order_no, expanded.channel_order_no) == ("att_1", "pi_1")
    # 0: the payer's bank does not allow an answer.
    assert read(evidence_details={"due_by": 0}).due_at is None
    assert read(payment_intent=None).channel_order_no is None


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("warning_needs_response", DisputeState.NEEDS_RESPONSE),
        ("warning_under_review", DisputeState.UNDER_REVIEW),
        ("warning_closed", DisputeState.WON),
        ("needs_response", DisputeState.NEEDS_RESPONSE),
        ("under_review", DisputeState.UNDER_REVIEW),
        ("won", DisputeState.WON),
        ("lost", DisputeState.LOST),
        ("prevented", DisputeState.ACCEPTED),
    ],
)
def test_each_status_of_a_dispute_is_what_it_amounts_to(status: str, state: DisputeState) -> None:
    assert read(status=status).state is state
    # A mark alone accepts nothing: only a dispute that is lost has been given up.
    marked = read(status=status, metadata={"accepted_by": "dre_1"}).state
    assert marked is (DisputeState.ACCEPTED if status == "lost" else state)


@pytest.mark.parametrize(
    ("movements", "taken", "fee"),
    [
        ([], 0, 0),
        ([movement()], 8800, 1500),
        ([movement(), movement(8800, 0)], 0, 1500),
        ([movement(), movement(8800, -1500)], 0, 0),
        ([movement(-5000, 1500)], 5000, 1500),
        ([movement(-9900, 1650, "eur")], 8800, 0),
        ([movement(-9900, 1650, "eur"), movement(9800, 0, "eur")], 0, 0),
    ],
)
def test_what_is_taken_and_the_fee_are_sums_over_the_movements(movements: Any, taken: int, fee: int) -> None:
    report = read(balance_transactions=movements)
    assert (report.taken_minor, report.fee_minor) == (taken, fee)


@pytest.mark.parametrize(
    "changed",
    [
        {"object": "charge"},
        {"id": "ch_1"},
        {"id": "du_/../x"},
        {"livemode": True},
        {"amount": 0},
        {"amount": "8800"},
        {"currency": "USD"},
        {"status": "never_seen"},
        {"status": None},
        {"balance_transactions": None},
        {"balance_transactions": [7]},
        {"balance_transactions": [movement(-88.0)]},
        {"balance_transactions": [movement(fee=None)]},
        {"balance_transactions": [movement(100, 0)]},
        {"balance_transactions": [movement(-100, -5)]},
    ],
)
def test_a_dispute_that_cannot_be_read_states_nothing(changed: Any) -> None:
    with pytest.raises(NoAnswer):
        read(**changed)


STORY = [
    (0, "warning_needs_response", 0),
    (0, "warning_under_review", 0),
    (0, "needs_response", 0),
    (0, "needs_response", 1),
    (3, "under_review", 1),
    (3, "won", 1),
    (3, "won", 2),
]


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(range(len(STORY))))
def test_statements_of_one_second_have_an_order_of_their_own(order: list[int]) -> None:
    """However they arrive, the last statement by `changed_at` is what Stripe stated last."""
    seen = [movement(), movement(8800, 0)]
    stated = [
        read_dispute(RESPONSES, dispute(status=s, balance_transactions=seen[:n]), at=AT + timedelta(seconds=after))
        for after, s, n in STORY
    ]
    assert len({report.changed_at for report in stated}) == len(stated)
    held: DisputeReport | None = None
    for place in order:
        if held is None or stated[place].changed_at > held.changed_at:  # type: ignore[operator]
            held = stated[place]
    assert held == stated[-1]


@settings(max_examples=200, deadline=None)
@given(
    changed=st.dictionaries(
        st.sampled_from(sorted(dispute())),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=6),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_whatever_stripe_may_state_of_a_dispute_is_read_or_is_nothing(changed: Any) -> None:
    try:
        report = read(**changed)
    except NoAnswer:
        return
    assert report.taken_minor >= 0
    assert report.fee_minor >= 0
    assert report.amount_minor > 0


# With the simulator.


async def disputed(world: World, receiver: Any, **options: Any) -> tuple[OrderReference, str]:
    order, answer = await world.pay(notify_url=receiver.url)
    assert answer.state is ChannelState.SUCCEEDED
    opened = await world.control.post("dispute", order_no=order.attempt_no, **options)
    return order, opened["dispute_no"]


async def notified(world: World, receiver: Any, *kinds: str) -> list[Any]:
    """Return the statements of the next events of these types, which arrive in any order."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(5):
        while set(kinds) - set(found):
            headers, body = await receiver.taken.get()
            notice = world.stripe.parse_notification(headers, body, now=world.now)
            if notice.about is About.DISPUTE:
                found[orjson.loads(body)["type"].removeprefix("charge.dispute.")] = notice
    return [found[kind] for kind in kinds]


def response(dispute_no: str, *, text: str | None = None, **changed: Any) -> DisputeResponse:
    evidence = {} if text is None else {"uncategorized_text": text}
    return DisputeResponse(number("dre"), dispute_no, evidence, **changed)


async def test_a_dispute_takes_the_money_with_a_fee_and_gives_it_back_when_it_is_won(
    world: World, receiver: Any
) -> None:
    order, dispute_no = await disputed(world, receiver, amount_minor=5000, reason="product_not_received")
    created, withdrawn = await notified(world, receiver, "created", "funds_withdrawn")
    assert {(notice.number, notice.channel_order_no) for notice in (created, withdrawn)} == {
        (dispute_no, order.channel_order_no)
    }
    assert (created.dispute.state, created.dispute.taken_minor) == (DisputeState.NEEDS_RESPONSE, 0)
    assert (withdrawn.dispute.amount_minor, withdrawn.dispute.taken_minor, withdrawn.dispute.fee_minor) == (
        5000, 5000, 1500,
    )  # fmt: skip
    assert created.dispute.changed_at < withdrawn.dispute.changed_at
    answer = await world.stripe.respond_to_dispute(response(dispute_no, text="winning_evidence"), now=world.now)
    assert (answer.outcome, answer.report.state) == (ResponseOutcome.TAKEN, DisputeState.UNDER_REVIEW)
    assert answer.report.order_no == order.attempt_no
    reinstated, closed = await notified(world, receiver, "funds_reinstated", "closed")
    assert (closed.dispute.state, closed.dispute.taken_minor, closed.dispute.fee_minor) == (DisputeState.WON, 0, 1500)
    assert reinstated.dispute.taken_minor == 0
    assert (await world.stripe.query_dispute(dispute_no, now=world.now)).state is DisputeState.WON


async def test_evidence_that_loses_leaves_the_money_with_the_payer(world: World, receiver: Any) -> None:
    _, dispute_no = await disputed(world, receiver)
    await world.stripe.respond_to_dispute(response(dispute_no, text="losing_evidence"), now=world.now)
    (closed,) = await notified(world, receiver, "closed")
    assert (closed.dispute.state, closed.dispute.taken_minor, closed.dispute.fee_minor) == (
        DisputeState.LOST, 8800, 1500,
    )  # fmt: skip


async def test_a_dispute_that_we_give_up_is_accepted_and_one_that_a_person_closes_is_lost(
    world: World, receiver: Any
) -> None:
    _, ours = await disputed(world, receiver)
    given_up = response(ours, accepts=True)
    answer = await world.stripe.respond_to_dispute(given_up, now=world.now)
    assert (answer.outcome, answer.report.state) == (ResponseOutcome.TAKEN, DisputeState.ACCEPTED)
    (closed,) = await notified(world, receiver, "closed")
    assert (closed.dispute.state, closed.dispute.taken_minor) == (DisputeState.ACCEPTED, 8800)
    # Repeated, also when the key is forgotten, it is the same; another response comes too late.
    assert (await world.stripe.respond_to_dispute(given_up, now=world.now)).outcome is ResponseOutcome.TAKEN
    late = await world.stripe.respond_to_dispute(response(ours, accepts=True), now=world.now)
    assert (late.outcome, late.channel_message) == (ResponseOutcome.REFUSED, "This dispute is already closed")
    _, theirs = await disputed(world, receiver)
    await world.control.post("move", number=theirs, status="lost")
    assert (await world.stripe.query_dispute(theirs, now=world.now)).state is DisputeState.LOST


@pytest.mark.parametrize("kind", ["dropped", "reply_lost", "malformed", "error"])
@pytest.mark.parametrize("accepts", [False, True])
async def test_a_response_without_an_answer_is_sent_again_and_taken_once(
    world: World, receiver: Any, kind: str, accepts: bool
) -> None:
    order, dispute_no = await disputed(world, receiver)
    sent = response(dispute_no, accepts=True) if accepts else response(dispute_no, text="We sent the tea.")
    interface = "close_dispute" if accepts else "respond"
    await world.control.post("next", interface=interface, kind=kind, match=order.attempt_no, times=1)
    first = await world.stripe.respond_to_dispute(sent, now=world.now)
    assert first.outcome is ResponseOutcome.UNKNOWN
    again = await world.stripe.respond_to_dispute(sent, now=world.now)
    state = DisputeState.ACCEPTED if accepts else DisputeState.UNDER_REVIEW
    assert (again.outcome, again.report.state) == (ResponseOutcome.TAKEN, state)
    events = await world.truth(order)
    assert events.count("dispute_lost" if accepts else "dispute_under_review") == 1


async def test_many_who_send_the_same_response_submit_it_once(world: World, receiver: Any) -> None:
    _, dispute_no = await disputed(world, receiver)
    sent = response(dispute_no, text="We sent the tea.")
    answers = await asyncio.gather(*(world.stripe.respond_to_dispute(sent, now=world.now) for _ in range(8)))
    assert {answer.outcome for answer in answers} == {ResponseOutcome.TAKEN}
    shown = await world.stripe._client.get(f"/v1/disputes/{dispute_no}")
    assert shown.content["evidence_details"]["submission_count"] == 1


async def test_an_inquiry_takes_nothing_until_it_is_escalated(world: World, receiver: Any) -> None:
    order, dispute_no = await disputed(world, receiver, form="inquiry")
    (created,) = await notified(world, receiver, "created")
    assert (created.dispute.state, created.dispute.taken_minor) == (DisputeState.NEEDS_RESPONSE, 0)
    # What is only asked about can be refunded; what is charged back cannot.
    refunded = await world.stripe.refund(world.refund(order, 100), now=world.now)
    assert refunded.state is ChannelState.SUCCEEDED or refunded.state is ChannelState.PENDING
    await world.stripe.respond_to_dispute(response(dispute_no, text="escalate_inquiry_evidence"), now=world.now)
    (withdrawn,) = await notified(world, receiver, "funds_withdrawn")
    assert (withdrawn.dispute.state, withdrawn.dispute.taken_minor) == (DisputeState.NEEDS_RESPONSE, 8800)
    refused = await world.stripe.refund(world.refund(order, 100), now=world.now)
    assert (refused.state, refused.channel_code) == (ChannelState.FAILED, "charge_disputed")


async def test_an_inquiry_that_becomes_no_chargeback_is_won_without_movements(world: World, receiver: Any) -> None:
    _, dispute_no = await disputed(world, receiver, form="inquiry")
    await world.control.post("move", number=dispute_no, status="warning_closed")
    (closed,) = await notified(world, receiver, "closed")
    assert (closed.dispute.state, closed.dispute.taken_minor, closed.dispute.fee_minor) == (DisputeState.WON, 0, 0)


async def test_disputes_of_a_day_are_listed_by_pages_with_our_numbers(world: World, receiver: Any) -> None:
    before = await world.stripe.list_disputes(world.now.astimezone(UTC).date(), now=world.now)
    opened = [await disputed(world, receiver) for _ in range(21)]
    listed = await world.stripe.list_disputes(world.now.astimezone(UTC).date(), now=world.now)
    assert before is not None
    assert listed is not None
    assert len(listed) == len(before) + 21
    assert {(report.order_no, report.dispute_no) for report in listed} >= {
        (order.attempt_no, dispute_no) for order, dispute_no in opened
    }
    yesterday = world.now.astimezone(UTC).date() - timedelta(days=1)
    assert await world.stripe.list_disputes(yesterday, now=world.now) == []
    for kind in ("dropped", "malformed", "error"):
        await world.control.post("next", interface="list_disputes", kind=kind, times=2)
        assert await world.stripe.list_disputes(world.now.astimezone(UTC).date(), now=world.now) is None
        await world.control.post("reset")


async def test_the_days_bill_holds_what_a_dispute_took_and_gave_back(world: World, receiver: Any) -> None:
    order, dispute_no = await disputed(world, receiver)
    await world.control.post("move", number=dispute_no, status="won")
    day = world.now.astimezone(UTC).date().isoformat()
    await world.control.post("bill", day=day)  # as it is now, without differences
    async with world.control.session.get(f"{world.control.url}/control/stripe/bill?day={day}") as answer:
        rows = [orjson.loads(line) for line in (await answer.read()).splitlines()]
    ours = [row for row in rows if row["source"]["id"] == dispute_no]
    assert [(row["reporting_category"], row["amount"], row["fee"]) for row in ours] == [
        ("dispute_reversal", 8800, 0),
        ("dispute", -8800, 1500),
    ]
    assert {(row["type"], row["source"]["payment_intent"]) for row in ours} == {("adjustment", order.channel_order_no)}
    assert len({row["id"] for row in ours}) == 2


async def test_stripes_test_tokens_are_disputed_at_once(world: World, receiver: Any) -> None:
    for token, reason, taken in (
        ("pm_card_createDispute", "fraudulent", 8800),
        ("pm_card_createDisputeProductNotReceived", "product_not_received", 8800),
        ("pm_card_createDisputeInquiry", "fraudulent", 0),
    ):
        order, answer = await world.pay(token, notify_url=receiver.url)
        assert answer.state is ChannelState.SUCCEEDED
        (created,) = await notified(world, receiver, "created")
        report = await world.stripe.query_dispute(created.number, now=world.now)
        assert report is not None
        assert (report.order_no, report.reason, report.taken_minor) == (order.attempt_no, reason, taken)


async def test_what_stripe_does_not_know_is_refused_or_no_answer(world: World) -> None:
    assert await world.stripe.query_dispute("du_absent", now=world.now) is None
    answer = await world.stripe.respond_to_dispute(response("du_absent", text="x"), now=world.now)
    assert (answer.outcome, answer.channel_code) == (ResponseOutcome.REFUSED, "resource_missing")


LONGEST = {name: "x" * length for name, length in RULE.evidence.items()}


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (response("du_1"), "evidence"),
        (response("du_1", text=""), "evidence"),
        (response("du_1", text="x" * 20_001), "evidence"),
        (DisputeResponse("dre_123456", "du_1", {"receipt": "file_1"}), "evidence"),
        (DisputeResponse("dre_123456", "du_1", LONGEST), "evidence"),
        (response("du_1", text="x", accepts=True), "evidence"),
        (response("../charges", text="x"), "dispute_no"),
        (DisputeResponse("no", "du_1", {"uncategorized_text": "x"}), "response_no"),
    ],
)
async def test_a_response_that_stripe_could_not_take_is_not_sent(
    world: World, sent: DisputeResponse, param: str
) -> None:
    await world.control.post("next", interface="query_dispute", kind="error", times=100)
    with pytest.raises(InvalidParameter) as refused:
        await world.stripe.respond_to_dispute(sent, now=world.now)
    assert refused.value.param == param
    faults = await world.control.get("faults")
    assert faults["calls"][0]["times"] == 100
