"""The decision after a query, as a table: what the channel answers, in which situation, and what is done then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hutong.channels import ChannelAnswer, ChannelState
from hutong.payments import Attempt, AttemptState, CaptureMethod, Payment, PaymentStatus, PollingPolicy
from hutong.payments.resolution import Step, next_step
from support.fakes.channel import CAPABILITIES
from support.fixtures.payments import AMOUNT, METHOD

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = PollingPolicy()
SITUATIONS = ("fresh", "late", "over", "ending", "ending late", "authorized", "capturing", "releasing")
STEPS: dict[ChannelState, tuple[str, ...]] = {
    #                        fresh     late      over   ending   ending late  authorized  capturing  releasing
    ChannelState.PENDING: ("wait", "wait", "end", "close", "close", "wait", "wait", "close"),
    ChannelState.NOT_FOUND: ("wait", "wait", "end", "wait", "give_up", "wait", "wait", "wait"),
    ChannelState.AUTHORIZED: ("wait", "wait", "wait", "close", "close", "wait", "capture", "close"),
    ChannelState.UNKNOWN: ("wait", "wait", "wait", "wait", "wait", "wait", "wait", "wait"),
}


def situation(name: str) -> tuple[Payment, Attempt]:
    """An attempt that its channel has taken and whose payer has something to do."""
    attempt = Attempt(
        attempt_id=UUID(int=1),
        payment_id=UUID(int=2),
        account_id=UUID(int=3),
        channel="test",
        method=METHOD,
        created_at=NOW - timedelta(minutes=10 if name in ("late", "over", "ending late") else 1),
        state=AttemptState.SUBMITTED,
        action_kind="qr_code",
        expires_at=NOW - timedelta(minutes=2) if name == "over" else NOW + timedelta(hours=1),
    )
    payment = Payment(
        payment_id=attempt.payment_id,
        merchant_id=UUID(int=4),
        merchant_order_no="1",
        amount_minor=AMOUNT,
        currency="CNY",
        subject="x",
        status=PaymentStatus.PROCESSING,
        fee_ppm=0,
        checkout_token="t",
        return_url=None,
        metadata={},
        expires_at=NOW + timedelta(hours=1),
        created_at=attempt.created_at,
        attempts=[attempt],
    )
    if name in ("ending", "ending late", "releasing"):
        payment.close_requested_at = NOW
    if name in ("authorized", "capturing", "releasing"):
        attempt.state, payment.status = AttemptState.AUTHORIZED, PaymentStatus.REQUIRES_CAPTURE
        payment.capture_method = CaptureMethod.MANUAL
    if name == "capturing":
        payment.capture_requested_at = NOW
    return payment, attempt


@pytest.mark.parametrize("state", STEPS)
def test_a_query_leads_to_the_step_of_the_table(state: ChannelState) -> None:
    steps = [next_step(*situation(name), ChannelAnswer(state), CAPABILITIES, POLICY, now=NOW) for name in SITUATIONS]
    assert steps == list(STEPS[state])


@pytest.mark.parametrize(
    ("state", "action", "resubmits", "step"),
    [
        (ChannelState.NOT_FOUND, None, True, Step.SUBMIT),
        (ChannelState.NOT_FOUND, "qr_code", True, Step.WAIT),
        (ChannelState.NOT_FOUND, None, False, Step.WAIT),
        (ChannelState.PENDING, None, True, Step.SUBMIT),
        (ChannelState.PENDING, "qr_code", True, Step.WAIT),
        (ChannelState.UNKNOWN, None, True, Step.WAIT),
    ],
)
def test_an_order_is_sent_again_where_it_or_the_payers_action_is_missing(
    state: ChannelState, action: str | None, resubmits: bool, step: Step
) -> None:
    payment, attempt = situation("fresh")
    attempt.action_kind = action
    can = replace(CAPABILITIES, resubmits=resubmits)
    assert next_step(payment, attempt, ChannelAnswer(state), can, POLICY, now=NOW) is step


def test_an_order_in_doubt_is_given_up_after_the_grace_and_not_before() -> None:
    can = replace(CAPABILITIES, resubmits=False)
    for age, step in (
        (POLICY.not_found_grace, Step.WAIT),
        (POLICY.not_found_grace + timedelta(seconds=1), Step.GIVE_UP),
    ):
        payment, attempt = situation("fresh")
        attempt.state, attempt.action_kind, attempt.created_at = AttemptState.UNKNOWN, None, NOW - age
        assert next_step(payment, attempt, ChannelAnswer(ChannelState.NOT_FOUND), can, POLICY, now=NOW) is step


def test_what_the_payer_may_still_bring_to_a_channel_that_cannot_refuse_it_is_not_given_up() -> None:
    method = replace(CAPABILITIES.methods[METHOD], closable=False)
    can = replace(CAPABILITIES, methods={METHOD: method})
    payment, attempt = situation("ending late")
    answer = ChannelAnswer(ChannelState.NOT_FOUND)
    assert next_step(payment, attempt, answer, can, POLICY, now=NOW) is Step.WAIT
    attempt.expires_at = NOW - timedelta(minutes=2)
    assert next_step(payment, attempt, answer, can, POLICY, now=NOW) is Step.GIVE_UP
