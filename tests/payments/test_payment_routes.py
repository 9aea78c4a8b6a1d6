"""What operators say of accounts, and what merchants say of payers, decides where a payment really goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong import channels, db, payments, routing
from hutong.channels import ChannelAnswer, ChannelState
from hutong.clock import ManualClock
from hutong.ids import Ids, encode
from hutong.routing.configuration.configuration import read_configuration
from hutong.routing.health import TECHNICAL
from support.fakes.channel import HonestChannel
from support.fixtures.payments import AMOUNT, METHOD, World
from support.fixtures.routed_payments import BUSY, NOT_SENT, Shop, attempts_of
from support.platform import VAULT, wired


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    made = Shop(world, "ab")
    yield made
    await made.lifecycle.stop()


async def configure(shop: Shop, **account: Any) -> None:
    """Publish what operators say of account a, which is preferred wherever it can be used."""
    await shop.lifecycle.route_selector.offers()
    document = {"accounts": {"a": account}, "policies": {"": {"priority": ["a", "b"], "default": "*"}}}
    configuration = read_configuration(document, version=1, candidates=shop.state.candidates)
    shop.state.adopt(configuration, (), {})


async def went_to(shop: Shop, **more: Any) -> str:
    (one,) = attempts_of(await shop.place(**more))
    return one[0]


async def test_a_bank_that_an_account_does_not_reach_is_sent_elsewhere(shop: Shop) -> None:
    await configure(shop, institutions=["icbc"])
    assert await went_to(shop, payer={"institution": "icbc"}) == "a"
    assert await went_to(shop, payer={"institution": "cmb"}) == "b"
    assert await went_to(shop) == "a", "nobody knows the bank"


async def test_a_merchant_without_a_contract_is_sent_elsewhere(shop: Shop) -> None:
    await configure(shop, merchants=[encode("mer", shop.world.merchant_id)])
    assert await went_to(shop) == "a"
    await configure(shop, merchants=[encode("mer", shop.world.ids.new())])
    assert await went_to(shop) == "b"


async def test_maintenance_and_operating_hours_are_kept(shop: Shop) -> None:
    now = shop.world.clock.now()
    soon, later = now + timedelta(minutes=1), now + timedelta(minutes=2)
    await configure(shop, maintenance=[{"start": soon.isoformat(), "end": later.isoformat()}])
    went = []
    for _ in range(3):
        went.append(await went_to(shop))
        shop.world.clock.advance(timedelta(seconds=60))
    assert went == ["a", "b", "a"]
    local = shop.world.clock.now() + timedelta(hours=8)
    await configure(shop, hours=[{"weekdays": [(local.weekday() + 1) % 7]}])
    assert await went_to(shop) == "b"
    await configure(shop, hours=[{"weekdays": [local.weekday()], "closed_on": [local.date().isoformat()]}])
    assert await went_to(shop) == "b"
    await configure(shop, hours=[{"weekdays": [local.weekday()]}])
    assert await went_to(shop) == "a"


async def test_a_months_limit_is_used_up_by_what_succeeds(shop: Shop) -> None:
    await configure(shop, month_limit_minor=2 * AMOUNT)
    went = []
    for _ in range(3):
        payment = await shop.place()
        went.append(attempts_of(payment)[0][0])
        paid = ChannelAnswer(ChannelState.SUCCEEDED, amount_minor=AMOUNT, currency="CNY", channel_order_no="4200")
        attempt = payment.attempts[0]
        report = payments.ChannelReport(attempt.attempt_id, attempt.account_id, paid, payments.Source.QUERY)
        await shop.lifecycle._attempts.record(attempt.channel, report)
    assert went == ["a", "a", "b"]


async def test_a_bank_in_trouble_at_one_account_is_sent_elsewhere_and_other_banks_are_not(shop: Shop) -> None:
    await configure(shop)
    for _ in range(10):
        await shop.place(payer={"institution": "icbc"})
    shop.channel("a").mood = BUSY
    for _ in range(12):
        await shop.place(payer={"institution": "cmb"})
    shop.channel("a").mood = None
    assert await went_to(shop, payer={"institution": "cmb"}) == "b"
    assert await went_to(shop, payer={"institution": "icbc"}) == "a"


TEXTS = st.sampled_from([None, "in_doubt", "unmapped", "insufficient_funds", "wrong_password", *sorted(TECHNICAL)])


@given(st.sampled_from(list(ChannelState)), TEXTS, st.sampled_from([None, "SYSTEMERROR", "timeout", "not_sent"]))
def test_only_what_proves_that_nothing_was_taken_goes_elsewhere(
    state: ChannelState, code: str | None, channel_code: str | None
) -> None:
    """In doubt is every word but a proven failure, and silence of which it is known that nothing was sent."""
    answer = ChannelAnswer(state, code=code, channel_code=channel_code)
    proven = state is ChannelState.FAILED or (state, channel_code) == (ChannelState.UNKNOWN, "not_sent")
    if routing.can_fail_over(answer):
        assert proven
        assert state is not ChannelState.FAILED or code in TECHNICAL
    elif proven:
        assert state is ChannelState.FAILED
        assert code not in TECHNICAL


@pytest.mark.parametrize("code", [None, *sorted(TECHNICAL)])
@pytest.mark.parametrize("state", [ChannelState.UNKNOWN, ChannelState.PENDING])
async def test_an_attempt_in_doubt_stays_where_it_is_whatever_the_channel_answers(
    shop: Shop, state: ChannelState, code: str | None
) -> None:
    shop.channel("a").mood = ChannelAnswer(state, channel_code="X", code=code)
    assert await went_to(shop) == "a"
    assert [name for name, _ in shop.channel("b").calls] == []


async def test_failing_over_does_not_depend_on_the_code_of_a_failed_connection(shop: Shop) -> None:
    shop.channel("a").mood = NOT_SENT
    assert [channel for channel, _ in attempts_of(await shop.place())] == ["a", "b"]


class Counting(db.Database):
    """Counts its transactions."""

    transactions = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[db.Tx]:
        self.transactions += 1
        async with super().transaction() as tx:
            yield tx


async def test_choosing_an_account_asks_the_database_nothing(world: World, clock: ManualClock) -> None:
    """What is known is looked after beside the payments, sooner than it would have to be asked for."""
    database = Counting(world.database.pool)
    async with world.database.transaction() as tx:
        await channels.accounts.ensure_account(
            tx, VAULT, account_id=Ids(clock).new(), channel="stripe", name="routes", sandbox=False,
            credentials={"secret_key": "sk_test_" + 24 * "x", "webhook_secrets": ["whsec_" + 24 * "x"]},
            now=clock.now(),
        )  # fmt: skip
    async with channels.Http.open() as http:
        accounts = channels.Accounts(database, VAULT, http, clock)
        lifecycle = wired(database, accounts, clock=clock, ids=world.ids).lifecycle
        selector = lifecycle.route_selector
        offers = partial(selector.offers, ahead=True)
        state_sync = routing.StateSync(
            database, selector.routing_state, clock=clock, process_id=world.ids.new(), offers=offers
        )
        await state_sync.exchange()
        asked = database.transactions
        assert asked > 0
        (account, *_) = selector.routing_state.candidates
        method = min(account.methods - account.requires.keys())
        in_payments = 0
        for _ in range(20):
            clock.advance(timedelta(milliseconds=200))
            before = database.transactions
            route = payments.RouteRequest(method, AMOUNT, "USD", merchant_id=world.merchant_id, merchant_order_no="1")
            new = await lifecycle.route_selector.choose(route)
            in_payments += database.transactions - before
            assert new.decision
            clock.advance(timedelta(milliseconds=600))
            await state_sync.exchange()
            clock.advance(timedelta(milliseconds=200))
        assert in_payments == 0
        await lifecycle.stop()


def test_the_honest_channel_offers_the_method() -> None:
    assert METHOD in HonestChannel().capabilities.methods
