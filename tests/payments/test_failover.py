"""A try that is refused before taking money goes on at the next account; one in doubt never does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest

from hutong import idempotency, payments, routing
from hutong.channels import ChannelAnswer
from hutong.db import Database
from hutong.ids import encode
from hutong.payments.errors import NoRoute
from hutong.payments.store import find
from hutong.routing.configuration.configuration import UNCONFIGURED
from hutong.routing.decisions.record import configured_accounts, read_capabilities, read_record
from hutong.routing.decisions.replay import decide_again
from hutong.routing.experiments.assignment import RunningExperiment
from hutong.routing.health import HealthState
from support.fakes.channel import NOTHING
from support.fixtures.payments import METHOD, World, answered
from support.fixtures.routed_payments import BUSY, NOT_SENT, POOR, Shop, attempts_of


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    made = Shop(world, "abc")
    yield made
    await made.lifecycle.stop()


@pytest.mark.parametrize("refusal", [BUSY, NOT_SENT], ids=["refused", "not_sent"])
async def test_what_was_refused_before_taking_money_goes_on_elsewhere(shop: Shop, refusal: ChannelAnswer) -> None:
    shop.channel("a").mood = refusal
    payment = await shop.place()
    assert attempts_of(payment) == [("a", "failed"), ("b", "submitted")]
    assert payment.status is payments.PaymentStatus.PROCESSING
    assert len(shop.channel("a").calls) == 1


@pytest.mark.parametrize(
    ("answer", "state"), [(NOTHING, "unknown"), (POOR, "failed")], ids=["in_doubt", "payers_own_fault"]
)
async def test_what_is_in_doubt_or_the_payers_fault_goes_nowhere_else(
    shop: Shop, answer: ChannelAnswer, state: str
) -> None:
    shop.channel("a").mood = answer
    assert attempts_of(await shop.place()) == [("a", state)]


async def test_attempts_are_bounded_by_count(world: World) -> None:
    shop = Shop(world, "abcde")
    for channel in shop.accounts.channels.values():
        channel.mood = BUSY
    payment = await shop.place()
    assert [channel for channel, _ in attempts_of(payment)] == ["a", "b", "c"]
    assert payment.status is payments.PaymentStatus.REQUIRES_PAYMENT
    await shop.lifecycle.stop()


async def test_attempts_are_bounded_by_time(shop: Shop) -> None:
    shop.channel("a").mood = BUSY
    shop.channel("a").slow = timedelta(seconds=11)
    assert attempts_of(await shop.place()) == [("a", "failed")]


async def test_the_keys_answer_is_that_of_the_last_attempt(shop: Shop) -> None:
    shop.channel("a").mood = BUSY
    payment = await shop.place(key="k1")
    claim = idempotency.Claim(shop.world.merchant_id, "k1", b"x" * 32)
    again = shop.world.order(attempt=False, merchant_order_no=payment.merchant_order_no)
    status, body = await answered(shop.lifecycle, payments.PlaceOrder(again, claim))
    assert status == 201
    answer = orjson.loads(body)
    assert answer["status"] == "processing"
    assert encode("att", payment.attempts[1].attempt_id) in answer["attempts"][1]["action"]["content"]


async def test_a_second_report_that_nothing_was_sent_does_not_end_an_attempt(shop: Shop) -> None:
    """The first sending may have arrived: only its own word proves anything."""
    shop.channel("a").mood = NOTHING
    payment = await shop.place()
    shop.channel("a").mood = NOT_SENT
    shop.world.clock.advance(timedelta(seconds=6))
    await shop.lifecycle.expire()
    await shop.lifecycle.sweep()
    async with shop.world.database.transaction() as tx:
        payment = (await find(tx, [payment.payment_id]))[payment.payment_id]
    assert shop.channel("a").calls[-1][0] == "pay", "it was sent again"
    assert attempts_of(payment) == [("a", "unknown")]


async def test_each_attempt_keeps_the_decision_that_led_to_it_and_it_can_be_made_again(
    shop: Shop, payments_database: Database
) -> None:
    shop.channel("a").mood = BUSY
    payment = await shop.place()
    async with payments_database.transaction() as tx:
        found = await routing.find_decisions(tx, [attempt.attempt_id for attempt in payment.attempts])
    basis = read_capabilities(shop.state.capability_snapshot.document)
    for decided, attempt in zip(found, payment.attempts, strict=True):
        record = read_record(decided.record)
        assert record.capability_digest == shop.state.capability_snapshot.digest
        again = decide_again(record, configured_accounts(basis, UNCONFIGURED), UNCONFIGURED)
        assert (again.chosen, again.reason, again.evaluations) == (
            attempt.account_id,
            record.reason,
            record.evaluations,
        )
    assert again.evaluations[0].refused == "already_tried"


async def test_an_account_that_keeps_failing_is_left_and_the_payers_own_faults_harm_none(shop: Shop) -> None:
    shop.channel("a").mood = POOR
    for _ in range(20):
        assert attempts_of(await shop.place())[0][0] == "a"
    shop.channel("a").mood = BUSY
    for _ in range(20):
        await shop.place()
    assert attempts_of(await shop.place())[0][0] == "b"


async def test_without_a_way_the_refusal_says_why_for_each(shop: Shop) -> None:
    with pytest.raises(NoRoute) as refused:
        merchant_id = shop.world.merchant_id
        wanted_route = payments.RouteRequest(METHOD, 5_000_000, "CNY", merchant_id=merchant_id, merchant_order_no="1")
        await shop.lifecycle.route_selector.choose(wanted_route)
    assert "a: amount_above_limit; b: amount_above_limit; c: amount_above_limit" in refused.value.detail


async def test_an_idle_account_that_failed_is_asked_and_comes_back(shop: Shop) -> None:
    clock, state, account_id = shop.world.clock, shop.state, next(iter(shop.accounts.channels))
    await shop.lifecycle.route_selector.offers()
    for _ in range(20):
        fault = routing.AttemptResult(clock.now(), shop.world.ids.new(), fault=True, interface=METHOD)
        state.router.learn(account_id, fault)
    assert state.router.health(account_id, clock.now(), METHOD).state is HealthState.OPEN
    accounts: Any = shop.accounts
    asked = 0
    while state.router.health(account_id, clock.now(), METHOD).state is not HealthState.HEALTHY:
        clock.advance(timedelta(seconds=21))
        assert await routing.probe_idle(accounts, state, clock=clock, new_id=shop.world.ids.new) == 1
        asked += 1
    assert [verb for verb, _ in shop.channel("a").calls] == ["query"] * asked
    assert await routing.probe_idle(accounts, state, clock=clock, new_id=shop.world.ids.new) == 0


async def test_in_a_trial_a_payment_counts_once_when_it_is_over_and_not_when_it_goes_on_elsewhere(shop: Shop) -> None:
    clock = shop.world.clock
    trial = RunningExperiment(shop.world.ids.new(), 0.5, clock.now() - timedelta(minutes=1), UNCONFIGURED)
    await shop.lifecycle.route_selector.offers()
    shop.state.adopt(UNCONFIGURED, [], {}, trial)
    shop.channel("a").mood = BUSY
    payment = await shop.place()
    assert attempts_of(payment) == [("a", "failed"), ("b", "submitted")]
    assert shop.state.take_pending(results_max=0, refusals_max=0).outcomes == {}, "the payment has no outcome yet"
    shop.channel("b").mood = POOR
    payment = await shop.place()
    assert attempts_of(payment) == [("b", "failed")]
    ((_, arm, currency), outcome) = next(iter(shop.state.take_pending(results_max=0, refusals_max=0).outcomes.items()))
    assert (arm, currency) == (trial.arm(payment.payment_id), "CNY")
    assert (outcome.ended, outcome.succeeded) == (1, 0)
